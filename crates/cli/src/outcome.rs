//! How a command ends.

use std::io::Write;

/// What the process ends with.
pub(crate) struct ExitCode(pub(crate) u8);

impl ExitCode {
    pub(crate) const SUCCESS: ExitCode = ExitCode(0);
    /// At run time.
    pub(crate) const FAILURE: ExitCode = ExitCode(1);
    /// Of usage or configuration.
    pub(crate) const WRONG: ExitCode = ExitCode(2);
}

/// Why a command failed, with its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user asked for something that cannot be: exit code 2.
    Usage(String),
    /// Something went wrong on the way: exit code 1.
    Runtime(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Runtime(error.into())
    }
}

/// Prints to standard output; a reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
