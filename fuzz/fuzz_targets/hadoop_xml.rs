//! Any text at all as a configuration of Hadoop: no panic, and it ends.
#![no_main]

use std::path::Path;

use flume_hadoop::conf::{ClientSettings, Hadoop, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // What it includes is itself.
    let load = |_: &Path| Ok(text.to_string());
    if let Ok(properties) = parse(text, Path::new("core-site.xml"), &load) {
        let hadoop = Hadoop::of(properties);
        let _ = (ClientSettings::of(&hadoop), hadoop.target("/x"), hadoop.to_map());
        for (_, setting) in hadoop.settings() {
            let _ = hadoop.target(&setting.value);
        }
    }
});
