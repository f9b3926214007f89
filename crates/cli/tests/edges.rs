//! The edges between the crates are exactly those that ARCHITECTURE.md draws.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Crates that only tests and measurements use; they may depend on everything.
const DEVELOPMENT: &[&str] = &["testkit", "cluster", "rig"];

/// The crates that each crate uses.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// The lines `name → others` of the document.
fn drawn() -> Edges {
    include_str!("../../../ARCHITECTURE.md")
        .lines()
        .filter_map(|line| line.split_once(" →"))
        .filter(|(name, _)| !name.trim().contains(' '))
        .map(|(name, others)| {
            let others = others.split_whitespace().map(String::from);
            (name.trim().to_string(), others.collect())
        })
        .collect()
}

/// What the packages of the workspace depend on, tests apart.
fn built() -> Edges {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let used = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| dependency["name"].as_str())
                .filter_map(directory);
            let name = package["name"].as_str().and_then(directory);
            (name.expect("one of ours"), used.collect())
        })
        .filter(|(name, _): &(String, _)| !DEVELOPMENT.contains(&name.as_str()))
        .collect()
}

/// The directory of a package of ours: `flume-core` lies in `core`, the program in `cli`.
fn directory(package: &str) -> Option<String> {
    let name = package.strip_prefix("flume-")?;
    Some(if name == "ng" { "cli" } else { name }.into())
}

#[test]
fn crates_depend_on_each_other_exactly_as_drawn() {
    assert_eq!(built(), drawn());
}

#[test]
fn no_edge_leads_back() {
    let mut left = drawn();
    while !left.is_empty() {
        let ready: Vec<_> = left
            .iter()
            .filter(|(_, used)| used.iter().all(|crate_name| !left.contains_key(crate_name)))
            .map(|(name, _)| name.clone())
            .collect();
        assert!(!ready.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|name, _| !ready.contains(name));
    }
}
