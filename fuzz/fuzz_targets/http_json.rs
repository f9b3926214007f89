//! Any text as the body of a request to the `http` source: no panic, and an event is read again as it was. The same text as a
//! document and as the place of a field in it.
#![no_main]

use flume_wire::json::{FieldPath, FieldPaths, JsonCharset, event_of_line, events};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for charset in [JsonCharset::Utf8, JsonCharset::Utf16, JsonCharset::Utf32] {
        let _ = events(text, charset);
        let _ = event_of_line(text, charset);
    }
    let (path, json) = text.split_once('\n').unwrap_or(("/a/0", text));
    let paths = FieldPath::parse(path).into_iter().chain(FieldPath::parse("$.a"));
    let _ = FieldPaths::new(paths).values(json.as_bytes());
});
