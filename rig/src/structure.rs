//! The shape of the code in numbers.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::agents::target;

/// Prints them.
pub fn print(root: &Path) -> Result<()> {
    let mut files = vec![];
    collect(&root.join("crates"), &mut files)?;
    let mut lengths: Vec<(usize, PathBuf)> = vec![];
    let mut functions: Vec<(usize, String)> = vec![];
    for file in files {
        let text = fs::read_to_string(&file)?;
        let file = file.strip_prefix(root).unwrap_or(&file).to_path_buf();
        lengths.push((text.lines().count(), file.clone()));
        functions.extend(
            functions_of(&text)
                .map(|(lines, name)| (lines, format!("{name} in {}", file.display()))),
        );
    }
    lengths.sort();
    functions.sort();
    println!("--- structure");
    println!(
        "files {}, median length {}",
        lengths.len(),
        lengths.get(lengths.len() / 2).map_or(0, |file| file.0)
    );
    for (lines, file) in lengths.iter().rev().take(3) {
        println!("long file: {lines} lines {}", file.display());
    }
    for (lines, name) in functions.iter().rev().take(5) {
        println!("long function: {lines} lines, {name}");
    }
    let tree = Command::new("cargo")
        .args([
            "tree", "--locked", "-p", "flume-ng", "-e", "normal", "--prefix", "depth",
        ])
        .current_dir(root)
        .output()?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let depth = tree.lines().filter_map(|line| {
        line.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse::<u32>()
            .ok()
    });
    let mut crates: Vec<_> = tree
        .lines()
        .filter_map(|line| {
            line.trim_start_matches(|c: char| c.is_ascii_digit())
                .split(' ')
                .next()
        })
        .collect();
    crates.sort_unstable();
    crates.dedup();
    println!(
        "cargo tree: depth {}, {} crates",
        depth.max().unwrap_or(0),
        crates.len()
    );
    println!(
        "cold build of the program: {:.0} s",
        cold_build(root)?.as_secs_f64()
    );
    Ok(())
}

/// How long a release build takes when nothing was built before; what it downloads is there already.
fn cold_build(root: &Path) -> Result<Duration> {
    let target = tempfile::tempdir_in(target())?;
    let start = Instant::now();
    let status = Command::new("cargo")
        .args([
            "build",
            "--locked",
            "--release",
            "--quiet",
            "-p",
            "flume-ng",
        ])
        .env("CARGO_TARGET_DIR", target.path())
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the program does not build");
    Ok(start.elapsed())
}

/// Source files that a new sink touches: those named in the steps that the guide has for its code.
pub fn files_of_a_sink(root: &Path) -> Result<usize> {
    let guide = fs::read_to_string(root.join("docs/adding-a-component.md"))?;
    let code = guide.split("## 3").next().unwrap_or_default();
    let words = code
        .split('`')
        .filter(|word| word.starts_with("crates/") && word.ends_with(".rs"));
    Ok(words.collect::<BTreeSet<_>>().len())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Functions with their lengths; formatted code closes a function at the indentation it began with.
fn functions_of(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines: Vec<_> = text.lines().collect();
    let starts = (0..lines.len()).filter(|&at| {
        let words = lines[at].trim_start();
        let words = words
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        words
            .trim_start_matches("const ")
            .trim_start_matches("async ")
            .starts_with("fn ")
    });
    let mut functions = vec![];
    for start in starts {
        let indentation = lines[start].len() - lines[start].trim_start().len();
        let close = " ".repeat(indentation) + "}";
        let end = (start..lines.len())
            .find(|&at| lines[at] == close || (at == start && lines[at].ends_with([';', '}'])));
        let name = lines[start]
            .split("fn ")
            .nth(1)
            .and_then(|rest| rest.split(['(', '<']).next())
            .unwrap_or_default();
        functions.push((end.unwrap_or(start) + 1 - start, name.to_string()));
    }
    functions.into_iter()
}
