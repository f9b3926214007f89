//! What Flume's start script does before Java starts: it sources `flume-env.sh` of the directory given with `--conf`,
//! and takes options from `JAVA_OPTS` and `FLUME_JAVA_OPTS`.
//!
//! What the file exports must be in the environment of this process, and that can be changed safely only before there
//! are threads. So the program begins anew with the environment that the file leaves.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::Duration,
};

use flume_host::{
    child::{self, Program},
    environment::Environment,
    trust::{self, MAX_CONFIGURATION_BYTES},
};

use crate::{
    args::{self, Args},
    process,
};

/// How long the file may take. `hadoop classpath`, which some call there, takes a few seconds.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Says which process has sourced the file already: the number stays the same when a program begins anew.
const SOURCED: &str = "FLUME_ENV_SOURCED_BY";
/// Stands between what the file prints and the variables.
const MARK: &[u8] = b"\0-- variables --\0";
/// Sources the file as Flume's script does. That script sets these variables first, and uses them whether they are
/// exported or not.
const SCRIPT: &str = "JAVA_OPTS=-Xmx20m; FLUME_CLASSPATH=; FLUME_JAVA_LIBRARY_PATH=
. \"$0\" >&2
export JAVA_OPTS FLUME_JAVA_OPTS FLUME_CLASSPATH FLUME_JAVA_LIBRARY_PATH
printf '\\0-- variables --\\0'
exec env -0";
/// What the script sets when nobody else does. It is not for us.
const DEFAULT_JAVA_OPTS: &str = "-Xmx20m";
/// Commands for which Flume's script sources the file, and those of ours that must see what an agent sees.
const COMMANDS: &[&str] = &["agent", "node", "avro-client", "tool", "validate", "graph"];
/// Those that root may use to look at what somebody else has written.
const LOOKING: &[&str] = &["validate", "graph"];
/// Variables that a shell sets for itself.
const OF_THE_SHELL: &[&str] = &["_", "SHLVL", "PWD", "OLDPWD"];

/// Begins the program anew with the environment that `flume-env.sh` leaves, if there is one. The answer is why it
/// cannot.
pub(crate) fn source_environment(arguments: &[String]) -> Result<(), String> {
    let Some((command, rest)) = arguments.split_first() else {
        return Ok(());
    };
    if !COMMANDS.contains(&command.as_str()) || is_sourced() {
        return Ok(());
    }
    let Some(file) = conf_dir(rest).map(|directory| directory.join("flume-env.sh")) else {
        return Ok(());
    };
    if !file.is_file() {
        return Ok(());
    }
    let shown = file.display().to_string();
    // Once nobody else can change the file or the way to it, the path means the same to the shell.
    if LOOKING.contains(&command.as_str())
        && !trust::read(&file, MAX_CONFIGURATION_BYTES)?.may_follow
    {
        eprintln!(
            "flume-ng: {shown} is not sourced: another user can change it, and this is root; run this as the user that \
             the agent runs as"
        );
        return Ok(());
    }
    let variables = source(&file)?;
    let mut again = process::this_program().map_err(|error| error.to_string())?;
    again.env_clear().envs(variables);
    // The shell was not told them. Without them systemd would wait in vain for this process to be ready.
    again.envs(Environment::of_this_process_alone().iter());
    again.env(SOURCED, std::process::id().to_string());
    eprintln!("flume-ng: sourced {shown}");
    Err(process::failed(process::begin_anew(again)).to_string())
}

fn is_sourced() -> bool {
    env::var(SOURCED).is_ok_and(|process| process == std::process::id().to_string())
}

/// Options that the environment has for `java`: from the file those in `JAVA_OPTS`, as Flume's script forgets an
/// inherited one; and those in `FLUME_JAVA_OPTS`.
pub(crate) fn java_options() -> Args {
    let variable = |name| env::var(name).unwrap_or_default();
    let mut options = String::new();
    if is_sourced() {
        options = variable("JAVA_OPTS");
        if options == DEFAULT_JAVA_OPTS {
            options.clear();
        }
    }
    let words = args::words(&format!("{options} {}", variable("FLUME_JAVA_OPTS")));
    args::parse_jvm_options(&words)
}

/// The value of `--conf`, in the spellings that Flume's script knows and in ours.
fn conf_dir(arguments: &[String]) -> Option<PathBuf> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (argument.as_str(), None),
        };
        if ["-c", "--conf", "-conf", "--c"].contains(&name) {
            return value.or_else(|| rest.next().cloned()).map(PathBuf::from);
        }
    }
    None
}

/// The variables after the file was sourced.
fn source(file: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let shown = file.display();
    let shell = child::find("bash").or_else(|| child::find("sh"));
    let shell = shell.ok_or_else(|| format!("{shown} cannot be sourced: there is no shell"))?;
    // The `.` of a shell searches PATH for a name without a slash.
    let path = std::path::absolute(file).map_err(|error| format!("{shown}: {error}"))?;
    // The file is the operator's, and a part of the agent's own start: it may use any variable, as under Flume's script.
    let ended = Program::new(
        shell,
        &[OsStr::new("-c"), OsStr::new(SCRIPT), path.as_os_str()],
    )
    .environment(Environment::without(|_| false))
    .limit(SOURCE_TIMEOUT)
    .run()
    .map_err(|error| format!("failed to source {shown}: {error}"))?;
    if !ended.err.trim().is_empty() {
        eprintln!("{}", ended.err.trim_end());
    }
    let out = &ended.out_bytes;
    let mark = out.windows(MARK.len()).position(|part| part == MARK);
    let Some(mark) = mark.filter(|_| ended.ok()) else {
        return Err(format!(
            "failed to source {shown}: it ended the shell ({}); mend the file, or start without --conf",
            ended.last_line()
        ));
    };
    let variables = out[mark + MARK.len()..].split(|byte| *byte == 0);
    Ok(variables.filter_map(variable).collect())
}

/// `NAME=VALUE`.
fn variable(text: &[u8]) -> Option<(OsString, OsString)> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let name = OsStr::from_bytes(&text[..equals]);
    let value = OsString::from_vec(text[equals + 1..].to_vec());
    // An unset variable of Flume's that was exported here is empty, and means the same.
    let wanted = !OF_THE_SHELL.iter().any(|own| *own == name);
    (wanted && equals > 0).then(|| (name.into(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flume-env.sh");
        std::fs::write(&file, text).unwrap();
        let variables = source(&file).unwrap();
        for (name, value) in expected {
            let found = variables.iter().find(|(found, _)| found == name);
            assert_eq!(
                found.map(|(_, value)| value.to_str().unwrap()),
                Some(*value),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_sets_variables_as_under_flumes_script() {
        check("# nothing\n", &[("JAVA_OPTS", DEFAULT_JAVA_OPTS)]);
        check(
            "JAVA_OPTS=\"$JAVA_OPTS -Da=b\"",
            &[("JAVA_OPTS", "-Xmx20m -Da=b")],
        );
        check("echo noise; export A='x\ny'", &[("A", "x\ny")]);
        check("false; export A=1", &[("A", "1")]);
        check(
            "export CARGO_PKG_NAME=other",
            &[("CARGO_PKG_NAME", "other")],
        );
    }

    #[test]
    fn a_file_that_ends_the_shell_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flume-env.sh");
        std::fs::write(&file, "echo no java here >&2\nexit 3\n").unwrap();
        let error = source(&file).unwrap_err();
        assert!(
            error.contains("it ended the shell (no java here)"),
            "{error}"
        );
    }

    #[test]
    fn the_directory_is_found_in_every_spelling() {
        for line in [
            "-c d",
            "--conf d -n a1",
            "-n a1 --conf=d",
            "-conf d",
            "-c=d",
        ] {
            let words: Vec<_> = line.split(' ').map(String::from).collect();
            assert_eq!(conf_dir(&words), Some("d".into()), "{line}");
        }
        assert_eq!(conf_dir(&["-f".into(), "conf".into()]), None);
    }
}
