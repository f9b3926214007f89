//! Any bytes in any pieces as systemd's journal: no panic, and no entry is too large.
#![no_main]

use flume_wire::journal::{JournalEntry, JournalStream};
use libfuzzer_sys::fuzz_target;

fn entries(pieces: &[Vec<u8>], max_bytes: usize) -> Vec<JournalEntry> {
    let mut stream = JournalStream::new(max_bytes);
    let mut entries = vec![];
    for piece in pieces {
        stream.feed(piece);
        while let Ok(Some(entry)) = stream.next_entry() {
            entries.push(entry);
        }
    }
    entries
}

fuzz_target!(|input: (u16, Vec<Vec<u8>>)| {
    let (max_bytes, pieces) = input;
    for entry in entries(&pieces, max_bytes.into()) {
        let bytes: usize = entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= max_bytes.into());
    }
});
