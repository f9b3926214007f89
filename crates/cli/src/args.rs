//! The command line as Flume users write it: the launcher's options anywhere, `--name a1`, `--name=a1`, `-name a1`,
//! `-n a1`, unambiguous prefixes, `-Dkey=value`, `-X…` for a JVM that is not there.

use std::collections::BTreeMap;

use crate::outcome::Failure;

/// An option of some command.
pub(crate) struct Flag {
    /// Letter: `-n`. Empty: none.
    pub(crate) short: &'static str,
    /// Word: `--name`.
    pub(crate) long: &'static str,
    /// What it takes, as the help names it; empty: nothing.
    pub(crate) value: &'static str,
    /// What it does.
    pub(crate) doc: &'static str,
}

/// What was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    values: BTreeMap<&'static str, Vec<String>>,
    /// `-Dkey=value`; the last of a key wins.
    pub(crate) properties: BTreeMap<String, String>,
    /// What is not an option.
    pub(crate) rest: Vec<String>,
    /// Options for the JVM that runs Java components, in their order.
    pub(crate) jvm: Vec<String>,
}

impl Args {
    /// All values of an option, in order.
    pub(crate) fn all(&self, long: &str) -> &[String] {
        self.values.get(long).map_or(&[], Vec::as_slice)
    }

    /// The value of an option: the first, as commons-cli.
    pub(crate) fn get(&self, long: &str) -> Option<&str> {
        self.all(long).first().map(String::as_str)
    }

    /// Whether `--format` asks for JSON rather than text.
    pub(crate) fn wants_json(&self) -> Result<bool, Failure> {
        match self.get("format") {
            None | Some("text") => Ok(false),
            Some("json") => Ok(true),
            Some(other) => Err(Failure::Usage(format!(
                "--format takes text or json, not `{other}`"
            ))),
        }
    }

    /// Whether an option was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.values.contains_key(long)
    }
}

/// Options of the JVM, accepted wherever they stand: they are for Java components, if there are any. The second column
/// says which take a value.
const JVM: &[(&str, bool)] = &[
    ("-X", false),
    ("-agentlib", false),
    ("-agentpath", false),
    ("-javaagent", false),
    ("-server", false),
    ("-client", false),
    ("-d32", false),
    ("-d64", false),
    ("-verbose", false),
    ("-ea", false),
    ("-da", false),
    ("-esa", false),
    ("-dsa", false),
    ("-enableassertions", false),
    ("-disableassertions", false),
    ("--add-opens", true),
    ("--add-exports", true),
    ("--add-modules", true),
    ("--add-reads", true),
    ("--add-opens=", false),
    ("--add-exports=", false),
    ("--add-modules=", false),
    ("--add-reads=", false),
    ("--enable-native-access", false),
    ("--illegal-access", false),
    ("-cp", true),
    ("-classpath", true),
    ("--classpath", true),
    ("-C", true),
    ("--plugins-path", true),
];

/// Reads `arguments` by the table; an error is a whole message.
pub(crate) fn parse(arguments: &[String], flags: &'static [Flag]) -> Result<Args, String> {
    let mut args = Args::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(property) = argument
            .strip_prefix("-D")
            .filter(|property| !property.is_empty())
        {
            let (key, value) = property.split_once('=').unwrap_or((property, ""));
            args.properties.insert(key.into(), value.into());
            continue;
        }
        if let Some((option, takes_value)) = jvm_option(argument) {
            args.jvm.push(argument.clone());
            if takes_value && argument == option {
                args.jvm.extend(rest.next().cloned());
            }
            continue;
        }
        if !argument.starts_with('-') || argument == "-" {
            args.rest.push(argument.clone());
            continue;
        }
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (argument.as_str(), None),
        };
        let flag = find(name, flags)?;
        let value = match (flag.value, inline) {
            ("", None) => String::new(),
            ("", Some(_)) => return Err(format!("--{} takes no value", flag.long)),
            (_, Some(value)) => value,
            (what, None) => rest
                .next()
                .cloned()
                .ok_or_else(|| format!("--{} needs a value: {what}", flag.long))?,
        };
        args.values.entry(flag.long).or_default().push(value);
    }
    Ok(args)
}

fn jvm_option(argument: &str) -> Option<(&'static str, bool)> {
    let is = |option: &str, takes_value: bool| {
        if takes_value {
            argument == option
        } else {
            argument.starts_with(option)
        }
    };
    JVM.iter()
        .copied()
        .find(|&(option, takes_value)| is(option, takes_value))
}

/// An exact name, else the only one that begins so.
fn find(name: &str, flags: &'static [Flag]) -> Result<&'static Flag, String> {
    let word = name.trim_start_matches('-');
    let exact = |flag: &&Flag| flag.long == word || (!flag.short.is_empty() && flag.short == word);
    if let Some(flag) = flags.iter().find(exact) {
        return Ok(flag);
    }
    let candidates: Vec<_> = flags
        .iter()
        .filter(|flag| !word.is_empty() && flag.long.starts_with(word))
        .collect();
    match candidates[..] {
        [flag] => Ok(flag),
        [] => {
            let near = flume_core::props::nearest(word, flags.iter().map(|flag| flag.long));
            let hint = near
                .map(|near| format!(", did you mean --{near}?"))
                .unwrap_or_default();
            Err(format!("there is no option {name}{hint}"))
        }
        _ => {
            let names: Vec<_> = candidates
                .iter()
                .map(|flag| format!("--{}", flag.long))
                .collect();
            Err(format!("{name} may mean {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag {
            short: "n",
            long: "name",
            value: "NAME",
            doc: "",
        },
        Flag {
            short: "f",
            long: "conf-file",
            value: "FILE",
            doc: "",
        },
        Flag {
            short: "c",
            long: "conf",
            value: "DIR",
            doc: "",
        },
        Flag {
            short: "",
            long: "no-reload-conf",
            value: "",
            doc: "",
        },
    ];

    fn check(line: &str, expected: &str) {
        let words: Vec<_> = line.split_whitespace().map(String::from).collect();
        let seen = match parse(&words, FLAGS) {
            Ok(args) => {
                let mut parts: Vec<_> = args
                    .values
                    .iter()
                    .map(|(name, values)| format!("{name}={}", values.join(",")))
                    .collect();
                parts.extend(
                    args.properties
                        .iter()
                        .map(|(key, value)| format!("D:{key}={value}")),
                );
                parts.extend(args.jvm.iter().map(|option| format!("jvm:{option}")));
                parts.extend(args.rest.iter().map(|rest| format!("rest:{rest}")));
                parts.join(" ")
            }
            Err(error) => error,
        };
        assert_eq!(seen, expected, "{line}");
    }

    #[test]
    fn every_spelling_that_users_have() {
        let expected = "conf=conf conf-file=e.conf name=a1 D:flume.root.logger=INFO,console";
        check(
            "--conf conf --conf-file e.conf --name a1 -Dflume.root.logger=INFO,console",
            expected,
        );
        check(
            "-c conf -f e.conf -n a1 -Dflume.root.logger=INFO,console",
            expected,
        );
        check(
            "-conf conf -conf-file=e.conf -name a1 -Dflume.root.logger=INFO,console",
            expected,
        );
        check(
            "--conf=conf --conf-f e.conf --na a1 -Dflume.root.logger=INFO,console",
            expected,
        );
        check(
            "-n a1 -Xmx20m -C /opt/x.jar --no-reload",
            "name=a1 no-reload-conf= jvm:-Xmx20m jvm:-C jvm:/opt/x.jar",
        );
        check(
            "-n a1 -server -XX:+UseG1GC -ea -cp /x --add-opens java.base/java.lang=ALL-UNNAMED -d64",
            "name=a1 jvm:-server jvm:-XX:+UseG1GC jvm:-ea jvm:-cp jvm:/x jvm:--add-opens \
             jvm:java.base/java.lang=ALL-UNNAMED jvm:-d64",
        );
        check("-f a -f b", "conf-file=a,b");
        check("a1", "rest:a1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(
            "--nmae a1",
            "there is no option --nmae, did you mean --name?",
        );
        check("-n", "--name needs a value: NAME");
        check("--no-reload-conf=1", "--no-reload-conf takes no value");
        check("--con x", "--con may mean --conf-file, --conf");
    }
}
