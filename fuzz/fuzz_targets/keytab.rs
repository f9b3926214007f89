//! Any bytes at all as a keytab: no panic, and no more entries than fit.
#![no_main]

use flume_kerberos::Keytab;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keytab) = Keytab::parse(bytes) {
        assert!(keytab.entries.len() * 23 <= bytes.len());
        for principal in keytab.principals() {
            assert!(!keytab.newest(principal).is_empty());
        }
    }
});
