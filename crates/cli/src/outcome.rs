//! How a command ends.

use std::{io::Write, process::ExitCode};

/// Why a command failed, with its exit code.
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
