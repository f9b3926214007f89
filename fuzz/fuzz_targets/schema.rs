//! Any text at all: a schema or a reason, and the canonical form of a schema is a schema equal to it.
#![no_main]

use flume_wire::avro::Schema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(schema) = Schema::parse(text) {
        let again = Schema::parse(schema.canonical()).expect("canonical forms are schemas");
        assert_eq!(schema, again);
    }
});
