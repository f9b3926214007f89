//! The commands, as a table.

use flume_core::secrets::masked;

use crate::{
    agent,
    args::{Args, Flag, parse},
    avro_client, convert, describe, doctor, graph, launcher, loglevel, manual, options_file,
    outcome::{ExitCode, Failure, print},
    pipeline_test, provision, status, tap, tool, top, validate,
};

/// A command of `flume-ng`.
pub(crate) struct Command {
    /// `agent`
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) doc: &'static str,
    /// What it can be told.
    pub(crate) flags: &'static [Flag],
    run: fn(&Args) -> Result<ExitCode, Failure>,
}

const NAME: Flag = Flag {
    short: "n",
    long: "name",
    value: "NAME",
    doc: "the agent's name in the configuration",
};
const CONF_FILE: Flag = Flag {
    short: "f",
    long: "conf-file",
    value: "FILE",
    doc: "configuration file; repeatable, later files win",
};
const CONF: Flag = Flag {
    short: "c",
    long: "conf",
    value: "DIR",
    doc: "configuration directory",
};
const CONF_URI: Flag = Flag {
    short: "u",
    long: "conf-uri",
    value: "URI",
    doc: "configuration at a file:, http: or https: address; --conf-file is then ignored",
};
const CONF_USER: Flag = Flag {
    short: "user",
    long: "conf-user",
    value: "USER",
    doc: "user for the web server that has the configuration",
};
const CONF_PASSWORD: Flag = Flag {
    short: "pwd",
    long: "conf-password",
    value: "PASSWORD",
    doc: "the user's password; other users of this host can see it, so prefer --password-file",
};
const PASSWORD_FILE: Flag = Flag {
    short: "",
    long: "password-file",
    value: "FILE",
    doc: "a file with the user's password",
};
const FORMAT: Flag = Flag {
    short: "",
    long: "format",
    value: "text|json",
    doc: "format of the result",
};
const STATE_DIR: Flag = Flag {
    short: "",
    long: "state-dir",
    value: "DIR",
    doc: "where agents keep their control sockets and journals",
};
const ALL: Flag = Flag {
    short: "",
    long: "all",
    value: "",
    doc: "the whole reference, as Markdown",
};
const HELP: Flag = Flag {
    short: "h",
    long: "help",
    value: "",
    doc: "print this",
};

/// All commands, in the order of the help.
#[rustfmt::skip]
pub(crate) const COMMANDS: &[Command] = &[
    Command { name: "agent", doc: "run an agent", run: agent::run, flags: &[
        NAME, CONF_FILE, CONF_URI, CONF, CONF_USER, CONF_PASSWORD, PASSWORD_FILE, STATE_DIR,
        Flag { short: "", long: "no-reload-conf", value: "", doc: "do not watch the configuration; SIGHUP still reloads it" },
        Flag { short: "i", long: "poll-interval", value: "SECONDS", doc: "how often to look for changes of the configuration (30; with a web server 300)" },
        Flag { short: "z", long: "zkConnString", value: "HOST:PORT,...", doc: "configuration in the node of ZooKeeper that is named like the agent; files and URIs are then ignored" },
        Flag { short: "p", long: "zkBasePath", value: "PATH", doc: "the node above that node (/flume)" },
        Flag { short: "b", long: "backup-directory", value: "DIR", doc: "keep a copy of the last configuration in DIR; an agent that cannot read its configuration starts with the copy" },
        Flag { short: "d", long: "dryrun", value: "", doc: "print the command that would run, and run nothing" },
        Flag { short: "a", long: "auth-provider", value: "CLASS", doc: "a Java class of Flume's, which cannot be loaded" },
        Flag { short: "prov", long: "conf-provider", value: "CLASS", doc: "a Java class of Flume's, which cannot be loaded" },
        Flag { short: "", long: "verify-host", value: "", doc: "accepted; certificates of web servers are always checked" },
        Flag { short: "", long: "lenient", value: "", doc: "also start the rest of a flow that has lost a part, as Java Flume does" },
        Flag { short: "", long: "strict", value: "", doc: "do not start if the configuration has an error" },
        Flag { short: "", long: "drain-timeout", value: "SECONDS", doc: "how long sinks may drain the channels in memory when the agent stops (10)" },
        HELP,
    ] },
    Command { name: "validate", doc: "check a configuration", run: validate::run, flags: &[
        CONF_FILE, CONF_URI, NAME,
        Flag { short: "", long: "format", value: "text|json|html|sarif", doc: "format of the result; html is one page with a drawing and the files" },
        Flag { short: "", long: "effective", value: "", doc: "print what Java Flume would keep of the configuration, and why it drops the rest" },
        Flag { short: "", long: "java", value: "", doc: "load and configure each Java class in a JVM; nothing is started" },
        CONF, CONF_USER, CONF_PASSWORD, PASSWORD_FILE, HELP,
    ] },
    Command { name: "graph", doc: "draw the flows of a configuration, and mark what is wrong", run: graph::run, flags: &[
        CONF_FILE, CONF_URI, NAME,
        Flag { short: "", long: "format", value: "mermaid|dot|svg", doc: "the language of the drawing (mermaid)" },
        CONF, CONF_USER, CONF_PASSWORD, PASSWORD_FILE, HELP,
    ] },
    Command { name: "test", doc: "run pipeline tests: events in, events out; nothing outside is touched", run: pipeline_test::run, flags: &[
        Flag { short: "", long: "coverage", value: "", doc: "list the routes that no test took" },
        Flag { short: "", long: "format", value: "text|json|junit", doc: "format of the result" },
        CONF, HELP,
    ] },
    Command { name: "status", doc: "show what a running agent does", run: status::run, flags: &[
        NAME, FORMAT, STATE_DIR,
        Flag { short: "", long: "watch", value: "", doc: "print it every two seconds, until Ctrl-C" },
        HELP,
    ] },
    Command { name: "top", doc: "watch what a running agent does", run: top::run, flags: &[
        NAME, STATE_DIR,
        Flag { short: "", long: "url", value: "URL", doc: "ask this monitoring port instead: http://host:41414" },
        Flag { short: "", long: "once", value: "", doc: "print it once, as plain text" },
        HELP,
    ] },
    Command { name: "reload", doc: "reload the configuration of a running agent", run: status::reload, flags: &[
        NAME, STATE_DIR,
        Flag { short: "", long: "dry-run", value: "", doc: "only print what would change" },
        HELP,
    ] },
    Command { name: "tap", doc: "show events as they pass a source, channel or sink of a running agent", run: tap::run, flags: &[
        NAME, STATE_DIR,
        Flag { short: "", long: "format", value: "text|hex|json", doc: "format of the events" },
        Flag { short: "", long: "where", value: "HEADER=VALUE", doc: "only events with this header; repeatable" },
        Flag { short: "", long: "limit", value: "N", doc: "end after so many events" },
        Flag { short: "", long: "rate", value: "N/s", doc: "most events in a second; the others are counted (100/s)" },
        Flag { short: "", long: "bytes", value: "N", doc: "how many bytes of each body and header to show (1024)" },
        Flag { short: "", long: "at", value: "PASSAGE", doc: "received, accepted, put, taken or delivered; repeatable" },
        Flag { short: "", long: "trace", value: "", doc: "mark events at a source, and show each step of them" },
        HELP,
    ] },
    Command { name: "loglevel", doc: "show the levels of a running agent's loggers, or set one: LOGGER LEVEL", run: loglevel::run, flags: &[NAME, FORMAT, STATE_DIR, HELP] },
    Command { name: "describe", doc: "explain a component or a diagnostic, or list all; `hadoop`: Hadoop's settings in force", run: describe::run, flags: &[
        ALL,
        Flag { short: "", long: "format", value: "text|markdown", doc: "format of a component's page" },
        CONF, HELP,
    ] },
    Command { name: "provision", doc: "prepare this host for an agent: configure, install, kerberos, check", run: provision::run, flags: &[
        Flag { short: "", long: "config", value: "FILE", doc: "the node configuration (default: the recorded one, else the built-in values)" },
        Flag { short: "", long: "package", value: "FILE", doc: "install this .deb or .rpm" },
        Flag { short: "", long: "from-self", value: "", doc: "install without a package, from this program" },
        Flag { short: "", long: "packaged", value: "", doc: "for a package's own script, after the package is installed" },
        Flag { short: "", long: "rotate", value: "", doc: "change the service's key even if it works" },
        Flag { short: "", long: "kadmin-password-stdin", value: "", doc: "read the administrator's password from standard input" },
        Flag { short: "", long: "local", value: "", doc: "administer the realm with kadmin.local, on the KDC itself" },
        Flag { short: "", long: "proxy-user", value: "USER", doc: "check that the service may write as this user; repeatable" },
        Flag { short: "", long: "dry-run", value: "", doc: "only print what would change" },
        FORMAT, HELP,
    ] },
    Command { name: "doctor", doc: "examine this host and say what to do; changes nothing", run: doctor::run, flags: &[
        Flag { short: "", long: "config", value: "FILE", doc: "the node configuration (default: the recorded one, else the built-in values)" },
        FORMAT, HELP,
    ] },
    Command { name: "tool", doc: "look into a file channel, or repair it", run: tool::run, flags: &[
        Flag { short: "l", long: "dataDirs", value: "DIRS", doc: "FCINTEGRITYTOOL: data directories, separated by commas" },
        Flag { short: "e", long: "eventValidator", value: "CLASS", doc: "FCINTEGRITYTOOL: a Java class, which cannot be loaded" },
        FORMAT, CONF, HELP,
    ] },
    Command { name: "avro-client", doc: "send lines to an avro source", run: avro_client::run, flags: &[
        Flag { short: "H", long: "host", value: "HOST", doc: "where the source is" },
        Flag { short: "p", long: "port", value: "PORT", doc: "its port" },
        Flag { short: "P", long: "rpcProps", value: "FILE", doc: "a file of client properties instead: several hosts, TLS, compression" },
        Flag { short: "F", long: "filename", value: "FILE", doc: "send the lines of this file (default: standard input)" },
        Flag { short: "", long: "dirname", value: "DIR", doc: "send the files of this directory, and rename each to .COMPLETED" },
        Flag { short: "R", long: "headerFile", value: "FILE", doc: "properties that become headers of every event" },
        Flag { short: "", long: "checkpoint", value: "FILE", doc: "record in FILE what was sent, and continue there next time" },
        CONF, HELP,
    ] },
    Command { name: "convert", doc: "print a configuration with a part rewritten: exec-to-taildir", run: convert::run, flags: &[CONF_FILE, HELP] },
    Command { name: "version", doc: "print the version", run: version, flags: &[HELP] },
    Command { name: "help", doc: "print this", run: help, flags: &[HELP] },
];

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let Some((name, rest)) = arguments.split_first() else {
        eprint!("{}", usage());
        return ExitCode::WRONG;
    };
    let name = match name.as_str() {
        "--help" | "-h" => "help",
        "--version" => "version",
        "node" => {
            eprintln!("flume-ng: `node` is an old name of `agent`");
            "agent"
        }
        name => name,
    };
    let outcome = match COMMANDS.iter().find(|command| command.name == name) {
        None => {
            let near =
                flume_core::props::nearest(name, COMMANDS.iter().map(|command| command.name));
            let hint = near
                .map(|near| format!(", did you mean `{near}`?"))
                .unwrap_or_default();
            Err(Failure::Usage(format!(
                "there is no command `{name}`{hint}\n\n{}",
                usage()
            )))
        }
        Some(command) => {
            match parse(rest, command.flags).and_then(|args| complete(command, args)) {
                Ok(args) if args.has("help") => print(&command_usage(command)),
                Ok(args) => (command.run)(&args),
                Err(error) => Err(Failure::Usage(format!(
                    "{error}\n\n{}",
                    command_usage(command)
                ))),
            }
        }
    };
    let (text, code) = match outcome {
        Ok(code) => return code,
        Err(Failure::Usage(text)) => (text, ExitCode::WRONG),
        Err(Failure::Runtime(error)) => (format!("{error:#}"), ExitCode::FAILURE),
    };
    eprintln!("{}", masked(&format!("flume-ng: {}", text.trim_end())));
    code
}

/// Adds what the environment and `flume.opts` say.
fn complete(command: &Command, mut args: Args) -> Result<Args, String> {
    if args.has(CONF_PASSWORD.long) {
        eprintln!(
            "flume-ng: other users can read --conf-password in the list of processes; write the password into a file and \
             name that with --password-file, or set conf-password in flume.opts of the --conf directory"
        );
    }
    args.or_from(launcher::java_options());
    if command.name == "agent" && !args.has("help") {
        args.or_from(options_file::read(args.get("conf"), command.flags)?);
    }
    Ok(args)
}

fn usage() -> String {
    let mut text =
        String::from("Usage: flume-ng COMMAND [OPTION]... [-Dkey=value]...\n\nCommands:\n");
    for command in COMMANDS {
        text += &format!("  {:10} {}\n", command.name, command.doc);
    }
    text + "\n`flume-ng COMMAND --help` lists the options of a command.\n"
}

fn command_usage(command: &Command) -> String {
    let mut text = format!(
        "Usage: flume-ng {} [OPTION]...\n{}\n\nOptions:\n",
        command.name, command.doc
    );
    for flag in command.flags {
        let short = if flag.short.is_empty() {
            String::new()
        } else {
            format!("-{}, ", flag.short)
        };
        let left = format!("{short}--{} {}", flag.long, flag.value);
        text += &format!("  {left:32} {}\n", flag.doc);
    }
    text
}

fn help(args: &Args) -> Result<ExitCode, Failure> {
    let Some(name) = args.rest.first() else {
        return print(&usage());
    };
    if let Some((_, page)) = manual::PAGES.iter().find(|(page, _)| page == name) {
        return print(&page(COMMANDS));
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => print(&command_usage(command)),
        None => {
            let pages: Vec<_> = manual::PAGES.iter().map(|(page, _)| *page).collect();
            Err(Failure::Usage(format!(
                "help is there for commands, and as {}",
                pages.join(", ")
            )))
        }
    }
}

fn version(_: &Args) -> Result<ExitCode, Failure> {
    print(&format!("Flume {}\n", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_usage_looks_like_a_secret() {
        assert_eq!(masked(&usage()), usage());
        for command in COMMANDS {
            let usage = format!("flume-ng: wrong\n\n{}", command_usage(command));
            assert_eq!(masked(&usage), usage);
        }
    }
}
