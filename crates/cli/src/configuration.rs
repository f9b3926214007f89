//! The configuration files of a running agent.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use flume_conf::{Document, Plan};
use flume_host::watch::FileWatch;
use flume_origin::lookups::ProcessLookups;
use flume_runtime::Configuration;

use crate::registry::REGISTRY;

/// Files, read in order; later keys win.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    /// The files, and those that lookups read.
    watch: FileWatch,
    agent: String,
    surroundings: AgentSurroundings,
}

/// What lookups can find besides the environment.
pub(crate) struct AgentSurroundings {
    /// Java's system properties that are set.
    pub(crate) properties: BTreeMap<String, String>,
    /// The directory given with `--conf`.
    pub(crate) conf_dir: Option<PathBuf>,
}

impl AgentSurroundings {
    /// Resolves the lookups of a document. The answer has the files that were read for that.
    pub(crate) fn resolve(&self, document: &mut Document) -> Result<Vec<PathBuf>, String> {
        let conf_dir = self.conf_dir.as_deref().map(Path::new);
        let lookups = ProcessLookups::new(&self.properties, conf_dir)?;
        document.resolve(&lookups);
        Ok(lookups.files())
    }
}

impl Files {
    pub(crate) fn new(paths: Vec<PathBuf>, agent: &str, surroundings: AgentSurroundings) -> Self {
        Files {
            watch: FileWatch::new(paths.clone()),
            paths,
            agent: agent.into(),
            surroundings,
        }
    }
}

impl Configuration for Files {
    fn changed(&mut self) -> bool {
        self.watch.changed()
    }

    fn read(&mut self) -> Result<Plan, String> {
        self.watch.look();
        let mut document = Document::read(&self.paths)?;
        let looked_up = self.surroundings.resolve(&mut document)?;
        self.watch.also(looked_up);
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
