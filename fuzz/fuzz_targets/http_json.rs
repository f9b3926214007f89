//! Any text as the body of a request to the `http` source: no panic, and an event is read again as it was.
#![no_main]

use flume_wire::json::{JsonCharset, event_of_line, events};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for charset in [JsonCharset::Utf8, JsonCharset::Utf16, JsonCharset::Utf32] {
        let _ = events(text, charset);
        let _ = event_of_line(text, charset);
    }
});
