//! Any configuration at all: planned and judged without a panic.
#![no_main]

use flume_conf::Document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut document = Document::default();
    document.add("flume.conf", bytes);
    for agent in document.agents() {
        let mut plan = document.plan(&agent, &flume_components::REGISTRY);
        plan.verdicts();
        plan.remark_flows();
        plan.leave_out_halves();
        plan.diagnostics.iter().for_each(|found| drop(found.to_string()));
    }
});
