//! Any configuration of logging at all: read and laid out without a panic. Nothing is opened.
#![no_main]

use std::collections::BTreeMap;

use flume_logging::{
    Levels, cron::Cron, log4j1, log4j2,
    pattern::{LogLine, Pattern},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let properties = BTreeMap::from([("x".to_string(), "y".to_string())]);
    for plan in [log4j2::parse(&text, &properties), log4j1::parse(bytes, &properties)] {
        let Ok(plan) = plan else { continue };
        let levels = Levels::new(&plan.loggers);
        levels.route("flume_hdfs::bucket");
        levels.shown();
    }
    let time = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let line = LogLine {
        time: &time,
        level: "INFO",
        logger: "flume_core::state",
        file: "state.rs",
        line: 1,
        thread: "main",
        message: "é",
        millis: 0,
    };
    Pattern::parse(&text, &mut vec![]).write(&line, &mut String::new());
    if let Some(schedule) = Cron::parse(&text) {
        schedule.next(&time);
    }
});
