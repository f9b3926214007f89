//! Any node configuration, any krb5.conf, any answer of a KDC: read without a panic.
#![no_main]

use flume_deploy::{Krb5Conf, clock::server_time, json::parse};
use libfuzzer_sys::fuzz_target;

/// At this depth includes are not followed any more.
const NO_INCLUDES: usize = usize::MAX;

fuzz_target!(|bytes: &[u8]| {
    server_time(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = parse("node.json", &text) {
        assert!(error.place.line >= 1 && error.place.column >= 1);
    }
    Krb5Conf::default().add(&text, NO_INCLUDES);
});
