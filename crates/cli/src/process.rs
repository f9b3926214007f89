//! The process as a whole: which variables it must not have and which it must have, who may read its memory, and how it
//! ends. A process can change its environment safely only before it has threads, so it begins anew: the same program,
//! with the same arguments.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use flume_core::config::Secret;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::{outcome::ExitCode, registry::REGISTRY};

/// The administrator's password. Every process of the same user could read it in `/proc/PID/environ`.
const PASSWORD: &str = "FLUME_KADMIN_PASSWORD";
/// Says that the password comes on standard input.
pub(crate) const PASSWORD_STDIN: &str = "kadmin-password-stdin";
/// No password is longer. A pipe holds as much, so writing it does not block.
const MAX_PASSWORD_BYTES: usize = 4096;

/// As `LimitNOFILE` of the unit.
const OPEN_FILES: u64 = 65_536;

/// Begins the program anew without the variables that it must not have: those that no component wants, and a password,
/// which goes on through a pipe to the only command that uses it.
pub(crate) fn clean_environment() -> io::Result<()> {
    let mut again = this_program()?;
    let mut unwanted = false;
    for variable in REGISTRY.unwanted_variables() {
        if env::var_os(variable.name).is_some() {
            eprintln!(
                "flume-ng: {} has no effect: {}",
                variable.name, variable.reason
            );
            again.env_remove(variable.name);
            unwanted = true;
        }
    }
    if let Some(password) = env::var_os(PASSWORD) {
        again.env_remove(PASSWORD);
        unwanted = true;
        let provisions = env::args_os()
            .nth(1)
            .is_some_and(|command| command == "provision");
        if provisions && !password.is_empty() {
            again.arg(format!("--{PASSWORD_STDIN}"));
            again.stdin(pipe_with(password)?);
        }
    }
    if unwanted {
        Err(failed(again.exec()))
    } else {
        Ok(())
    }
}

/// Begins the program anew with a variable that has this value, if it has another one.
pub(crate) fn have(name: &str, value: &str) -> io::Result<()> {
    if env::var_os(name).is_some_and(|found| found == value) {
        return Ok(());
    }
    Err(failed(this_program()?.env(name, value).exec()))
}

/// This program again, with its arguments.
pub(crate) fn this_program() -> io::Result<Command> {
    let mut arguments = env::args_os();
    let mut again = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments);
    Ok(again)
}

fn pipe_with(password: OsString) -> io::Result<Stdio> {
    let bytes = password.into_encoded_bytes();
    if bytes.len() > MAX_PASSWORD_BYTES {
        return Err(io::Error::other(format!("{PASSWORD} is too long")));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&bytes)?;
    Ok(reader.into())
}

/// Becomes that program. It comes back only with an error.
pub(crate) fn begin_anew(mut program: Command) -> io::Error {
    program.exec()
}

pub(crate) fn failed(error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("failed to begin anew with another environment: {error}"),
    )
}

/// The password that is all of a file or of standard input, without the line's end.
pub(crate) fn read_password(from: impl Read) -> io::Result<Secret> {
    let mut text = String::new();
    let limit = MAX_PASSWORD_BYTES as u64 + 2;
    from.take(limit).read_to_string(&mut text)?;
    Ok(Secret(text.trim_end_matches(['\r', '\n']).into()))
}

/// From now on no other process of this user may read the memory of this one, and a crash leaves no copy of it on a
/// disk: it will have keys and passwords in it.
pub(crate) fn guard_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Neither can fail for a process that only gives up rights.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Takes as many descriptors as the unit gives, if the system lets it: every connection and every open file needs one. A
/// JVM takes all that it may have.
pub(crate) fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        // It cannot fail below the maximum.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// Ends the process as its components need it: a thread may still be inside a C library.
pub(crate) fn exit(code: ExitCode) -> ! {
    flume_bridge::end_processes();
    REGISTRY.exit(code.0)
}
