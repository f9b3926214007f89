//! Files that are read, and programs that are run, because a configuration names them. There is no other way to either,
//! so the rule for root stands here alone.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use flume_conf::NotFound;
use flume_host::{
    child::{ChildError, Ended, Program},
    trust,
};

/// What would be right where root is refused something.
const AS_THE_AGENT: &str = "run this as the user that the agent runs as";

/// What a configuration is resolved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The agent of this process runs with it.
    Run,
    /// It is only looked at. `may_follow` is whether this process may do what it says: root may not if another user can
    /// change it.
    Look {
        /// See [`trust::Contents`].
        may_follow: bool,
    },
}

/// What may be done for a configuration, and what was done. Clones share it.
#[derive(Clone)]
pub(crate) struct Access {
    purpose: Purpose,
    /// What was read, to be watched.
    files: Rc<RefCell<BTreeSet<PathBuf>>>,
}

/// Why a program did not end by itself.
pub(crate) enum NotRun {
    /// It may not be run.
    Refused(NotFound),
    /// It was to run.
    Failed(ChildError),
}

impl Access {
    pub(crate) fn new(purpose: Purpose) -> Access {
        Access {
            purpose,
            files: Rc::default(),
        }
    }

    /// The files that were read, or were to be read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().cloned().collect()
    }

    /// The bytes of a file that is no longer than `max_bytes`.
    pub(crate) fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, NotFound> {
        self.contents(path, max_bytes)
            .map(|contents| contents.bytes)
    }

    /// The same for a file that is a part of the configuration itself: nothing of it is shown to root, either, if
    /// another user can change it.
    pub(crate) fn read_settings(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, NotFound> {
        let contents = self.contents(path, max_bytes)?;
        if contents.may_follow {
            return Ok(contents.bytes);
        }
        Err(NotFound {
            text: format!(
                "{} is not read with root's rights: another user can change it",
                path.display()
            ),
            hint: Some(AS_THE_AGENT.into()),
        })
    }

    fn contents(&self, path: &Path, max_bytes: u64) -> Result<trust::Contents, NotFound> {
        let shown = path.display();
        self.permit(&format!("to read {shown}"))?;
        self.files.borrow_mut().insert(path.into());
        let read = match fs::metadata(path) {
            Ok(found) if !found.is_file() => Err(format!("{shown} is not a file")),
            _ if self.purpose == Purpose::Run => {
                let bytes = trust::read_as_told(path, max_bytes);
                let may_follow = true;
                bytes.map(|bytes| trust::Contents { bytes, may_follow })
            }
            _ => trust::read(path, max_bytes),
        };
        read.map_err(|text| NotFound {
            text,
            hint: Some("make the file readable for the user that the agent runs as".into()),
        })
    }

    /// Runs a program to its end; `name` is what the configuration calls it.
    pub(crate) fn run(&self, name: &str, program: Program) -> Result<Ended, NotRun> {
        self.permit(&format!("to run `{name}`"))
            .map_err(NotRun::Refused)?;
        program.run().map_err(NotRun::Failed)
    }

    fn permit(&self, deed: &str) -> Result<(), NotFound> {
        if self.purpose != (Purpose::Look { may_follow: false }) {
            return Ok(());
        }
        Err(NotFound {
            text: format!(
                "{deed} is not done with root's rights for a configuration that another user can change"
            ),
            hint: Some(AS_THE_AGENT.into()),
        })
    }
}
