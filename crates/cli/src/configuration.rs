//! The configuration files of a running agent.

use std::path::PathBuf;

use flume_conf::{Document, Plan};
use flume_host::watch::FileWatch;
use flume_runtime::Configuration;

use crate::registry::REGISTRY;

/// Files, read in order; later keys win.
pub(crate) struct Files {
    watch: FileWatch,
    agent: String,
}

impl Files {
    pub(crate) fn new(paths: Vec<PathBuf>, agent: &str) -> Self {
        Files {
            watch: FileWatch::new(paths),
            agent: agent.into(),
        }
    }
}

impl Configuration for Files {
    fn changed(&mut self) -> bool {
        self.watch.changed()
    }

    fn read(&mut self) -> Result<Plan, String> {
        self.watch.look();
        let paths: Vec<PathBuf> = self.watch.paths().map(PathBuf::from).collect();
        let document = Document::read(&paths)?;
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
