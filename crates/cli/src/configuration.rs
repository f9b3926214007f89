//! The configuration files of a running agent.

use std::{fs, path::PathBuf, time::SystemTime};

use flume_conf::{Document, Plan};
use flume_runtime::Configuration;

use crate::registry::REGISTRY;

/// Files, read in order; later keys win.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    agent: String,
    seen: Vec<Option<SystemTime>>,
}

impl Files {
    pub(crate) fn new(paths: Vec<PathBuf>, agent: &str) -> Self {
        Files {
            paths,
            agent: agent.into(),
            seen: vec![],
        }
    }

    /// A file that vanished counts as unchanged, as in Flume.
    fn times(&self) -> Vec<Option<SystemTime>> {
        let time = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let times = self.paths.iter().map(time);
        times
            .enumerate()
            .map(|(place, time)| time.or(self.seen.get(place).copied().flatten()))
            .collect()
    }
}

impl Configuration for Files {
    fn changed(&mut self) -> bool {
        self.times() != self.seen
    }

    fn read(&mut self) -> Result<Plan, String> {
        self.seen = self.times();
        let document = Document::read(&self.paths)?;
        let agents = document.agents();
        if !agents.contains(&self.agent) {
            return Err(format!(
                "there is no agent `{}`, the configuration has: {}",
                self.agent,
                agents.join(", ")
            ));
        }
        Ok(document.plan(&self.agent, &REGISTRY))
    }
}
