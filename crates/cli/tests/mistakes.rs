//! One mistake in each file of `tests/mistakes`; what `validate` has to say about it stands beside it.
//!
//! With `FLUME_BLESS` set the expectations are written. Read them.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// `SEVERITY[CODE] LINE:COLUMN KEY: TEXT`, and a hint below it; the verdicts on what cannot run.
fn judged(file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(["validate", "--format", "json", "-f"])
        .arg(file)
        .envs([("FLUME_HOME", "/nonexistent"), ("HOME", "/home/flume")])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_string();
    let mut shown = String::new();
    for found in report["diagnostics"].as_array().unwrap() {
        let [severity, code, key, said] =
            ["severity", "code", "key", "text"].map(|name| text(found, name));
        let line = &found["line"];
        let column = &found["column"];
        let _ = writeln!(shown, "{severity}[{code}] {line}:{column} {key}: {said}");
        if found["hint"].is_string() {
            let _ = writeln!(shown, "  = {}", text(found, "hint"));
        }
    }
    for agent in report["agents"].as_array().unwrap() {
        for part in agent["components"].as_array().unwrap() {
            if part["reason"].is_string() {
                let [name, reason] = ["name", "reason"].map(|field| text(part, field));
                let _ = writeln!(shown, "{name} cannot run: {reason}");
            }
        }
    }
    shown
}

#[test]
fn each_mistake_is_told_once_and_in_its_place() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
    files.sort();
    assert!(files.len() >= 60, "{}", files.len());
    let mut wrong = vec![];
    for file in files {
        let seen = judged(&file);
        let beside = file.with_extension("expected");
        if env::var_os("FLUME_BLESS").is_some() {
            fs::write(&beside, &seen).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if seen != expected {
            let name = file.display();
            wrong.push(format!("{name}\n--- expected\n{expected}--- seen\n{seen}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
