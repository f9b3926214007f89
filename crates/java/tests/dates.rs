//! Date patterns and texts with the answers of Joda-Time (golden/Dates.java).

use std::collections::BTreeSet;

use flume_java::date_pattern::DatePattern;
use jiff::tz::TimeZone;

/// What Joda-Time reads and this does not.
const REFUSED: &[&str] = &["yyyy.MM.dd G 'at' HH:mm", "xxxx-ww-e", "zzzz"];

#[test]
fn a_date_means_what_joda_time_means() {
    let zone = TimeZone::get("America/New_York").unwrap();
    let mut refused = BTreeSet::new();
    let mut wrong = vec![];
    for line in include_str!("golden/dates.tsv").lines() {
        let columns: Vec<_> = line.split('\t').collect();
        let [pattern, text, expected] = columns[..] else {
            panic!("{line}")
        };
        let seen = match DatePattern::new(pattern, zone.clone()) {
            Ok(date) => date
                .millis(text)
                .map_or("none".into(), |millis| millis.to_string()),
            Err(_) if expected == "error" => continue,
            Err(_) => {
                refused.insert(pattern);
                continue;
            }
        };
        if seen != expected {
            wrong.push(format!("{pattern} on {text}: {seen}, in Java {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(refused, BTreeSet::from_iter(REFUSED.iter().copied()));
}
