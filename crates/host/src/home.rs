//! The user's home directory: that of `-Duser.home`, else the environment's.

use std::{env, path::PathBuf, sync::OnceLock};

static HOME: OnceLock<PathBuf> = OnceLock::new();

/// Sets it for this process, once, before anybody asks. Programs that are started keep the environment's.
pub fn set(home: PathBuf) {
    // A second home would move files that are in use.
    let _ = HOME.set(home);
}

/// The home directory, if there is one.
pub fn directory() -> Option<PathBuf> {
    HOME.get()
        .cloned()
        .or_else(|| env::var_os("HOME").map(PathBuf::from))
}
