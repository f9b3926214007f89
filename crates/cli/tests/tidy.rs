//! House rules that a compiler does not hold. `scripts/figures.sh` prints the figures behind them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Longest production file, in lines, without its inline tests.
const MAX_FILE_LINES: usize = 500;
/// Longest function, in lines.
const MAX_FUNCTION_LINES: usize = 70;
/// Share of types, in percent, that may have the name of another type.
const MAX_SHARED_NAMES_PERCENT: usize = 15;
/// Words that would tie the sources to the machine or the people that made them.
const FOREIGN_WORDS: &[&str] = &[
    "/work/",
    "crates.io",
    "repo1.maven",
    "deb.debian",
    "pypi.org",
];

#[test]
fn no_values_are_packed_into_a_tuple_to_save_lines() {
    let packed = lines_where(|line, next| {
        let Some(rest) = line.trim_start().strip_prefix("let (") else {
            return false;
        };
        let Some((names, value)) = rest.split_once(") = ") else {
            return false;
        };
        let plain = names
            .chars()
            .all(|c| c.is_alphanumeric() || " ,_".contains(c));
        let swap = value
            .trim_end_matches(';')
            .trim_matches(['(', ')'])
            .split(", ")
            .count()
            == 2
            && value.len() < 20;
        let packs = value.starts_with('(') && (value.ends_with(");") || next.contains(','));
        plain && packs && !swap
    });
    assert!(
        packed.is_empty(),
        "give each value its own `let`: {packed:#?}"
    );
}

#[test]
fn a_condition_is_an_if() {
    let arms = lines_where(|line, _| {
        let line = line.trim_start();
        line.starts_with("true => ") || line.starts_with("false => ")
    });
    assert!(
        arms.is_empty(),
        "write `if`, not `match` on a bool: {arms:#?}"
    );
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<_> = production()
        .map(|path| (path.clone(), code(&path).lines().count()))
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .collect();
    assert!(long.is_empty(), "split: {long:#?}");
}

#[test]
fn functions_are_short_enough_to_read() {
    let mut long = vec![];
    for path in production() {
        for (line, length) in functions(&code(&path)) {
            if length > MAX_FUNCTION_LINES {
                long.push(format!("{}:{line}: {length} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "split: {long:#?}");
}

#[test]
fn types_have_names_of_their_own() {
    let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in production() {
        for line in code(&path).lines() {
            if let Some(name) = declared_type(line) {
                files.entry(name.into()).or_default().push(path.clone());
            }
        }
    }
    let all: usize = files.values().map(Vec::len).sum();
    let shared: Vec<_> = files.iter().filter(|(_, files)| files.len() > 1).collect();
    let share = 100 * shared.iter().map(|(_, files)| files.len()).sum::<usize>() / all;
    let names: Vec<_> = shared
        .iter()
        .map(|(name, files)| (name, files.len()))
        .collect();
    assert!(
        share <= MAX_SHARED_NAMES_PERCENT,
        "{share} % share a name: {names:?}"
    );
}

#[test]
fn the_sources_name_no_machine() {
    let this_file = Path::new(file!()).file_name().expect("a file name");
    let named = lines_in(
        rust_files().filter(|path| path.file_name() != Some(this_file)),
        |line, _| FOREIGN_WORDS.iter().any(|word| line.contains(word)),
    );
    assert!(named.is_empty(), "{named:#?}");
}

/// All crates but one set `doctest = false`, because a run of rustdoc for each costs more than it finds.
#[test]
fn no_comment_has_code_that_nobody_would_run() {
    let mut unrun = vec![];
    for path in rust_files() {
        let text = fs::read_to_string(&path).expect("a source file");
        let fences = text.lines().map(str::trim_start).filter_map(|line| {
            let comment = line.strip_prefix("///").or(line.strip_prefix("//!"))?;
            comment.trim().strip_prefix("```")
        });
        // Every second fence ends a block.
        let ran = |language: &&str| language.is_empty() || language.starts_with("rust");
        if fences.step_by(2).any(|language| ran(&language)) {
            unrun.push(path);
        }
    }
    assert!(unrun.is_empty(), "write a test instead: {unrun:#?}");
}

/// The first line of each function, and how many lines it has. In formatted text the brace at its end is indented as its
/// beginning is.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = vec![];
    for (start, line) in lines.iter().enumerate() {
        let declaration = line.trim_start();
        let begins = declaration.starts_with("fn ")
            || (declaration.starts_with("pub") || declaration.starts_with("async"))
                && declaration.contains("fn ");
        if !begins || line.ends_with(['}', ';']) {
            continue;
        }
        let indent = &line[..line.len() - declaration.len()];
        let end = lines[start..].iter().position(|line| {
            let rest = line.strip_prefix(indent).unwrap_or("x");
            rest.starts_with('}') || rest.starts_with(')') && rest.ends_with(';')
        });
        if let Some(end) = end {
            found.push((start + 1, end + 1));
        }
    }
    found
}

/// The type that a line declares, if it does.
fn declared_type(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with("pub") {
        word = words.next()?;
    }
    let declares = ["struct", "enum", "trait", "union"].contains(&word);
    let name = words.next().filter(|_| declares)?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// Places, as `file:line: text`, whose line and the line after it fulfil `found`.
fn lines_where(found: impl Fn(&str, &str) -> bool) -> Vec<String> {
    lines_in(rust_files(), found)
}

fn lines_in(
    files: impl Iterator<Item = PathBuf>,
    found: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut places = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let next = lines.get(number + 1).copied().unwrap_or_default();
            if found(line, next) {
                places.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    places
}

/// The text of a file without its inline test module.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

fn production() -> impl Iterator<Item = PathBuf> {
    rust_files().filter(|path| {
        let path = path.to_string_lossy();
        let for_tests = [
            "/tests/",
            "/tests.rs",
            "/simulation.rs",
            "/testkit/",
            "/cluster/",
            "/rig/",
            "/examples/",
        ];
        !for_tests.iter().any(|part| path.contains(part))
    })
}

/// All Rust sources of the crates and the rig.
fn rust_files() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("rig")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.into_iter()
}
