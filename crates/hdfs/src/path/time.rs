//! The time escapes: which moment an event belongs to, and what is written of it.

use flume_core::{Code, Event, config::Scalar};
use flume_java::{defaults, locale::LocaleNames};
use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};

/// Which moment an event belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Where its hours are counted.
    pub(crate) zone: TimeZone,
    /// What it is rounded down to.
    pub(crate) rounding: Option<Rounding>,
    /// The agent's clock rather than the header `timestamp`.
    pub(crate) local: bool,
}

/// Rounding down within the enclosing unit: to a multiple of ten minutes within the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounding {
    pub(crate) unit: RoundUnit,
    pub(crate) value: i8,
}

/// What is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoundUnit {
    Second,
    Minute,
    Hour,
    /// A unit that Flume does not know: nothing is rounded.
    Unknown,
}

impl RoundUnit {
    /// Units in the enclosing one, which is the greatest value to round to.
    pub(crate) fn most(self) -> i8 {
        if self == RoundUnit::Hour { 24 } else { 60 }
    }
}

impl Scalar for RoundUnit {
    const TYPE: &'static str = "choice";

    fn parse(text: &str) -> Result<Self, String> {
        let units = [
            ("second", RoundUnit::Second),
            ("minute", RoundUnit::Minute),
            ("hour", RoundUnit::Hour),
        ];
        let found = units
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        Ok(found.map_or(RoundUnit::Unknown, |(_, unit)| *unit))
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        let doubt = "is none of `second`, `minute`, `hour`, so nothing is rounded, as in Flume";
        let unknown = Self::parse(text) == Ok(RoundUnit::Unknown);
        unknown.then_some((Code::FallsBack, doubt))
    }
}

impl Clock {
    /// Milliseconds since 1970 of an event: its header `timestamp`, or `now`.
    pub(crate) fn millis(&self, event: &Event, now: Timestamp) -> Result<i64, String> {
        if self.local {
            return Ok(now.as_millisecond());
        }
        let Some(text) = event.headers.get("timestamp") else {
            return Err(
                "the event has no header `timestamp`, which the escapes of time need; \
                        add a timestamp interceptor, or set hdfs.useLocalTimeStamp"
                    .into(),
            );
        };
        text.parse().map_err(|_| {
            format!("the header `timestamp` is not a number of milliseconds: `{text}`")
        })
    }

    /// The moment at `millis`, rounded.
    pub(super) fn moment(&self, millis: i64) -> Result<Zoned, String> {
        let at = Timestamp::from_millisecond(millis).map_err(|_| {
            format!(
                "the header `timestamp` is beyond the year 9999; it counts milliseconds: {millis}"
            )
        })?;
        let moment = at.to_zoned(self.zone.clone());
        let Some(rounding) = self.rounding else {
            return Ok(moment);
        };
        // Java goes through wall-clock time, and of two moments with equal wall-clock time takes the later one.
        let rounded = self
            .zone
            .to_ambiguous_timestamp(rounding.apply(moment.datetime()))
            .later();
        rounded
            .map(|at| at.to_zoned(self.zone.clone()))
            .map_err(|error| error.to_string())
    }
}

impl Rounding {
    fn apply(self, time: DateTime) -> DateTime {
        let down = |field: i8| field - field % self.value.max(1);
        let (hour, minute, second) = match self.unit {
            RoundUnit::Second => (time.hour(), time.minute(), down(time.second())),
            RoundUnit::Minute => (time.hour(), down(time.minute()), 0),
            RoundUnit::Hour => (down(time.hour()), 0, 0),
            RoundUnit::Unknown => return time,
        };
        time.date().at(hour, minute, second, 0)
    }
}

/// A piece of a path in which only the time varies, in the notation of [`jiff::fmt::strtime`].
#[derive(Clone, Debug, Default)]
pub(super) struct TimeText {
    format: String,
}

impl TimeText {
    /// Adds text as it is.
    pub(super) fn push_text(&mut self, text: &str) {
        self.format.push_str(&text.replace('%', "%%"));
    }

    /// Adds a time escape; an unknown letter stands for nothing.
    pub(super) fn push_escape(&mut self, letter: char) {
        let format = localized(letter).or_else(|| format_of(letter));
        self.format.push_str(format.unwrap_or_default());
    }

    /// What it says at `moment`.
    pub(super) fn render(&self, moment: &Zoned, out: &mut String) -> Result<(), String> {
        let start = out.len();
        jiff::fmt::strtime::BrokenDownTime::from(moment)
            .format(&self.format, &mut *out)
            .map_err(|error| format!("the time cannot be written: {error}"))?;
        if let Some(names) = defaults::names() {
            let text = out.split_off(start);
            put_names(&text, names, moment, out);
        }
        Ok(())
    }
}

/// How an escape of time is written, in the notation of [`jiff::fmt::strtime`].
pub(super) fn format_of(letter: char) -> Option<&'static str> {
    let format = match letter {
        'a' => "%a",
        'A' => "%A",
        'b' => "%b",
        'B' => "%B",
        'c' => "%a %b %-d %H:%M:%S %Y",
        'd' => "%d",
        'D' => "%m/%d/%y",
        'e' => "%-d",
        'H' => "%H",
        'I' => "%I",
        'j' => "%j",
        'k' => "%-H",
        'l' => "%-I",
        'm' => "%m",
        'M' => "%M",
        'n' => "%-m",
        'p' => "%p",
        's' => "%s",
        'S' => "%S",
        'y' => "%y",
        'Y' => "%Y",
        'z' => "%z",
        _ => return None,
    };
    Some(format)
}

/// Stand for names in a language other than English, until the moment is known. Unicode keeps these characters for use
/// inside a program.
const NAME_MARKS: [char; 6] = [
    '\u{fdd0}', '\u{fdd1}', '\u{fdd2}', '\u{fdd3}', '\u{fdd4}', '\u{fdd5}',
];

/// What stands for an escape that is written in words, if they are not English.
fn localized(letter: char) -> Option<&'static str> {
    defaults::names()?;
    match letter {
        'a' => Some("\u{fdd0}"),
        'A' => Some("\u{fdd1}"),
        'b' => Some("\u{fdd2}"),
        'B' => Some("\u{fdd3}"),
        'c' => Some("\u{fdd0} \u{fdd4} %-d %H:%M:%S %Y"),
        'p' => Some("\u{fdd5}"),
        _ => None,
    }
}

fn put_names(text: &str, names: &LocaleNames, moment: &Zoned, out: &mut String) {
    let day = moment.weekday().to_sunday_zero_offset() as usize;
    let month = moment.month() as usize - 1;
    let half = usize::from(moment.hour() >= 12);
    let found = [
        names.days_short[day],
        names.days[day],
        names.months_short[month],
        names.months[month],
        names.months_in_date[month],
        names.half_days[half],
    ];
    for c in text.chars() {
        match NAME_MARKS.iter().position(|mark| *mark == c) {
            Some(place) => out.push_str(found[place]),
            None => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_their_language() {
        let moment: Zoned = "2026-11-29T21:05:00[UTC]".parse().expect("a moment");
        let mut out = String::from("x/");
        let names = flume_java::locale::names("de", "DE").expect("German");
        put_names(
            "\u{fdd0}-\u{fdd2} \u{fdd1} \u{fdd3} \u{fdd5}",
            names,
            &moment,
            &mut out,
        );
        assert_eq!(out, "x/So.-Nov Sonntag November PM");
    }
}
