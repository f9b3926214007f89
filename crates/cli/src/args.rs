//! The command line as Flume users write it: the launcher's options anywhere, `--name a1`, `--name=a1`, `-name a1`,
//! `-n a1`, unambiguous prefixes, `-Dkey=value`, `-X…` for a JVM that is not there.

use std::collections::BTreeMap;

use flume_core::secrets::{MASK, is_secret_name, masked};

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

    /// Sets an option, in the place of what it was.
    pub(crate) fn set(&mut self, long: &'static str, value: &str) {
        self.values.insert(long, vec![value.into()]);
    }

    /// All of it but one option, in one line, as it could be given again. Secrets are masked.
    pub(crate) fn shown_without(&self, option: &str) -> String {
        let mut words: Vec<String> = vec![];
        for (long, values) in self.values.iter().filter(|(long, _)| **long != option) {
            for value in values {
                let name = format!("--{long}");
                words.push(match value.as_str() {
                    "" => name,
                    _ if is_secret_name(long) => format!("{name}={MASK}"),
                    value => format!("{name}={value}"),
                });
            }
        }
        for (key, value) in &self.properties {
            let value = if is_secret_name(key) { MASK } else { value };
            words.push(format!("-D{key}={value}"));
        }
        words.extend(self.jvm.iter().chain(&self.rest).cloned());
        masked(&words.join(" ")).into_owned()
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

/// How an option of the JVM is spelt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JvmSpelling {
    /// Exactly so.
    Alone,
    /// So, or with something behind it.
    Beginning,
    /// So, or with something behind a `:` or a `=`.
    Separated,
    /// So, and the next word is its value; or with the value behind a `=`.
    WithValue,
}

/// Options of the JVM, accepted wherever they stand: they are for Java components, if there are any.
#[rustfmt::skip]
const JVM: &[(&str, JvmSpelling)] = &[
    ("-X", JvmSpelling::Beginning),
    ("-agentlib", JvmSpelling::Beginning),
    ("-agentpath", JvmSpelling::Beginning),
    ("-javaagent", JvmSpelling::Beginning),
    ("-server", JvmSpelling::Alone),
    ("-client", JvmSpelling::Alone),
    ("-d32", JvmSpelling::Alone),
    ("-d64", JvmSpelling::Alone),
    ("-verbose", JvmSpelling::Separated),
    ("-ea", JvmSpelling::Separated),
    ("-da", JvmSpelling::Separated),
    ("-esa", JvmSpelling::Alone),
    ("-dsa", JvmSpelling::Alone),
    ("-enableassertions", JvmSpelling::Separated),
    ("-disableassertions", JvmSpelling::Separated),
    ("-enablesystemassertions", JvmSpelling::Alone),
    ("-disablesystemassertions", JvmSpelling::Alone),
    ("-showversion", JvmSpelling::Alone),
    ("--show-version", JvmSpelling::Alone),
    ("-jre-restrict-search", JvmSpelling::Alone),
    ("-no-jre-restrict-search", JvmSpelling::Alone),
    ("--add-opens", JvmSpelling::WithValue),
    ("--add-exports", JvmSpelling::WithValue),
    ("--add-modules", JvmSpelling::WithValue),
    ("--add-reads", JvmSpelling::WithValue),
    ("--limit-modules", JvmSpelling::WithValue),
    ("--patch-module", JvmSpelling::WithValue),
    ("--module-path", JvmSpelling::WithValue),
    ("--upgrade-module-path", JvmSpelling::WithValue),
    ("--enable-native-access", JvmSpelling::Separated),
    ("--illegal-access", JvmSpelling::Separated),
    ("--enable-preview", JvmSpelling::Alone),
    ("--class-path", JvmSpelling::WithValue),
    ("-cp", JvmSpelling::WithValue),
    ("-classpath", JvmSpelling::WithValue),
    ("--classpath", JvmSpelling::WithValue),
    ("-C", JvmSpelling::WithValue),
    ("--plugins-path", JvmSpelling::WithValue),
];

/// Reads `arguments` by the table; an error is a whole message.
pub(crate) fn parse(arguments: &[String], flags: &'static [Flag]) -> Result<Args, String> {
    let mut args = Args::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if args.take_for_jvm(argument, &mut rest) {
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
        let found = match find(name, flags) {
            Ok(flag) => vec![(flag, inline)],
            Err(why) => joined(argument, flags).ok_or(why)?,
        };
        for (flag, inline) in found {
            let value = match (flag.value, inline) {
                ("", None) => String::new(),
                ("", Some(_)) => return Err(format!("--{} takes no value", flag.long)),
                (_, Some(value)) => value,
                (what, None) => next_value(&mut rest, flags)
                    .ok_or_else(|| format!("--{} needs a value: {what}", flag.long))?,
            };
            args.values.entry(flag.long).or_default().push(value);
        }
    }
    Ok(args)
}

/// Reads words that were meant for `java`: what does not belong to a JVM is passed on to one, too.
pub(crate) fn parse_jvm_options(words: &[String]) -> Args {
    let mut args = Args::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if !args.take_for_jvm(word, &mut rest) {
            args.jvm.push(word.clone());
        }
    }
    args
}

/// Splits text at blanks, as a shell does; quotes hold blanks together.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut rest = text.split_whitespace();
    while let Some(word) = rest.next() {
        words.push(unquoted(word, rest.by_ref()));
    }
    words
}

/// A word without its quotes, with the words that follow up to the end of a quote.
fn unquoted<S: AsRef<str>>(word: &str, mut rest: impl Iterator<Item = S>) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut add = |text: &str, quote: &mut Option<char>| {
        for c in text.chars() {
            match quote {
                None if c == '"' || c == '\'' => *quote = Some(c),
                Some(open) if *open == c => *quote = None,
                _ => plain.push(c),
            }
        }
    };
    add(word, &mut quote);
    while quote.is_some() {
        let Some(next) = rest.next() else { break };
        add(" ", &mut quote);
        add(next.as_ref(), &mut quote);
    }
    plain
}

impl Args {
    /// Takes a system property or an option of the JVM, with its value. A quote in it may hold several words together:
    /// scripts pass `$JAVA_OPTS` on without quoting it, and a shell divides it at every blank.
    fn take_for_jvm<'a>(
        &mut self,
        argument: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> bool {
        let property = argument.strip_prefix("-D");
        if property.is_some_and(|property| !property.is_empty()) {
            let whole = unquoted(argument, rest.by_ref());
            let property = &whole["-D".len()..];
            let (key, value) = property.split_once('=').unwrap_or((property, ""));
            self.properties.insert(key.into(), value.into());
            return true;
        }
        let Some((option, spelling)) = jvm_option(argument) else {
            return false;
        };
        let mut words = vec![unquoted(argument, rest.by_ref())];
        if spelling == JvmSpelling::WithValue && argument == option {
            words.extend(rest.next().map(|value| unquoted(value, rest.by_ref())));
        }
        // What stands in flume-env.sh and is passed on by a script as well is meant once.
        let is_known = self.jvm.windows(words.len()).any(|known| *known == words);
        if !is_known {
            self.jvm.append(&mut words);
        }
        true
    }

    /// Adds what was set elsewhere; what is set here wins.
    pub(crate) fn or_from(&mut self, elsewhere: Args) {
        for (key, value) in elsewhere.properties {
            self.properties.entry(key).or_insert(value);
        }
        let mut jvm = elsewhere.jvm;
        jvm.retain(|option| !self.jvm.contains(option) || !option.starts_with('-'));
        jvm.append(&mut self.jvm);
        self.jvm = jvm;
        for (long, values) in elsewhere.values {
            self.values.entry(long).or_insert(values);
        }
    }
}

fn jvm_option(argument: &str) -> Option<(&'static str, JvmSpelling)> {
    let is = |option: &str, spelling: JvmSpelling| {
        let Some(behind) = argument.strip_prefix(option) else {
            return false;
        };
        match spelling {
            JvmSpelling::Beginning => true,
            JvmSpelling::Alone => behind.is_empty(),
            JvmSpelling::Separated => behind.is_empty() || behind.starts_with([':', '=']),
            JvmSpelling::WithValue => behind.is_empty() || behind.starts_with('='),
        }
    };
    JVM.iter()
        .copied()
        .find(|&(option, spelling)| is(option, spelling))
}

/// The next word, if it is a value: not the name of another option.
fn next_value<'a>(
    rest: &mut (impl Iterator<Item = &'a String> + Clone),
    flags: &'static [Flag],
) -> Option<String> {
    let next = rest.clone().next()?;
    let name = next.split('=').next().unwrap_or_default();
    let is_option = name.len() > 1
        && name.starts_with('-')
        && name.parse::<i64>().is_err()
        && find(name, flags).is_ok();
    if is_option {
        return None;
    }
    rest.next().cloned()
}

/// The value behind the name in one word, as commons-cli reads it after a single dash: `-na1`, `-conf-filex`; else
/// letters in one word, `-hd`, the last of which may have a value.
fn joined(argument: &str, flags: &'static [Flag]) -> Option<Vec<(&'static Flag, Option<String>)>> {
    let word = argument
        .strip_prefix('-')
        .filter(|word| !word.starts_with('-'))?;
    let takes_value = |flag: &&Flag| !flag.value.is_empty() && word.starts_with(flag.long);
    if let Some(flag) = flags
        .iter()
        .filter(takes_value)
        .max_by_key(|flag| flag.long.len())
    {
        let value = word[flag.long.len()..].to_string();
        return Some(vec![(flag, Some(value))]);
    }
    let mut found = vec![];
    for (at, letter) in word.char_indices() {
        let is_letter = |flag: &&Flag| flag.short.chars().eq([letter]);
        let flag = flags.iter().find(is_letter)?;
        let behind = &word[at + letter.len_utf8()..];
        if !flag.value.is_empty() {
            let value = Some(behind.to_string()).filter(|value| !value.is_empty());
            found.push((flag, value));
            return Some(found);
        }
        found.push((flag, None));
    }
    Some(found)
}

/// An exact name, else the only one that begins so.
fn find(name: &str, flags: &'static [Flag]) -> Result<&'static Flag, String> {
    let word = name.trim_start_matches('-');
    let exact = |flag: &&Flag| flag.long == word || (!flag.short.is_empty() && flag.short == word);
    if let Some(flag) = flags.iter().find(exact) {
        return Ok(flag);
    }
    let any_case = |flag: &&Flag| flag.long.eq_ignore_ascii_case(word);
    if let Some(flag) = flags.iter().find(any_case) {
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
            short: "i",
            long: "poll-interval",
            value: "SECONDS",
            doc: "",
        },
        Flag {
            short: "h",
            long: "help",
            value: "",
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
        check("-na1", "name=a1");
        check("-confx", "conf=x");
        check("-hna1", "help= name=a1");
        check(
            "--confFile x",
            "there is no option --confFile, did you mean --conf-file?",
        );
        check("-i -1", "poll-interval=-1");
        check("-n -1x", "name=-1x");
        check(
            "-XX:OnError=\"kill -9 %p\" -n a1",
            "name=a1 jvm:-XX:OnError=kill -9 %p",
        );
        check("-Dx='a b' -Dy=\"c\"", "D:x=a b D:y=c");
        check("-Xmx1g -n a1 -Xmx1g", "name=a1 jvm:-Xmx1g");
        check("-ea:x -da -D -n a1", "there is no option -D");
    }

    #[test]
    fn everything_meant_for_java_is_accepted() {
        let line = "-Da=b -unknown --add-opens=x/y=z -cp /a -Xlog:gc x";
        let args = parse_jvm_options(&words(line));
        assert_eq!(args.properties["a"], "b");
        assert_eq!(
            args.jvm,
            [
                "-unknown",
                "--add-opens=x/y=z",
                "-cp",
                "/a",
                "-Xlog:gc",
                "x"
            ]
        );
        let mut own = parse_jvm_options(&words("-Da=c -Xmx1g"));
        own.or_from(args);
        assert_eq!(own.properties["a"], "c");
        assert_eq!(own.jvm.last().map(String::as_str), Some("-Xmx1g"));
        assert_eq!(
            words("a 'b  c' d\"e f\"g 'open"),
            ["a", "b c", "de fg", "open"]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(
            "--nmae a1",
            "there is no option --nmae, did you mean --name?",
        );
        check("-n", "--name needs a value: NAME");
        check("-n -f x", "--name needs a value: NAME");
        check("-n --no-reload-conf", "--name needs a value: NAME");
        check("-x", "there is no option -x");
        check("-hx", "there is no option -hx");
        check("--no-reload-conf=1", "--no-reload-conf takes no value");
        check("--con x", "--con may mean --conf-file, --conf");
    }
}
