//! Times in messages, as milliseconds since 1970.

use jiff::{civil::DateTime, tz::TimeZone};

use super::scan::Scan;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY_SECONDS: i64 = 86_400;

/// What a message does not say: the year, and perhaps the zone.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Milliseconds since 1970.
    pub now: i64,
    /// Where times are without a zone of their own.
    pub zone: TimeZone,
}

/// A date and time of day; fields may be out of their range and then run over, as in Java's lenient calendar.
#[derive(Clone, Copy)]
struct CivilTime {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

impl CivilTime {
    /// Seconds since 1970 on a clock in UTC.
    fn seconds(self) -> i64 {
        let months = self.year * 12 + self.month - 1;
        let first = days_before(months.div_euclid(12), months.rem_euclid(12) + 1);
        (first + self.day - 1) * DAY_SECONDS + self.second_of_day
    }

    /// Milliseconds since 1970 on a clock in `zone`.
    fn millis_in(self, zone: &TimeZone) -> Option<i64> {
        let seconds = self.seconds();
        let local = jiff::Timestamp::from_second(seconds).ok()?;
        let local: DateTime = TimeZone::UTC.to_datetime(local);
        Some(zone.to_timestamp(local).ok()?.as_millisecond())
    }

    fn is_regular(self) -> bool {
        let months = self.year * 12 + self.month;
        let next = days_before(months.div_euclid(12), months.rem_euclid(12) + 1);
        let days = next - days_before(self.year, self.month);
        (1..=12).contains(&self.month) && (1..=days).contains(&self.day)
    }
}

/// Days from 1970 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5;
    let leap_days =
        shifted_year.div_euclid(4) - shifted_year.div_euclid(100) + shifted_year.div_euclid(400);
    shifted_year * 365 + leap_days + day_of_year - 719_468
}

/// `Apr  1 13:14:04`: month, one or two blanks, one or two digits, time. The year is the one that is next to now: a date
/// more than a month ahead was last year, one more than eleven months behind is next year.
pub(super) struct Rfc3164Time {
    civil: CivilTime,
}

impl Rfc3164Time {
    pub(super) fn scan(scan: &mut Scan<'_>, is_blank: impl Fn(u8) -> bool) -> Option<Self> {
        let name = scan.some(3, 3, |byte| byte.is_ascii_alphabetic())?;
        let is_capitalized = name[0].is_ascii_uppercase() && name[1..].is_ascii();
        if !is_capitalized || !name[1..].iter().all(u8::is_ascii_lowercase) {
            return None;
        }
        scan.some(1, 2, &is_blank)?;
        let day = scan.some(1, 2, |byte| byte.is_ascii_digit())?;
        scan.one(&is_blank)?;
        let second_of_day = time_of_day(scan)?;
        // A month that is none still makes a message; it has no time then.
        let month = MONTHS.iter().position(|month| month.as_slice() == name);
        Some(Rfc3164Time {
            civil: CivilTime {
                year: 0,
                month: month.map_or(0, |month| month as i64 + 1),
                day: super::scan::value(day),
                second_of_day,
            },
        })
    }

    /// Milliseconds since 1970; `None` when there is no such month.
    pub(super) fn millis(&self, clock: &Clock, zone: &TimeZone) -> Option<i64> {
        if self.civil.month == 0 {
            return None;
        }
        let now = jiff::Timestamp::from_millisecond(clock.now).ok()?;
        let today = TimeZone::UTC.to_datetime(now);
        let in_year = |year: i64| CivilTime { year, ..self.civil }.millis_in(zone);
        let months_from_now = |months: i64| {
            let shifted = CivilTime {
                year: today.year().into(),
                month: i64::from(today.month()) + months,
                day: today.day().into(),
                second_of_day: 0,
            };
            shifted.seconds() * 1000 + clock.now.rem_euclid(DAY_SECONDS * 1000)
        };
        let year = i64::from(today.year());
        let millis = in_year(year)?;
        if millis > months_from_now(1) {
            return in_year(year - 1);
        }
        if millis < months_from_now(-11) {
            return in_year(year + 1);
        }
        Some(millis)
    }

    /// Whether the date exists in some year.
    pub(super) fn is_regular(&self) -> bool {
        let civil = CivilTime {
            year: 2000,
            ..self.civil
        };
        civil.is_regular() && self.civil.second_of_day < DAY_SECONDS
    }
}

/// `2003-08-24T05:14:15.000003-07:00`.
pub(super) struct Rfc5424Time {
    civil: CivilTime,
    /// The fraction, cut to milliseconds.
    millis: i64,
    /// Seconds east of Greenwich; without it the zone is that of this host.
    offset: Option<i64>,
}

impl Rfc5424Time {
    /// A fraction has up to `max_fraction` digits.
    pub(super) fn scan(scan: &mut Scan<'_>, max_fraction: usize) -> Option<Self> {
        let year = scan.digits(4)?;
        scan.byte(b'-')?;
        let month = scan.digits(2)?;
        scan.byte(b'-')?;
        let day = scan.digits(2)?;
        scan.byte(b'T')?;
        let second_of_day = time_of_day(scan)?;
        let mut millis = 0;
        if scan.byte(b'.').is_some() {
            let digits = scan.some(1, max_fraction, |byte| byte.is_ascii_digit())?;
            let counted = &digits[..digits.len().min(3)];
            millis = super::scan::value(counted) * [0, 100, 10, 1][counted.len()];
        }
        Some(Rfc5424Time {
            civil: CivilTime {
                year,
                month,
                day,
                second_of_day,
            },
            millis,
            offset: offset(scan)?,
        })
    }

    pub(super) fn has_offset(&self) -> bool {
        self.offset.is_some()
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(&self, zone: &TimeZone) -> Option<i64> {
        let whole = match self.offset {
            Some(offset) => (self.civil.seconds() - offset) * 1000,
            None => self.civil.millis_in(zone)?,
        };
        Some(whole + self.millis)
    }

    /// Whether all fields are within their ranges.
    pub(super) fn is_regular(&self) -> bool {
        self.civil.is_regular() && self.civil.second_of_day < DAY_SECONDS
    }
}

/// `13:14:04` as seconds.
fn time_of_day(scan: &mut Scan<'_>) -> Option<i64> {
    let hours = scan.digits(2)?;
    scan.byte(b':')?;
    let minutes = scan.digits(2)?;
    scan.byte(b':')?;
    let seconds = scan.digits(2)?;
    Some((hours * 60 + minutes) * 60 + seconds)
}

/// `Z`, `+05:30`, or nothing.
fn offset(scan: &mut Scan<'_>) -> Option<Option<i64>> {
    if scan.byte(b'Z').is_some() {
        return Some(Some(0));
    }
    let Some(sign) = scan.one(|byte| byte == b'+' || byte == b'-') else {
        return Some(None);
    };
    let hours = scan.digits(2)?;
    scan.byte(b':')?;
    let minutes = scan.digits(2)?;
    let east = (hours * 60 + minutes) * 60;
    Some(Some(if sign == b'+' { east } else { -east }))
}
