//! Any text as JAAS, any bytes as the value of a record in Flume's format: no panic.
#![no_main]

use flume_wire::avro::{DatumReader, write_event};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = flume_kafka::read_jaas(&String::from_utf8_lossy(data));
    if let Ok(event) = DatumReader::new(data.to_vec().into()).event() {
        let mut written = vec![];
        write_event(&event, &mut written);
        let again = DatumReader::new(written.into()).event();
        assert_eq!(again.ok().as_ref(), Some(&event));
    }
});
