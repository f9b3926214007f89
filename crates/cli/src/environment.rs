//! What the process must not have in its environment.

use std::{env, io, os::unix::process::CommandExt, process::Command};

/// The client of HDFS reads a file of delegation tokens by this variable with each connection. No sink has a use for
/// them, and what is wrong with the file ends a thread of it, or the process.
const TOKENS: &str = "HADOOP_TOKEN_FILE_LOCATION";

/// Begins the program anew without the variable, if it is set: only before it starts can a process lose one safely.
pub(crate) fn leave_out_tokens() -> io::Result<()> {
    if env::var_os(TOKENS).is_none() {
        return Ok(());
    }
    eprintln!("flume-ng: {TOKENS} has no effect: sinks log in by keytabs and tickets");
    let mut arguments = env::args_os();
    let mut again = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let error = again.args(arguments).env_remove(TOKENS).exec();
    Err(io::Error::new(
        error.kind(),
        format!("failed to begin anew without {TOKENS}, unset it: {error}"),
    ))
}
