//! What Flume's sources remember of files, from anything at all.

#![no_main]

use flume_files::{FilePosition, TrackedPosition};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = TrackedPosition::read(bytes);
    let _ = FilePosition::read(bytes, bytes);
});
