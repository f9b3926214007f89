//! Patterns in Java's dialect, and texts to search, from anything at all.

#![no_main]

use flume_java::{date_pattern::DatePattern, regex::JavaRegex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, text) = input;
    if let Ok(regex) = JavaRegex::new(pattern) {
        let _ = regex.find_at(text, 0);
    }
    if let Ok(date) = DatePattern::new(pattern, jiff::tz::TimeZone::UTC) {
        date.millis(text);
    }
});
