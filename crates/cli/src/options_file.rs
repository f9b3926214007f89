//! `flume.opts`: options of an agent in a properties file, as Flume 1.10 and later read it. The command line wins.

use std::path::{Path, PathBuf};

use flume_conf::properties::{decode, parse};
use flume_core::props::did_you_mean;
use flume_host::trust::{self, MAX_CONFIGURATION_BYTES};

use crate::args::{Args, Flag};

/// Where Flume looks first. Then it looks on the class path, whose beginning is the directory given with `--conf`.
const SYSTEM_FILE: &str = "/etc/flume/flume.opts";
const NAME: &str = "flume.opts";

/// The options of the file, if there is one.
///
/// # Errors
/// It cannot be read, or it has something that is no option.
pub(crate) fn read(conf_dir: Option<&str>, flags: &'static [Flag]) -> Result<Args, String> {
    let system = PathBuf::from(SYSTEM_FILE);
    let of_conf_dir = conf_dir.map(|directory| Path::new(directory).join(NAME));
    let places = [Some(system), of_conf_dir];
    match places.into_iter().flatten().find(|path| path.is_file()) {
        Some(path) => read_file(&path, flags),
        None => Ok(Args::default()),
    }
}

fn read_file(path: &Path, flags: &'static [Flag]) -> Result<Args, String> {
    let name = path.display().to_string();
    let bytes = trust::read(path, MAX_CONFIGURATION_BYTES)?.bytes;
    let file = name.as_str().into();
    let (text, _) = decode(&file, &bytes);
    let parsed = parse(&file, &text);
    if let Some(problem) = parsed.diagnostics.first() {
        return Err(problem.to_string());
    }
    let mut args = Args::default();
    for entry in parsed.entries {
        let key = entry.key.trim();
        let is_it =
            |flag: &&Flag| flag.long == key || (!flag.short.is_empty() && flag.short == key);
        let Some(flag) = flags.iter().find(is_it) else {
            let hint = did_you_mean(key, flags.iter().map(|flag| flag.long));
            let hint = hint.map(|hint| format!(", {hint}")).unwrap_or_default();
            return Err(format!(
                "{}: there is no option `{key}`{hint}",
                entry.key_place
            ));
        };
        let value = entry.value.trim();
        if !flag.value.is_empty() {
            args.set(flag.long, value);
        } else if ["yes", "true", "1"]
            .iter()
            .any(|yes| value.eq_ignore_ascii_case(yes))
        {
            args.set(flag.long, "");
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::commands::COMMANDS;

    fn check(text: &str, expected: Result<&[(&str, &str)], &str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        fs::write(&path, text).unwrap();
        match (read_file(&path, COMMANDS[0].flags), expected) {
            (Ok(args), Ok(expected)) => {
                for (long, value) in expected {
                    assert_eq!(args.get(long), Some(*value), "{text}");
                }
            }
            (Err(error), Err(expected)) => {
                let shown = error.replace(&path.display().to_string(), NAME);
                assert_eq!(shown, expected, "{text}");
            }
            (seen, _) => panic!("{text}: {seen:?}"),
        }
    }

    #[test]
    fn options_are_read_by_either_name() {
        let text = "name = a1\nf = /etc/x.conf\nno-reload-conf = yes\npoll-interval=5\n";
        let expected: &[(&str, &str)] = &[
            ("name", "a1"),
            ("conf-file", "/etc/x.conf"),
            ("no-reload-conf", ""),
            ("poll-interval", "5"),
        ];
        check(text, Ok(expected));
        check("strict = no\n", Ok(&[]));
        check(
            "nmae = a1\n",
            Err("flume.opts:1:1: there is no option `nmae`, did you mean `name`?"),
        );
    }
}
