//! Time zones by the names that Java knows.

use flume_core::{Code, config::Scalar};
use jiff::tz::{Offset, TimeZone};

/// A time zone as `java.util.TimeZone.getTimeZone` reads it: a name of the tz database, one of Java's old
/// three-letter names, or `GMT+8`, `GMT-3:30`, `GMT+0530`. Everything else is GMT, with a warning.
#[derive(Clone, Debug)]
pub struct Zone(pub TimeZone);

impl Scalar for Zone {
    const TYPE: &'static str = "time zone";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Zone(find(text).unwrap_or(TimeZone::UTC)))
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        let doubt = "is not a time zone that Java knows, so it is GMT, as in Flume";
        find(text).is_none().then_some((Code::FallsBack, doubt))
    }
}

/// Names that Java has beside the tz database, or understands differently.
const OLD_NAMES: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "GMT-5"),
    ("HST", "GMT-10"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "GMT-7"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// The time zone of that name; `None` where Java takes GMT.
pub fn find(name: &str) -> Option<TimeZone> {
    let name = OLD_NAMES
        .iter()
        .find(|(old, _)| *old == name)
        .map_or(name, |(_, name)| name);
    if let Some(offset) = name.strip_prefix("GMT").and_then(custom_offset) {
        return Some(TimeZone::fixed(offset));
    }
    if matches!(name, "UTC" | "GMT") {
        return Some(TimeZone::UTC);
    }
    // The database ignores case; Java does not.
    TimeZone::get(name)
        .ok()
        .filter(|zone| zone.iana_name() == Some(name))
}

/// `+8`, `-3:30`, `+0530`: hours below 24, and minutes of two digits.
fn custom_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), _) => (hours, minutes),
        (None, 1 | 2) => (digits, "00"),
        (None, 3 | 4) => digits.split_at_checked(digits.len() - 2)?,
        _ => return None,
    };
    let number = |text: &str, lengths: &[usize], below: i32| {
        let digits =
            text.bytes().all(|byte| byte.is_ascii_digit()) && lengths.contains(&text.len());
        text.parse::<i32>()
            .ok()
            .filter(|number| digits && *number < below)
    };
    let seconds = number(hours, &[1, 2], 24)? * 3600 + number(minutes, &[2], 60)? * 60;
    Offset::from_seconds(sign * seconds).ok()
}
