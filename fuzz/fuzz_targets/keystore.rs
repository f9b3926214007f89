//! Any entries at all behind a digest that fits: no panic, no long wait.
#![no_main]

use flume_keystore::KeyStore;
use libfuzzer_sys::fuzz_target;
use sha1::{Digest, Sha1};

fuzz_target!(|entries: &[u8]| {
    let content = [b"\xce\xce\xce\xce\0\0\0\x02".as_slice(), entries].concat();
    let sum = Sha1::new().chain_update(b"\0pMighty Aphrodite").chain_update(&content).finalize();
    let _ = KeyStore::read(&[content.as_slice(), &sum].concat(), Some("p"));
    let _ = KeyStore::read(entries, Some("p"));
});
