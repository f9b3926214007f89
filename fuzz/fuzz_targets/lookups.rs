//! Any `${…}` at all: resolved or refused within limits, without a panic.
#![no_main]

use std::collections::BTreeMap;

use flume_conf::{ConfigFilter, Document, LookedUp, Lookups, NotFound};
use flume_core::{Diagnostic, props::Section};
use flume_origin::lookups::ProcessLookups;
use libfuzzer_sys::fuzz_target;

/// Of the process's lookups, those that touch neither files nor the network.
struct Pure(ProcessLookups);

impl Lookups for Pure {
    fn prefixed(&self, prefix: &str, name: &str) -> Result<LookedUp, NotFound> {
        if ["file", "properties", "localhost"].contains(&prefix) {
            return self.bare(name);
        }
        self.0.prefixed(prefix, name)
    }

    fn bare(&self, name: &str) -> Result<LookedUp, NotFound> {
        self.0.bare(name)
    }

    fn filter(&self, _: Section) -> (Option<Box<dyn ConfigFilter>>, Vec<Diagnostic>) {
        (Some(Box::new(Echo)), vec![])
    }
}

struct Echo;

impl ConfigFilter for Echo {
    fn value(&self, key: &str) -> Result<String, NotFound> {
        Ok(format!("{key}${{x}}"))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut document = Document::default();
    document.add("flume.conf", bytes);
    let Ok(lookups) = ProcessLookups::new(&BTreeMap::new(), None) else {
        return;
    };
    document.resolve(&Pure(lookups));
    for agent in document.agents() {
        document.plan(&agent, &flume_core::Registry::EMPTY);
    }
});
