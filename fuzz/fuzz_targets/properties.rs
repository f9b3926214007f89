//! Any bytes at all: no panic, and every place lies inside the text.
#![no_main]

use std::sync::Arc;

use flume_conf::properties::{decode, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file: Arc<str> = "f".into();
    let (text, _) = decode(&file, bytes);
    let lines = 1 + text.chars().filter(|c| matches!(c, '\n' | '\r')).count();
    let parsed = parse(&file, &text);
    for place in parsed.entries.iter().flat_map(|entry| [&entry.key_place, &entry.value_place]) {
        assert!(place.line >= 1 && place.line as usize <= lines && place.column >= 1);
    }
});
