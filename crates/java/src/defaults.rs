//! What a JVM calls its defaults: time zone and language. `-Duser.timezone`, `-Duser.language` and `-Duser.country` set
//! them for the whole process, once, before any component is built.

use std::{collections::BTreeMap, sync::OnceLock};

use jiff::tz::TimeZone;

use crate::{
    locale::{self, LocaleNames},
    zone,
};

static ZONE: OnceLock<TimeZone> = OnceLock::new();
static NAMES: OnceLock<&'static LocaleNames> = OnceLock::new();

/// Takes the defaults from the system properties. The answer is what has no effect, and why. A second call changes
/// nothing.
pub fn set(properties: &BTreeMap<String, String>) -> Vec<String> {
    let get = |key: &str| properties.get(key).map_or("", |value| value.trim());
    let mut doubts = vec![];
    let zone = get("user.timezone");
    if !zone.is_empty() {
        let found = zone::find(zone);
        if found.is_none() {
            let text = "Java knows no such time zone, so it is GMT, as in Java";
            doubts.push(format!("user.timezone={zone}: {text}"));
        }
        let _ = ZONE.set(found.unwrap_or(TimeZone::UTC));
    }
    let language = get("user.language");
    let country = match get("user.country") {
        "" => get("user.region"),
        country => country,
    };
    if !locale::is_known(language) {
        let text =
            "the names of days and months in this language are not known here and stay English";
        doubts.push(format!("user.language={language}: {text}"));
    }
    let language = if language.is_empty() { "en" } else { language };
    if let Some(names) = locale::names(language, country) {
        let _ = NAMES.set(names);
    }
    doubts
}

/// The time zone of the process: that of `-Duser.timezone`, else the system's.
pub fn time_zone() -> TimeZone {
    ZONE.get().cloned().unwrap_or_else(TimeZone::system)
}

/// The names of days and months, if they are not English.
pub fn names() -> Option<&'static LocaleNames> {
    NAMES.get().copied()
}
