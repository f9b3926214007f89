//! Why something is not so, and what to do about it.

use std::{fmt, io, path::Path};

/// A cause with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, as a fragment.
    pub cause: String,
    /// What would help, as a request.
    pub remedy: String,
    /// Whether it is but a lack of rights.
    pub denied: bool,
}

impl Fault {
    /// A fault.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault {
            cause: cause.into(),
            remedy: remedy.into(),
            denied: false,
        }
    }

    /// Somebody asked this process to stop.
    pub(crate) fn interrupted() -> Fault {
        Fault::new("interrupted by a signal", "run this again")
    }

    /// For `map_err`: what the system said about a path while `doing` something with it.
    pub fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
        let doing = doing.to_string();
        let path = path.display().to_string();
        move |error| {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "run it as root: sudo flume-ng …".into(),
                io::ErrorKind::ReadOnlyFilesystem => {
                    format!("the file system of {path} is mounted read-only: mount it writable")
                }
                io::ErrorKind::StorageFull => format!("make room on the file system of {path}"),
                io::ErrorKind::NotFound => format!("is the directory of {path} there?"),
                _ => format!("look at {path}"),
            };
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            Fault {
                cause: format!("failed to {doing} {path}: {error}"),
                remedy,
                denied,
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}
