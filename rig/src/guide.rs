//! `docs/adding-a-component.md`, followed to the letter in a copy of the project.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{
    agents::{root, target},
    report::Report,
};

const GUIDE: &str = "docs/adding-a-component.md";

/// Who follows the guide has a component that the program describes, and has touched two source files.
pub fn show(report: &mut Report) -> Result<()> {
    let Followed { page, touched } = follow(&root())?;
    let described = page.contains("batchSize") && page.contains("maxBytes");
    report.row(
        "a sink added as the guide says, described",
        described,
        "true",
        described,
    );
    let item = "source files touched to add a sink";
    report.row(item, touched.len(), "2", touched.len() == 2);
    Ok(())
}

/// How long a release build takes if nothing was built before; its dependencies are downloaded already.
pub fn cold_build(report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir_in(target())?;
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
        .env("CARGO_TARGET_DIR", directory.path())
        .current_dir(root())
        .status()?;
    println!(
        "cold build of the program: {:.0} s",
        start.elapsed().as_secs_f64()
    );
    report.row(
        "the program builds",
        status.success(),
        "true",
        status.success(),
    );
    Ok(())
}

/// What came of following the guide.
struct Followed {
    /// What the program says of the new component.
    page: String,
    /// Source files that differ from the project's.
    touched: Vec<String>,
}

/// Writes the file of step 1, adds the two lines of step 2, runs the program as step 3 says: what that prints.
///
/// The program is built as the tests build it. `cargo run` alone would choose other features, and so build every
/// dependency anew.
fn follow(root: &Path) -> Result<Followed> {
    let guide = fs::read_to_string(root.join(GUIDE))?;
    let [file, module, row] = blocks(&guide)?;
    let [new, table] = paths(&guide)?;
    let target = target().canonicalize()?;
    // One place for all runs: each further one would leave all crates of the project in the target directory.
    let copy = target.join("guide");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_tracked(root, &copy)?;
    fs::write(copy.join(new), shown(file))?;
    let table = copy.join(table);
    let text = fs::read_to_string(&table)?;
    let text = before_line(&text, "mod ", module).and_then(|text| before_line(&text, "];", row))?;
    fs::write(&table, text)?;
    let arguments = guide
        .lines()
        .find_map(|line| line.strip_prefix("cargo run -p flume-ng -- "))
        .context("the guide does not run the program")?;
    let built = Command::new("cargo")
        .args(["test", "--locked", "--workspace"])
        .args(["--test", "guide", "--no-run"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&copy)
        .status()?;
    ensure!(built.success(), "a copy that follows {GUIDE} is not built");
    let output = Command::new(target.join("debug/flume-ng"))
        .args(arguments.split(' '))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "`flume-ng {arguments}` failed in a copy that follows {GUIDE}"
    );
    Ok(Followed {
        page: String::from_utf8_lossy(&output.stdout).into_owned(),
        touched: differing(root, &copy)?,
    })
}

/// Rust files of a copy of the project that are new or changed.
fn differing(root: &Path, copy: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["diff", "--no-index", "--name-only", "--"])
        .args([root.join("crates"), copy.join("crates")])
        .output()?;
    let names = String::from_utf8(output.stdout)?;
    let rust = names.lines().filter(|name| name.ends_with(".rs"));
    Ok(rust.map(str::to_string).collect())
}

/// The first three pieces of Rust: the file, its `mod` line, its row.
fn blocks(guide: &str) -> Result<[&str; 3]> {
    let blocks = guide
        .split("```rust")
        .skip(1)
        .filter_map(|rest| rest.split_once('\n')?.1.split("```").next());
    let blocks: Vec<_> = blocks.take(3).collect();
    blocks
        .try_into()
        .ok()
        .context("the guide has fewer than three pieces of Rust")
}

/// The first two source files it names: the new one, and the table.
fn paths(guide: &str) -> Result<[&str; 2]> {
    let paths = guide
        .split('`')
        .filter(|word| word.starts_with("crates/") && word.ends_with(".rs"));
    let paths: Vec<_> = paths.take(2).collect();
    paths
        .try_into()
        .ok()
        .context("the guide names fewer than two files")
}

/// Without the lines that only the documentation's own test sees.
fn shown(code: &str) -> String {
    let visible = code
        .lines()
        .filter(|line| *line != "#" && !line.starts_with("# "));
    visible.map(|line| format!("{line}\n")).collect()
}

/// `text` with `line` before the first line that begins with `mark`.
fn before_line(text: &str, mark: &str, line: &str) -> Result<String> {
    let at = text
        .find(&format!("\n{mark}"))
        .with_context(|| format!("no line begins with `{mark}`"))?
        + 1;
    Ok([&text[..at], line, &text[at..]].concat())
}

fn copy_tracked(root: &Path, to: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()?;
    ensure!(
        listed.status.success(),
        "git cannot list the project's files"
    );
    for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let copy = to.join(file);
        copy.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::copy(root.join(file), copy).with_context(|| format!("failed to copy {file}"))?;
    }
    Ok(())
}
