//! Date patterns as Joda-Time reads them: `yyyy-MM-dd HH:mm:ss,SSS`. Names of months and days are English.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, Offset, TimeZone},
};

/// Names of zones that Joda-Time knows for the letter `z`.
const ZONE_NAMES: &[(&str, &str)] = &[
    ("UTC", "UTC"),
    ("UT", "UTC"),
    ("GMT", "UTC"),
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
];

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// The year of a date that has a month or a day and no year.
const DEFAULT_YEAR: i64 = 2000;

/// Years that two digits can mean end so many years after this one.
const TWO_DIGIT_YEARS_AHEAD: i64 = 19;

/// A pattern, ready to parse texts.
#[derive(Clone, Debug)]
pub struct DatePattern {
    parts: Vec<DatePart>,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq)]
enum DatePart {
    Literal(String),
    Number {
        field: DateField,
        digits: usize,
        signed: bool,
    },
    TwoDigitYear {
        lenient: bool,
    },
    MonthName,
    DayName,
    HalfDay,
    Fraction {
        digits: usize,
    },
    Offset,
    ZoneName,
    ZoneId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateField {
    Year,
    Month,
    Day,
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HalfDayHour,
    /// 1 to 12.
    HalfDayClockHour,
    Minute,
    Second,
}

/// What was read from a text.
#[derive(Default)]
struct DateFields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    weekday: Option<i8>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    millisecond: i64,
    offset: Option<i32>,
    zone: Option<TimeZone>,
}

impl DatePattern {
    /// Reads a pattern; texts without a zone are in `zone`.
    ///
    /// # Errors
    /// For letters that Joda-Time does not know, and for those that are not known here.
    pub fn new(pattern: &str, zone: TimeZone) -> Result<Self, String> {
        let tokens = tokens(pattern)?;
        let mut parts = vec![];
        for (place, token) in tokens.iter().enumerate() {
            parts.push(match token {
                DateToken::Literal(text) => DatePart::Literal(text.clone()),
                DateToken::Letters(letter, count) => part(*letter, *count, tokens.get(place + 1))?,
            });
        }
        if parts.is_empty() {
            return Err("the pattern is empty".into());
        }
        Ok(DatePattern { parts, zone })
    }

    /// Milliseconds since 1970 of a text that is a date in this pattern, from its first character to its last.
    pub fn millis(&self, text: &str) -> Option<i64> {
        let mut fields = DateFields::default();
        let mut rest = text;
        for part in &self.parts {
            rest = part.read(rest, &mut fields)?;
        }
        if !rest.is_empty() {
            return None;
        }
        fields.millis(&self.zone)
    }
}

pub(crate) enum DateToken {
    Literal(String),
    Letters(char, usize),
}

pub(crate) fn tokens(pattern: &str) -> Result<Vec<DateToken>, String> {
    let mut tokens = vec![];
    let mut literal = String::new();
    let mut quoted = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => literal.push('\''),
            '\'' => quoted = !quoted,
            c if quoted || !c.is_ascii_alphabetic() => literal.push(c),
            letter => {
                if !literal.is_empty() {
                    tokens.push(DateToken::Literal(std::mem::take(&mut literal)));
                }
                let mut count = 1;
                while chars.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                tokens.push(DateToken::Letters(letter, count));
            }
        }
    }
    if !literal.is_empty() {
        tokens.push(DateToken::Literal(literal));
    }
    Ok(tokens)
}

fn part(letter: char, count: usize, next: Option<&DateToken>) -> Result<DatePart, String> {
    let number_follows = match next {
        Some(DateToken::Letters('M', count)) => *count <= 2,
        Some(DateToken::Letters(letter, _)) => "cCxyYdehHmsSwDFwWkK".contains(*letter),
        _ => false,
    };
    let number = |field, digits| DatePart::Number {
        field,
        digits,
        signed: field == DateField::Year,
    };
    Ok(match letter {
        'y' | 'Y' if count == 2 => DatePart::TwoDigitYear {
            lenient: !number_follows,
        },
        'y' | 'Y' => number(DateField::Year, if number_follows { count } else { 9 }),
        'M' if count >= 3 => DatePart::MonthName,
        'M' => number(DateField::Month, 2),
        'd' => number(DateField::Day, 2),
        'D' => number(DateField::DayOfYear, 3),
        'E' => DatePart::DayName,
        'a' => DatePart::HalfDay,
        'H' => number(DateField::Hour, 2),
        'k' => number(DateField::ClockHour, 2),
        'K' => number(DateField::HalfDayHour, 2),
        'h' => number(DateField::HalfDayClockHour, 2),
        'm' => number(DateField::Minute, 2),
        's' => number(DateField::Second, 2),
        'S' => DatePart::Fraction { digits: count },
        'Z' if count <= 2 => DatePart::Offset,
        'Z' => DatePart::ZoneId,
        'z' if count <= 3 => DatePart::ZoneName,
        other => {
            return Err(format!(
                "the letter `{other}` of the pattern is not known here"
            ));
        }
    })
}

impl DatePart {
    /// Takes what it stands for from the front of `text`.
    fn read<'t>(&self, text: &'t str, fields: &mut DateFields) -> Option<&'t str> {
        match self {
            DatePart::Literal(literal) => strip_prefix_any_case(text, literal),
            DatePart::Number {
                field,
                digits,
                signed,
            } => {
                let (value, rest) = number(text, *digits, *signed)?;
                fields.set(*field, value)?;
                Some(rest)
            }
            DatePart::TwoDigitYear { lenient } => {
                let digits =
                    text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                if digits == 2 || (!lenient && digits > 2) {
                    let (value, rest) = number(text, 2, false)?;
                    fields.year = Some(full_year(value));
                    return Some(rest);
                }
                let (value, rest) = number(text, 9, true).filter(|_| *lenient)?;
                fields.year = Some(value);
                Some(rest)
            }
            DatePart::MonthName => {
                let (place, rest) = name(text, &MONTHS)?;
                fields.month = Some(place as i64 + 1);
                Some(rest)
            }
            DatePart::DayName => {
                let (place, rest) = name(text, &DAYS)?;
                fields.weekday = Some(place as i8 + 1);
                Some(rest)
            }
            DatePart::HalfDay => {
                let half = text.get(..2)?;
                fields.afternoon = ["PM", "pm"].contains(&half);
                (fields.afternoon || ["AM", "am"].contains(&half)).then(|| &text[2..])
            }
            DatePart::Fraction { digits } => {
                let found = text
                    .bytes()
                    .take(*digits)
                    .take_while(u8::is_ascii_digit)
                    .count();
                let millis = format!("{:0<3}", &text[..found]);
                fields.millisecond = millis[..3].parse().ok().filter(|_| found > 0)?;
                Some(&text[found..])
            }
            DatePart::Offset => offset(text, fields),
            DatePart::ZoneName => {
                let (name, id) = ZONE_NAMES.iter().find(|(name, _)| text.starts_with(name))?;
                fields.zone = TimeZone::get(id).ok();
                Some(&text[name.len()..])
            }
            DatePart::ZoneId => {
                let known = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
                let mut end = text.find(|c| !known(c)).unwrap_or(text.len());
                while end > 0 {
                    if let Ok(zone) = TimeZone::get(&text[..end]) {
                        fields.zone = Some(zone);
                        return Some(&text[end..]);
                    }
                    end -= 1;
                }
                None
            }
        }
    }
}

impl DateFields {
    fn set(&mut self, field: DateField, value: i64) -> Option<()> {
        let range = match field {
            DateField::Year => -9999..=9999,
            DateField::Month => 1..=12,
            DateField::Day => 1..=31,
            DateField::DayOfYear => 1..=366,
            DateField::Hour => 0..=23,
            DateField::ClockHour => 1..=24,
            DateField::HalfDayHour => 0..=11,
            DateField::HalfDayClockHour => 1..=12,
            DateField::Minute | DateField::Second => 0..=59,
        };
        if !range.contains(&value) {
            return None;
        }
        match field {
            DateField::Year => self.year = Some(value),
            DateField::Month => self.month = Some(value),
            DateField::Day => self.day = Some(value),
            DateField::DayOfYear => self.day_of_year = Some(value),
            DateField::Hour => self.hour = Some(value),
            DateField::ClockHour => self.hour = Some(value % 24),
            DateField::HalfDayHour => self.half_day_hour = Some(value),
            DateField::HalfDayClockHour => self.half_day_hour = Some(value % 12),
            DateField::Minute => self.minute = value,
            DateField::Second => self.second = value,
        }
        Some(())
    }

    fn millis(self, zone: &TimeZone) -> Option<i64> {
        let names_a_day = self.month.is_some()
            || self.day.is_some()
            || self.day_of_year.is_some()
            || self.weekday.is_some();
        let year = self
            .year
            .unwrap_or(if names_a_day { DEFAULT_YEAR } else { 1970 });
        let year = i16::try_from(year).ok()?;
        let month = i8::try_from(self.month.unwrap_or(1)).ok()?;
        let day = i8::try_from(self.day.unwrap_or(1)).ok()?;
        let mut date = Date::new(year, month, day).ok()?;
        if let Some(day_of_year) = self.day_of_year {
            let first = Date::new(year, 1, 1).ok()?;
            date = first.checked_add((day_of_year - 1).days()).ok()?;
            if date.year() != year {
                return None;
            }
        }
        if let Some(weekday) = self.weekday {
            // A day that is not that of the date means the one in the same week.
            let wanted = Weekday::from_monday_one_offset(weekday).ok()?;
            let ahead =
                i64::from(wanted.to_monday_one_offset() - date.weekday().to_monday_one_offset());
            date = date.checked_add(ahead.days()).ok()?;
        }
        let half_day = self
            .half_day_hour
            .map(|hour| hour + if self.afternoon { 12 } else { 0 });
        let hour = self
            .hour
            .or(half_day)
            .unwrap_or(if self.afternoon { 12 } else { 0 });
        let small = |value: i64| i8::try_from(value).ok();
        let nanos = i32::try_from(self.millisecond * 1_000_000).ok()?;
        let time = Time::new(
            small(hour)?,
            small(self.minute)?,
            small(self.second)?,
            nanos,
        )
        .ok()?;
        self.instant(DateTime::from_parts(date, time), zone)
    }

    fn instant(&self, local: DateTime, zone: &TimeZone) -> Option<i64> {
        if let Some(seconds) = self.offset {
            let offset = Offset::from_seconds(seconds).ok()?;
            return offset
                .to_timestamp(local)
                .ok()
                .map(|timestamp| timestamp.as_millisecond());
        }
        let local = self
            .zone
            .as_ref()
            .unwrap_or(zone)
            .to_ambiguous_timestamp(local);
        // A time that was skipped when clocks went forward is none; one that was there twice is the first.
        if matches!(local.offset(), AmbiguousOffset::Gap { .. }) {
            return None;
        }
        let timestamp = local.earlier().ok()?;
        Some(timestamp.as_millisecond())
    }
}

fn strip_prefix_any_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let mut rest = text.chars();
    let same = prefix.chars().all(|wanted| {
        rest.next()
            .is_some_and(|c| c == wanted || c.to_uppercase().eq(wanted.to_uppercase()))
    });
    same.then_some(rest.as_str())
}

/// At most so many digits, at least one.
fn number(text: &str, digits: usize, signed: bool) -> Option<(i64, &str)> {
    let sign = text.starts_with(['-', '+']) && signed;
    let after = &text[usize::from(sign)..];
    let found = after
        .bytes()
        .take(digits)
        .take_while(u8::is_ascii_digit)
        .count();
    let value: i64 = after[..found].parse().ok()?;
    Some((
        if sign && text.starts_with('-') {
            -value
        } else {
            value
        },
        &after[found..],
    ))
}

/// The place of the longest name, whole or its first three letters, that `text` begins with.
fn name<'t>(text: &'t str, names: &[&str]) -> Option<(usize, &'t str)> {
    let begins = |name: &str| {
        let found = text.get(..name.len())?;
        let cased = found == name || found == name.to_lowercase() || found == name.to_uppercase();
        cased.then(|| &text[name.len()..])
    };
    let whole = names
        .iter()
        .enumerate()
        .find_map(|(place, name)| Some((place, begins(name)?)));
    whole.or_else(|| {
        names
            .iter()
            .enumerate()
            .find_map(|(place, name)| Some((place, begins(&name[..3])?)))
    })
}

/// `Z`, `+hh`, `+hhmm` or `+hh:mm`, with or without seconds.
fn offset<'t>(text: &'t str, fields: &mut DateFields) -> Option<&'t str> {
    if text.starts_with(['Z', 'z']) {
        fields.offset = Some(0);
        return Some(&text[1..]);
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let two = |text: &'t str, most: i32| {
        let digits = text
            .get(..2)
            .filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        digits.parse::<i32>().ok().filter(|value| *value <= most)
    };
    let mut rest = &text[1..];
    let mut seconds = two(rest, 23)? * 3600;
    rest = &rest[2..];
    for unit in [60, 1] {
        let after = rest.strip_prefix(':');
        if after.is_none() && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            break;
        }
        rest = after.unwrap_or(rest);
        seconds += two(rest, 59)? * unit;
        rest = &rest[2..];
    }
    fields.offset = Some(sign * seconds);
    Some(rest)
}

/// The year that two digits mean: at most 20 years ahead, less than 80 back.
fn full_year(two_digits: i64) -> i64 {
    let this_year = i64::from(jiff::Zoned::now().year());
    let last = this_year + TWO_DIGIT_YEARS_AHEAD;
    last - (last - two_digits).rem_euclid(100)
}
