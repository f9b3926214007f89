//! The unit as systemd reads it: the packaged file with its drop-ins, reduced to what decides how an agent runs. `check`
//! runs its agent by this, so that what it proves is what the service will do.

use std::{collections::BTreeMap, fs, path::Path};

use flume_host::trust::{self, MAX_CONFIGURATION_BYTES};

use crate::fault::Fault;

/// Where the unit may be; the first counts.
pub(crate) const UNIT_FILES: &[&str] = &[
    "/etc/systemd/system/flume-agent@.service",
    "/usr/lib/systemd/system/flume-agent@.service",
    "/lib/systemd/system/flume-agent@.service",
];
/// Where drop-ins may be. Of two with the same name, the first counts.
const DROP_IN_DIRECTORIES: &[&str] = &[
    "/etc/systemd/system/flume-agent@.service.d",
    "/run/systemd/system/flume-agent@.service.d",
    "/usr/lib/systemd/system/flume-agent@.service.d",
    "/lib/systemd/system/flume-agent@.service.d",
];
const PACKAGED: &str = include_str!("../../../packaging/systemd/flume-agent@.service");

/// What a unit says about running an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `User=`
    pub(crate) user: String,
    /// `Group=`
    pub(crate) group: String,
    /// `UMask=`, as written.
    pub(crate) umask: String,
    /// `WorkingDirectory=`
    pub(crate) directory: String,
    /// `Environment=` and `EnvironmentFile=`.
    pub(crate) environment: BTreeMap<String, String>,
    /// `ExecStart=`, as the kernel gets it.
    pub(crate) command: Vec<String>,
}

impl Unit {
    /// The installed unit; the packaged one when none is installed.
    ///
    /// # Errors
    /// A file that cannot be read, or a unit without a command.
    pub(crate) fn of_this_host(instance: &str) -> Result<Unit, Fault> {
        let installed = UNIT_FILES.iter().map(Path::new).find(|path| path.exists());
        let mut texts = match installed {
            Some(path) => vec![read(path)?],
            None => vec![PACKAGED.to_string()],
        };
        texts.extend(drop_ins()?);
        Unit::parse(&texts, instance)
    }

    /// Reads texts in the order in which systemd does.
    ///
    /// # Errors
    /// There is no command, or a quote that does not end.
    pub(crate) fn parse(texts: &[String], instance: &str) -> Result<Unit, Fault> {
        let mut unit = Unit {
            umask: "0022".into(),
            directory: "/".into(),
            ..Unit::default()
        };
        let mut command = String::new();
        for (key, value) in texts.iter().flat_map(|text| settings(text)) {
            match key.as_str() {
                "User" => unit.user = value,
                "Group" => unit.group = value,
                "UMask" => unit.umask = value,
                "WorkingDirectory" => unit.directory = value.trim_start_matches('-').into(),
                "ExecStart" => command = value,
                "Environment" if value.is_empty() => unit.environment.clear(),
                "Environment" => unit.add_variables(words(&value, instance)?),
                "EnvironmentFile" => unit.add_file(&value)?,
                _ => {}
            }
        }
        let words = words(&command, instance)?;
        // In ExecStart a dollar is written twice, unless it names a variable of the unit.
        unit.command = words.iter().map(|word| unit.expand(word)).collect();
        if unit.command.is_empty() {
            return Err(wrong("has no ExecStart"));
        }
        Ok(unit)
    }

    fn add_variables(&mut self, assignments: Vec<String>) {
        for assignment in assignments {
            if let Some((name, value)) = assignment.split_once('=') {
                self.environment.insert(name.into(), value.into());
            }
        }
    }

    /// A file of assignments; one whose name begins with `-` may be missing.
    fn add_file(&mut self, value: &str) -> Result<(), Fault> {
        let path = Path::new(value.trim_start_matches('-'));
        if value.is_empty() || (value.starts_with('-') && !path.exists()) {
            return Ok(());
        }
        for line in read(path)?.lines().map(str::trim) {
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some((name, value)) = line.split_once('=') {
                let value = value.trim().trim_matches(['"', '\'']);
                self.environment.insert(name.trim().into(), value.into());
            }
        }
        Ok(())
    }

    fn expand(&self, word: &str) -> String {
        let mut out = String::new();
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            out += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = rest
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                out += self.environment.get(name).map_or("", String::as_str);
                rest = after;
            } else {
                out.push('$');
            }
        }
        out + rest
    }
}

fn drop_ins() -> Result<Vec<String>, Fault> {
    let mut files = BTreeMap::new();
    for directory in DROP_IN_DIRECTORIES {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".conf") {
                files.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    files.values().map(|path| read(path)).collect()
}

/// Root does not wait at a FIFO that another user has put into the place of an `EnvironmentFile=`.
fn read(path: &Path) -> Result<String, Fault> {
    let contents = trust::read(path, MAX_CONFIGURATION_BYTES)
        .map_err(|why| Fault::new(why, format!("look at {}", path.display())))?;
    Ok(String::from_utf8_lossy(&contents.bytes).into_owned())
}

fn wrong(what: &str) -> Fault {
    Fault::new(
        format!("the unit flume-agent@.service {what}"),
        "systemd-analyze verify flume-agent@a1.service",
    )
}

/// The settings of the section `[Service]`, in order.
fn settings(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let mut ours = false;
    let mut settings = vec![];
    for line in joined.lines().map(str::trim) {
        if line.starts_with('[') {
            ours = line == "[Service]";
        } else if ours
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            settings.push((key.trim().to_string(), value.trim().to_string()));
        }
    }
    settings
}

/// The user that a unit or drop-in names.
pub(crate) fn unit_user(text: &str) -> Option<String> {
    let mut users = settings(text).into_iter().filter(|(key, _)| key == "User");
    users.next_back().map(|(_, user)| user)
}

/// Splits a value at blanks, resolves quotes, escapes and the specifiers `%i` and `%%`.
fn words(value: &str, instance: &str) -> Result<Vec<String>, Fault> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            '\\' => word
                .get_or_insert_default()
                .extend(chars.next().map(unescape)),
            '%' => match chars.next() {
                Some('i' | 'I') => word.get_or_insert_default().push_str(instance),
                Some('%') => word.get_or_insert_default().push('%'),
                other => {
                    let word = word.get_or_insert_default();
                    word.push('%');
                    word.extend(other);
                }
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(wrong("has a quote that does not end"));
    }
    words.extend(word);
    Ok(words)
}

fn unescape(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        's' => ' ',
        other => other,
    }
}

/// `Environment=` for a drop-in: blanks, quotes, backslashes and percent signs survive.
pub(crate) fn environment_line(name: &str, value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("Environment=\"{name}={escaped}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(drop_in: &str) -> Unit {
        Unit::parse(&[PACKAGED.into(), drop_in.into()], "a1").unwrap()
    }

    #[test]
    fn the_packaged_unit_runs_a_shell_with_the_instance() {
        let unit = parse("");
        assert_eq!(unit.user, "flume");
        assert_eq!(unit.group, "flume");
        assert_eq!(unit.umask, "0027");
        assert_eq!(unit.directory, "/var/lib/flume");
        assert_eq!(unit.environment["FLUME_CONF_DIR"], "/etc/flume/conf");
        assert_eq!(&unit.command[..2], ["/bin/sh", "-c"]);
        assert!(
            unit.command[2].contains("--conf \"$FLUME_CONF_DIR\""),
            "{}",
            unit.command[2]
        );
        assert_eq!(&unit.command[3..], ["flume-agent", "a1"]);
    }

    #[test]
    fn a_drop_in_replaces_and_adds() {
        let drop_in =
            "[Service]\nUser=svc\nExecStart=\nExecStart=/bin/x \"a b\" 'c\"d' %i ${A} $$B\n"
                .to_string()
                + &environment_line("A", "50% of \"it\" \\ here")
                + "[Other]\nUser=nobody\n";
        assert_eq!(unit_user(&drop_in).as_deref(), Some("svc"));
        assert_eq!(unit_user("[Service]\n"), None);
        let unit = parse(&drop_in);
        assert_eq!(unit.user, "svc");
        assert_eq!(unit.group, "flume");
        assert_eq!(unit.environment["A"], "50% of \"it\" \\ here");
        let expected = ["/bin/x", "a b", "c\"d", "a1", "50% of \"it\" \\ here", "$B"];
        assert_eq!(unit.command, expected);
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        let refused = |text: &str| Unit::parse(&[text.into()], "a").unwrap_err().cause;
        assert!(refused("").ends_with("has no ExecStart"));
        assert!(refused("[Service]\nExecStart='x").ends_with("a quote that does not end"));
        for text in [
            "[Service]\nExecStart=%",
            "[Service]\nExecStart=\\",
            "[Service]\nExecStart=${",
        ] {
            let _ = Unit::parse(&[text.into()], "a");
        }
    }
}
