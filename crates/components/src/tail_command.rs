//! What a command of `exec` follows, and the files of TAILDIR that do the same.

/// Files that a command follows with `tail -f` or `tail -F`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailCommand {
    /// Their absolute paths.
    pub paths: Vec<String>,
    /// Whether it begins at the start of each file, rather than near its end.
    pub is_from_start: bool,
}

impl TailCommand {
    /// `None` for any command that is not `tail -f` or `tail -F` of plain absolute paths.
    pub fn of(command: &str) -> Option<TailCommand> {
        let mut words = command.split_whitespace();
        let program = words.next()?;
        if program.rsplit('/').next() != Some("tail") {
            return None;
        }
        let mut follows = false;
        let mut is_from_start = false;
        let mut paths = vec![];
        while let Some(word) = words.next() {
            match word {
                "--follow" | "--follow=name" | "--follow=descriptor" => follows = true,
                "--retry" | "-q" | "--quiet" | "--silent" => {}
                _ if word.starts_with("--lines=") => {
                    is_from_start = is_start(&word["--lines=".len()..]);
                }
                _ if word.starts_with("--") => return None,
                _ if word.starts_with('-') => {
                    let letters = word[1..].trim_start_matches(['f', 'F', 'q']);
                    follows |= word[1..word.len() - letters.len()].contains(['f', 'F']);
                    if let Some(count) = letters.strip_prefix('n') {
                        let count = if count.is_empty() {
                            words.next()?
                        } else {
                            count
                        };
                        is_from_start = is_start(count);
                    } else {
                        let rest = letters.trim_start_matches(|c: char| c.is_ascii_digit());
                        follows |= ["f", "F"].contains(&rest);
                        if !["", "f", "F"].contains(&rest) {
                            return None;
                        }
                    }
                }
                _ => paths.push(word.to_string()),
            }
        }
        let is_known = follows && !paths.is_empty() && paths.iter().all(|path| is_plain(path));
        is_known.then_some(TailCommand {
            paths,
            is_from_start,
        })
    }

    /// The properties of a TAILDIR source that does the same, without the source's name.
    pub fn taildir(&self) -> Vec<(String, String)> {
        let names: Vec<_> = (1..=self.paths.len()).map(|n| format!("f{n}")).collect();
        let mut properties = vec![("filegroups".into(), names.join(" "))];
        for (name, path) in names.iter().zip(&self.paths) {
            properties.push((format!("filegroups.{name}"), group(path)));
        }
        if !self.is_from_start {
            properties.push(("skipToEnd".into(), "true".into()));
        }
        properties
    }
}

/// `+0` and `+1`: from the first line.
fn is_start(count: &str) -> bool {
    ["+0", "+1"].contains(&count)
}

/// Whether a path means the same to a shell, to a file of properties and to TAILDIR.
fn is_plain(path: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@,=%".contains(c);
    path.starts_with('/') && !path.ends_with('/') && path.chars().all(is_plain)
}

/// TAILDIR reads the last part of a path as a regular expression.
fn group(path: &str) -> String {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let escaped = path[name..].replace('.', "[.]").replace('+', "[+]");
    format!("{}{escaped}", &path[..name])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &str) -> String {
        let Some(tail) = TailCommand::of(command) else {
            return "none".into();
        };
        let pairs = tail.taildir();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join("|")
    }

    #[test]
    fn commands_that_follow_files() {
        let end = "filegroups=f1|filegroups.f1=/var/log/a[.]log|skipToEnd=true";
        let start = "filegroups=f1|filegroups.f1=/var/log/a[.]log";
        for command in [
            "tail -F /var/log/a.log",
            "tail -f /var/log/a.log",
            "/usr/bin/tail -n 0 -F /var/log/a.log",
            "tail -n0 -qF /var/log/a.log",
            "tail -Fn 100 /var/log/a.log",
            "tail -100f /var/log/a.log",
            "tail -0 -F /var/log/a.log",
            "tail --follow=name --retry --lines=0 /var/log/a.log",
            "tail /var/log/a.log -F",
        ] {
            assert_eq!(shown(command), end, "{command}");
        }
        for command in ["tail -n +1 -F /var/log/a.log", "tail -Fn+0 /var/log/a.log"] {
            assert_eq!(shown(command), start, "{command}");
        }
        assert_eq!(
            shown("tail -F /a/b+c /d"),
            "filegroups=f1 f2|filegroups.f1=/a/b[+]c|filegroups.f2=/d|skipToEnd=true"
        );
    }

    #[test]
    fn other_commands_are_left_alone() {
        for command in [
            "",
            "cat /a",
            "tail /a",
            "tail -n 5 /a",
            "tail -F",
            "tail -F a.log",
            "tail -F /a | grep x",
            "tail -F /a/*.log",
            "tail -F $FILE",
            "tail -F '/a b'",
            "tail -c 5 -F /a",
            "tail -F --pid=7 /a",
            "tail -F /a/",
            "nice tail -F /a",
            "tail -n",
        ] {
            assert_eq!(shown(command), "none", "{command}");
        }
    }
}
