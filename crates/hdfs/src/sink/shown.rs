//! Where a sink writes, and what it cannot finish: in the log once, and in the status.

use std::{collections::BTreeMap, sync::Arc};

use flume_core::{Context, metrics::Text};
use parking_lot::Mutex;

/// What an operator sees of it.
pub(super) struct ShownPlace {
    sink: Arc<str>,
    writes_to: Text,
    journal: Text,
    unfinished: Text,
    /// What was logged: opening a sink again is no news.
    logged: Mutex<Vec<String>>,
}

impl ShownPlace {
    /// The texts `WritesTo`, `Journal` and `LeftUnfinished`.
    pub(super) fn new(cx: &Context) -> ShownPlace {
        ShownPlace {
            sink: cx.name.clone(),
            writes_to: cx.metrics.text("WritesTo"),
            journal: cx.metrics.text("Journal"),
            unfinished: cx.metrics.text("LeftUnfinished"),
            logged: Mutex::default(),
        }
    }

    /// The sink is open.
    pub(super) fn opened(&self, location: &str) {
        self.writes_to.set(location);
        self.log(format!("{} writes to {location}", self.sink), false);
    }

    /// The path names no file system, and no configuration of Hadoop names one.
    pub(super) fn local_by_default(&self) {
        let text = format!(
            "{} writes to this machine's disk: hdfs.path names no file system, and Hadoop's configuration names no \
             fs.defaultFS; set HADOOP_CONF_DIR, or begin hdfs.path with `file:` if the disk is meant",
            self.sink
        );
        self.log(text, true);
    }

    /// There is no journal.
    pub(super) fn no_journal(&self, reason: &str) {
        self.journal.set(format!("none: {reason}"));
        let text = format!(
            "{} keeps no journal, so a crash leaves its open files unfinished: {reason}",
            self.sink
        );
        self.log(text, true);
    }

    /// Files of earlier runs that are on other file systems, or belong to other users: how many where.
    pub(super) fn unfinished(&self, elsewhere: &BTreeMap<String, usize>) {
        let one = |(place, count): (&String, &usize)| {
            format!("{count} at {place}, where no sink of this agent writes now")
        };
        let text: Vec<_> = elsewhere.iter().map(one).collect();
        let text = text.join("; ");
        self.unfinished.set(text.clone());
        if !text.is_empty() {
            self.log(
                format!("files of earlier runs stay unfinished: {text}"),
                true,
            );
        }
    }

    fn log(&self, text: String, warning: bool) {
        let mut logged = self.logged.lock();
        if logged.contains(&text) {
            return;
        }
        if warning {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
        logged.push(text);
    }
}
