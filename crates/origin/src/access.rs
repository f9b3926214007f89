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
use flume_host::child::{ChildError, Ended, Program};

/// What may be done for a configuration, and what was done. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// Whether nothing may be read and nothing run.
    is_restricted: bool,
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
    /// For a configuration that another user can change, looked at by root: nothing may be done for it.
    pub(crate) fn restricted() -> Access {
        Access {
            is_restricted: true,
            ..Access::default()
        }
    }

    /// The files that were read, or were to be read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().cloned().collect()
    }

    /// The bytes of a file that is no longer than `max_bytes`.
    pub(crate) fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, NotFound> {
        let shown = path.display();
        self.permit(&format!("to read {shown}"))?;
        self.files.borrow_mut().insert(path.into());
        let problem = match fs::metadata(path) {
            Ok(found) if !found.is_file() => "is not a file".into(),
            Ok(found) if found.len() > max_bytes => {
                format!("has more than {} MiB", max_bytes >> 20)
            }
            Ok(_) => match fs::read(path) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => format!("cannot be read: {error}"),
            },
            Err(error) => format!("cannot be read: {error}"),
        };
        Err(NotFound {
            text: format!("{shown} {problem}"),
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
        if !self.is_restricted {
            return Ok(());
        }
        Err(NotFound {
            text: format!(
                "{deed} is not done with root's rights for a configuration that another user can change"
            ),
            hint: Some("run this as the user that the agent runs as".into()),
        })
    }
}
