//! Times as `CronTriggeringPolicy` has them: `0 0 0 * * ?` is every midnight.

use jiff::{ToSpan, Zoned, civil::Time};

/// How many days are searched for the next time: four years and a bit, for the 29th of February.
const MAX_DAYS: i64 = 1_500;
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Sets of seconds, minutes, hours, days of the month, months and days of the week; each bit is a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 1, as in Quartz.
    weekdays: u64,
}

impl Cron {
    /// Reads six fields, or seven if the last is `*`.
    pub fn parse(text: &str) -> Option<Cron> {
        let fields: Vec<_> = text.split_whitespace().collect();
        let (seconds, minutes, hours, days, months, weekdays) = match fields[..] {
            [a, b, c, d, e, f] | [a, b, c, d, e, f, "*"] => (a, b, c, d, e, f),
            _ => return None,
        };
        Some(Cron {
            seconds: field(seconds, 0, 59, &[])?,
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 1, 7, &DAYS)?,
        })
    }

    /// The first time after `now`.
    pub fn next(&self, now: &Zoned) -> Option<Zoned> {
        let mut day = now.date();
        let mut after = Some(now.time());
        for _ in 0..MAX_DAYS {
            if self.is_on(day)
                && let Some(time) = self.first_time(after)
            {
                return day.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
            }
            day = day.checked_add(1.day()).ok()?;
            after = None;
        }
        None
    }

    fn is_on(&self, day: jiff::civil::Date) -> bool {
        let weekday = day.weekday().to_sunday_one_offset();
        has(self.days, day.day()) && has(self.months, day.month()) && has(self.weekdays, weekday)
    }

    /// The first time of a day, behind `after` if there is one.
    fn first_time(&self, after: Option<Time>) -> Option<Time> {
        let from = after.map_or((0, 0, -1), |time| {
            (time.hour(), time.minute(), time.second())
        });
        for hour in from.0..24 {
            if !has(self.hours, hour) {
                continue;
            }
            let first_minute = if hour == from.0 { from.1 } else { 0 };
            for minute in first_minute..60 {
                if !has(self.minutes, minute) {
                    continue;
                }
                let same = hour == from.0 && minute == from.1;
                let first_second = if same { from.2 + 1 } else { 0 };
                let mut seconds = first_second..60;
                if let Some(second) = seconds.find(|second| has(self.seconds, *second)) {
                    return Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

fn has(set: u64, value: i8) -> bool {
    set >> value & 1 == 1
}

/// `*`, `?`, `5`, `1-5`, `*/10`, `0/15`, `MON-FRI`, and lists of them.
fn field(text: &str, least: u64, most: u64, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let named = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(place) => place as u64 + least,
            None => text.parse().ok()?,
        };
        (least..=most).contains(&value).then_some(value)
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                Some(step.parse::<u64>().ok().filter(|step| *step > 0)?),
            ),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (value(first)?, value(last)?),
            None if range == "*" || range == "?" => (least, most),
            None => {
                let only = value(range)?;
                (only, if step.is_some() { most } else { only })
            }
        };
        let mut next = first;
        while next <= last {
            set |= 1 << next;
            next += step.unwrap_or(1);
        }
    }
    (set != 0).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, now: &str, expected: Option<&str>) {
        let now: Zoned = now.parse().unwrap();
        let next = Cron::parse(schedule).and_then(|cron| cron.next(&now));
        let next = next.map(|next| next.strftime("%Y-%m-%d %H:%M:%S").to_string());
        assert_eq!(next.as_deref(), expected, "{schedule}");
    }

    #[test]
    fn the_next_time_is_found() {
        let now = "2026-02-27T23:59:59[UTC]";
        check("0 0 0 * * ?", now, Some("2026-02-28 00:00:00"));
        check("59 59 23 * * ?", now, Some("2026-02-28 23:59:59"));
        check("0 */10 * * * ?", now, Some("2026-02-28 00:00:00"));
        check("0 30 4 1 * ?", now, Some("2026-03-01 04:30:00"));
        check("0 0 12 ? * MON-FRI", now, Some("2026-03-02 12:00:00"));
        check("0 0 0 29 2 ?", now, Some("2028-02-29 00:00:00"));
        check("0 0 0 30 FEB ?", now, None);
        check("0 0 24 * * ?", now, None);
        check("0 0 * * *", now, None);
        check("0 0/0 * * * ?", now, None);
        check("", now, None);
    }
}
