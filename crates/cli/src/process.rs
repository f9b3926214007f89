//! What components ask of the process as a whole: an environment without certain variables, and how it ends.

use std::{env, io, os::unix::process::CommandExt, process::Command};

use crate::{outcome::ExitCode, registry::REGISTRY};

/// Starts the program again without the variables that no component wants, if one of them is set: a process can only
/// lose one safely before it has threads.
pub(crate) fn leave_out_variables() -> io::Result<()> {
    let mut again = Command::new(env::current_exe()?);
    let mut unwanted = vec![];
    for variable in REGISTRY.unwanted_variables() {
        if env::var_os(variable.name).is_some() {
            eprintln!(
                "flume-ng: {} has no effect: {}",
                variable.name, variable.reason
            );
            again.env_remove(variable.name);
            unwanted.push(variable.name);
        }
    }
    if unwanted.is_empty() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let error = again.args(arguments).exec();
    let names = unwanted.join(", ");
    let text = format!("failed to start again without {names}; unset it: {error}");
    Err(io::Error::new(error.kind(), text))
}

/// Ends the process as its components need it: a thread may still be inside a C library.
pub(crate) fn exit(code: ExitCode) -> ! {
    REGISTRY.exit(code.0)
}
