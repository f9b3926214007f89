//! Any stream in any pieces through both syslog parsers: no panic.
#![no_main]

use flume_wire::syslog::{
    Clock, KeptFields,
    classic::ClassicParser,
    stream::{StreamDialect, SyslogStream, first_message},
    strict,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, Vec<Vec<u8>>)| {
    let (keep, max_bytes, pieces) = input;
    let clock = Clock { now: 1_750_000_000_000, zone: jiff::tz::TimeZone::UTC };
    let keep = KeptFields { all: keep & 1 > 0, priority: keep & 2 > 0, version: keep & 4 > 0, timestamp: keep & 8 > 0, hostname: keep & 16 > 0 };
    let mut classic = ClassicParser::new(keep);
    for dialect in [StreamDialect::Classic, StreamDialect::Strict] {
        let mut stream = SyslogStream::new(dialect, max_bytes.into());
        for piece in &pieces {
            stream.feed(piece);
            while let Some(message) = stream.next_message() {
                classic.parse(message.bytes, message.is_cut, &clock);
                if let Ok(text) = std::str::from_utf8(message.bytes) {
                    let _ = strict::parse(text, keep, &clock);
                }
            }
            stream.settle();
        }
    }
    for piece in &pieces {
        first_message(piece);
    }
});
