//! Any bytes as a log of Java Flume, with records between them, and any bytes as a record: it is read to its end, what is
//! found stands in order inside the file, and nothing panics.
#![no_main]

#[path = "../memory_disk.rs"]
mod memory_disk;

use std::path::Path;

use flume_file_channel::java::{Found, LogReader, Record};
use libfuzzer_sys::fuzz_target;
use memory_disk::Memory;

/// `log-1.meta` of a new log.
const META: &[u8] = &[
    0x2e, 0x0d, 3, 0, 0, 0, 0x15, 1, 0, 0, 0, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x31, 0, 0, 0, 0,
    0, 0, 0, 0, 0x39, 0, 0, 0, 0, 0, 0, 0, 0,
];

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = Record::decode(data.to_vec().into()) {
        let mut out = vec![];
        record.encode(&mut out);
        assert_eq!(Record::decode(out.into()).as_ref(), Ok(&record));
    }
    let disk = Memory { file: data.to_vec(), meta: META };
    let reader = LogReader::open(&disk, Path::new("log-1"), 1, None, 4096).expect("a log");
    let Some(mut reader) = reader else { return };
    let mut end = 0;
    while let Some(found) = reader.advance().expect("memory does not fail") {
        match found {
            Found::Record(offset, _) => {
                assert!(u64::from(offset) >= end, "backwards");
                end = u64::from(offset) + 1;
            }
            Found::Damage(range) => {
                assert!(range.start >= end && range.start < range.end, "backwards");
                end = range.end;
            }
        }
        assert!(end <= data.len() as u64, "behind the end");
    }
});
