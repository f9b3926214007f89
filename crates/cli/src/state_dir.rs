//! Where agents keep what they need between runs.

use std::path::PathBuf;

const PACKAGED: &str = "/var/lib/flume";

/// The directory of one agent: below `--state-dir`, else systemd's, else the package's if it may be written,
/// else one in the user's home.
pub(crate) fn of_agent(given: Option<&str>, agent: &str) -> PathBuf {
    base(given).join(agent)
}

fn base(given: Option<&str>) -> PathBuf {
    if let Some(given) = given {
        return given.into();
    }
    // systemd may name several, separated by colons.
    if let Some(systemd) = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty()) {
        return std::env::split_paths(&systemd).next().unwrap_or_default();
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".flume/state"));
    if rustix::fs::access(PACKAGED, rustix::fs::Access::WRITE_OK).is_ok() {
        return PACKAGED.into();
    }
    home.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("flume-{}", rustix::process::getuid().as_raw()))
    })
}
