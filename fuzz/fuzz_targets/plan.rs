//! Any configuration at all: planned and reported without a panic.
#![no_main]

use flume_conf::{Document, report};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut document = Document::default();
    document.add("flume.conf", bytes);
    for agent in document.agents() {
        let plan = document.plan(&agent, &flume_components::REGISTRY);
        report::human(&document, &plan.diagnostics, true);
        report::json(&plan.diagnostics);
    }
});
