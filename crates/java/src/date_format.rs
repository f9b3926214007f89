//! Writes dates as `java.text.SimpleDateFormat` does in the English locale.

use jiff::Zoned;

use crate::date_pattern::{DAYS, DateToken, MONTHS, tokens};

/// The letters of a pattern, in the order of Java's manual.
const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";

/// Writes `time` by a pattern such as `yyyy-MM-dd HH:mm:ss,SSS`.
///
/// # Errors
/// The pattern has a letter that Java does not know, or a quote that is never closed.
pub fn format(pattern: &str, time: &Zoned) -> Result<String, String> {
    if pattern.matches('\'').count() % 2 == 1 {
        return Err("a quote in the pattern is never closed".into());
    }
    let mut text = String::new();
    for token in tokens(pattern)? {
        match token {
            DateToken::Literal(literal) => text += &literal,
            DateToken::Letters(letter, count) => text += &field(letter, count, time)?,
        }
    }
    Ok(text)
}

fn field(letter: char, count: usize, time: &Zoned) -> Result<String, String> {
    // Nobody wants more digits; a pattern must not make us build much.
    let width = count.min(20);
    let number = |value: i64| Ok(format!("{value:0width$}"));
    let hour = i64::from(time.hour());
    match letter {
        'G' => Ok(if time.year() > 0 { "AD" } else { "BC" }.into()),
        'y' if count == 2 => Ok(format!("{:02}", time.year().rem_euclid(100))),
        'y' => number(i64::from(time.year())),
        'Y' if count == 2 => Ok(format!("{:02}", us_week(time).0.rem_euclid(100))),
        'Y' => number(us_week(time).0),
        'M' | 'L' if count >= 3 => {
            let name = MONTHS[time.month() as usize - 1];
            Ok(if count == 3 { &name[..3] } else { name }.into())
        }
        'M' | 'L' => number(i64::from(time.month())),
        'w' => number(us_week(time).1),
        'W' => {
            let first = time.first_of_month().map_err(|error| error.to_string())?;
            let ahead = i64::from(first.weekday().to_sunday_zero_offset());
            number((i64::from(time.day()) + ahead - 1) / 7 + 1)
        }
        'D' => number(i64::from(time.day_of_year())),
        'd' => number(i64::from(time.day())),
        'F' => number((i64::from(time.day()) - 1) / 7 + 1),
        'E' => {
            let name = DAYS[time.weekday().to_monday_zero_offset() as usize];
            Ok(if count <= 3 { &name[..3] } else { name }.into())
        }
        'u' => number(i64::from(time.weekday().to_monday_one_offset())),
        'a' => Ok(if hour < 12 { "AM" } else { "PM" }.into()),
        'H' => number(hour),
        'k' => number(if hour == 0 { 24 } else { hour }),
        'K' => number(hour % 12),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }),
        'm' => number(i64::from(time.minute())),
        's' => number(i64::from(time.second())),
        'S' => number(i64::from(time.millisecond())),
        'z' => Ok(time.strftime("%Z").to_string()),
        'Z' => Ok(time.strftime("%z").to_string()),
        'X' if time.offset().is_zero() => Ok("Z".into()),
        'X' => {
            let long = time.strftime("%:z").to_string();
            Ok(match count {
                1 => long[..3].into(),
                2 => long.replace(':', ""),
                3 => long,
                _ => return Err("`X` is written once, twice or three times".into()),
            })
        }
        other => Err(format!("the letter `{other}` is none of {LETTERS}")),
    }
}

/// Year and week as in the United States: weeks begin on Sunday, and the first of January is in the first week.
fn us_week(time: &Zoned) -> (i64, i64) {
    let year = i64::from(time.year());
    let days = i64::from(time.days_in_year());
    let day = i64::from(time.day_of_year());
    let weekday = i64::from(time.weekday().to_sunday_zero_offset());
    // The last days of December are in the week of the next first of January.
    if day - weekday + 6 > days {
        return (year + 1, 1);
    }
    let first = (weekday - (day - 1)).rem_euclid(7);
    (year, (day - 1 + first) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `LC_ALL=en_US java.text.SimpleDateFormat` of Java 17, in the zone America/New_York.
    #[test]
    fn dates_are_written_as_in_java() {
        let time: Zoned = "2026-02-03T15:04:05.678[America/New_York]".parse().unwrap();
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss,SSS", "2026-02-03 15:04:05,678"),
            ("yy/M/d h:m:s a", "26/2/3 3:4:5 PM"),
            ("EEE, d MMM yyyy", "Tue, 3 Feb 2026"),
            ("EEEE MMMM", "Tuesday February"),
            ("'at' k 'o''clock'", "at 15 o'clock"),
            ("D DDD u F w W", "34 034 2 1 6 1"),
            ("z Z X XX XXX", "EST -0500 -05 -0500 -05:00"),
            ("SSSS K", "0678 3"),
            ("", ""),
        ] {
            assert_eq!(format(pattern, &time).as_deref(), Ok(expected), "{pattern}");
        }
        let end: Zoned = "2025-12-31T00:00:00[UTC]".parse().unwrap();
        assert_eq!(
            format("YYYY w h k X", &end).as_deref(),
            Ok("2026 1 12 24 Z")
        );
        assert!(format("yyyy-bb", &end).is_err());
        assert!(format("'open", &end).is_err());
    }
}
