//! `flume-ng convert`: rewrites a part of a configuration and leaves the rest as it is.

use std::{collections::BTreeMap, fs, io::Write, sync::Arc};

use anyhow::Context;
use flume_components::tail_command::TailCommand;
use flume_conf::properties::{Entry, decode, parse};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure},
};

const CONVERSIONS: &str = "\
flume-ng convert exec-to-taildir -f FILE   print FILE with TAILDIR sources in the place of exec sources that run `tail -F`";
/// The names of the type that is replaced.
const EXEC: [&str; 2] = ["exec", "org.apache.flume.source.execsource"];
/// Properties of `exec` that TAILDIR does not need.
const OF_EXEC: [&str; 7] = [
    "shell",
    "restart",
    "restartThrottle",
    "logStdErr",
    "batchTimeout",
    "charset",
    "maxLineLength",
];

/// Runs the command: the new configuration goes to standard output, what was done to standard error.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let words: Vec<_> = args.rest.iter().map(String::as_str).collect();
    let (["exec-to-taildir"], [file]) = (&words[..], args.all("conf-file")) else {
        return Err(Failure::Usage(format!(
            "the conversions are\n{CONVERSIONS}"
        )));
    };
    let bytes = fs::read(file).with_context(|| format!("failed to read {file}"))?;
    let converted = exec_to_taildir(file, &bytes).map_err(Failure::Usage)?;
    for note in &converted.notes {
        eprintln!("{file}:{note}");
    }
    std::io::stdout().write_all(&converted.bytes)?;
    Ok(ExitCode::SUCCESS)
}

struct Converted {
    bytes: Vec<u8>,
    /// Line, and what was done there or why not.
    notes: Vec<String>,
}

/// What becomes of the lines of an entry.
enum Edit {
    Replace(Vec<(String, String)>),
    Remove,
}

fn exec_to_taildir(file: &str, bytes: &[u8]) -> Result<Converted, String> {
    let (text, _) = decode(&Arc::from(file), bytes);
    if text.replace("\r\n", "").contains('\r') {
        return Err(format!(
            "{file}: its lines end with a carriage return alone; convert them to line feeds first"
        ));
    }
    let entries = parse(&Arc::from(file), &text).entries;
    let mut notes = vec![];
    let mut edits: BTreeMap<usize, Edit> = BTreeMap::new();
    for source in exec_sources(&entries) {
        convert_source(&source, &entries, &mut edits, &mut notes);
    }
    Ok(Converted {
        bytes: edited(bytes, &edits),
        notes,
    })
}

/// The prefixes of exec sources: `a1.sources.r1.`.
fn exec_sources(entries: &[Entry]) -> Vec<String> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries {
        let key = entry.key.trim();
        let mut parts = key.split('.');
        if parts.nth(1) == Some("sources") && parts.nth(1) == Some("type") && parts.next().is_none()
        {
            types.insert(key.strip_suffix("type").unwrap_or(key), entry.value.trim());
        }
    }
    types.retain(|_, kind| EXEC.contains(&&*kind.to_lowercase()));
    types.into_keys().map(String::from).collect()
}

fn convert_source(
    source: &str,
    entries: &[Entry],
    edits: &mut BTreeMap<usize, Edit>,
    notes: &mut Vec<String>,
) {
    let own = entries.iter().filter_map(|entry| {
        let property = entry.key.trim().strip_prefix(source)?;
        Some((property, entry.key_place.line as usize, entry.value.trim()))
    });
    let own: Vec<_> = own.collect();
    let command = own
        .iter()
        .rev()
        .find(|(property, ..)| *property == "command");
    let Some(&(_, command_line, command)) = command else {
        return;
    };
    let name = source.trim_end_matches('.');
    let Some(tail) = TailCommand::of(command) else {
        notes.push(format!(
            "{command_line}: {name} stays as it is: its command is not `tail -F` of plain absolute paths"
        ));
        return;
    };
    let key = |(property, value): (String, String)| (format!("{source}{property}"), value);
    for (property, line, _) in own {
        let edit = match property {
            "type" => Edit::Replace(vec![key(("type".into(), "TAILDIR".into()))]),
            "command" if line == command_line => {
                let mut properties = tail.taildir();
                let position = format!("${{sys:user.home}}/.flume/{name}.position.json");
                properties.push(("positionFile".into(), position));
                Edit::Replace(properties.into_iter().map(key).collect())
            }
            "command" => Edit::Remove,
            _ if OF_EXEC.contains(&property) => {
                notes.push(format!("{line}: {source}{property} is left out"));
                Edit::Remove
            }
            _ => continue,
        };
        edits.insert(line, edit);
    }
    notes.push(format!("{command_line}: {name} is a TAILDIR source now"));
}

/// The file with its edits. A line that is continued by a backslash goes with those behind it.
fn edited(bytes: &[u8], edits: &BTreeMap<usize, Edit>) -> Vec<u8> {
    let mut result = vec![];
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(edit) = edits.get(&(index + 1)) else {
            result.extend_from_slice(line);
            continue;
        };
        let mut last = line;
        while is_continued(last) {
            let Some((_, next)) = lines.next() else { break };
            last = next;
        }
        let end: &[u8] = match last {
            _ if last.ends_with(b"\r\n") => b"\r\n",
            _ if last.ends_with(b"\n") => b"\n",
            _ => b"",
        };
        if line.starts_with(b"\xef\xbb\xbf") {
            result.extend_from_slice(b"\xef\xbb\xbf");
        }
        let Edit::Replace(properties) = edit else {
            continue;
        };
        for (place, (key, value)) in properties.iter().enumerate() {
            if place > 0 {
                result.extend_from_slice(if end.is_empty() { b"\n" } else { end });
            }
            result.extend_from_slice(format!("{key} = {value}").as_bytes());
        }
        result.extend_from_slice(end);
    }
    result
}

fn is_continued(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let backslashes = line.iter().rev().take_while(|&&byte| byte == b'\\').count();
    backslashes % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[u8]) -> String {
        let converted = exec_to_taildir("f", text).unwrap();
        let shown = String::from_utf8_lossy;
        assert_eq!(shown(&converted.bytes), shown(expected));
        assert_eq!(converted.bytes, expected);
        converted.notes.join("\n")
    }

    #[test]
    fn only_the_source_that_tails_changes() {
        let notes = check(
            b"# caf\xe9\r\na1.sources=r1 r2\r\n a1.sources.r1.type : exec\r\na1.sources.r1.command = tail \\\r\n   -F /var/log/a.log\r\n\
              a1.sources.r1.restart=true\r\na1.sources.r1.channels=c1\r\n\r\na1.sources.r2.type=exec\r\na1.sources.r2.command=vmstat 1",
            b"# caf\xe9\r\na1.sources=r1 r2\r\na1.sources.r1.type = TAILDIR\r\na1.sources.r1.filegroups = f1\r\n\
              a1.sources.r1.filegroups.f1 = /var/log/a[.]log\r\na1.sources.r1.skipToEnd = true\r\n\
              a1.sources.r1.positionFile = ${sys:user.home}/.flume/a1.sources.r1.position.json\r\n\
              a1.sources.r1.channels=c1\r\n\r\na1.sources.r2.type=exec\r\na1.sources.r2.command=vmstat 1",
        );
        assert_eq!(
            notes,
            "6: a1.sources.r1.restart is left out\n4: a1.sources.r1 is a TAILDIR source now\n\
             10: a1.sources.r2 stays as it is: its command is not `tail -F` of plain absolute paths"
        );
    }

    #[test]
    fn what_has_no_exec_source_stays() {
        for text in [
            &b""[..],
            b"\xef\xbb\xbfa1.sources.r1.type = seq\n\\",
            b"a1.sources.r1.type = exec\n",
            b"a1.sinks.k1.type = exec\na1.sinks.k1.command = tail -F /a\n",
            b"a1.sources.r1.sources.type = exec\na1.sources.r1.sources.command = tail -F /a",
        ] {
            assert_eq!(check(text, text), "");
        }
        assert!(exec_to_taildir("f", b"a = b\rc = d").is_err());
    }

    #[test]
    fn the_last_of_two_commands_counts_and_a_file_may_end_without_a_line_feed() {
        check(
            b"a.sources.s.command = tail -F /a\na.sources.s.type=org.apache.flume.source.ExecSource\na.sources.s.command = tail -n +1 -F /b",
            b"a.sources.s.type = TAILDIR\na.sources.s.filegroups = f1\na.sources.s.filegroups.f1 = /b\n\
              a.sources.s.positionFile = ${sys:user.home}/.flume/a.sources.s.position.json",
        );
    }
}
