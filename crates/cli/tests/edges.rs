//! The edges between the crates are those of ARCHITECTURE.md, and no others.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Each crate with what it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("flume-derive", &[]),
    ("flume-core", &["flume-derive"]),
    ("flume-conf", &["flume-core"]),
    ("flume-runtime", &["flume-conf", "flume-core"]),
    (
        "flume-components",
        &["flume-core", "flume-host", "flume-java", "flume-wire"],
    ),
    ("flume-java", &["flume-core"]),
    ("flume-wire", &["flume-core"]),
    ("flume-host", &[]),
    ("flume-file-channel", &["flume-core", "flume-host"]),
    (
        "flume-files",
        &["flume-core", "flume-host", "flume-java", "flume-wire"],
    ),
    ("flume-kerberos", &["flume-core"]),
    ("flume-hadoop", &["flume-core", "flume-kerberos"]),
    ("flume-hdfs", &["flume-core", "flume-hadoop", "flume-wire"]),
    (
        "flume-deploy",
        &["flume-core", "flume-hadoop", "flume-host", "flume-kerberos"],
    ),
    (
        "flume-ng",
        &[
            "flume-components",
            "flume-conf",
            "flume-core",
            "flume-deploy",
            "flume-file-channel",
            "flume-files",
            "flume-hadoop",
            "flume-hdfs",
            "flume-kerberos",
            "flume-host",
            "flume-runtime",
        ],
    ),
];

/// Crates that only tests and measurements use; they may depend on everything.
const DEVELOPMENT: &[&str] = &["flume-testkit", "flume-cluster", "flume-rig"];

#[test]
fn crates_depend_on_each_other_as_drawn() {
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
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        if DEVELOPMENT.contains(&name) {
            continue;
        }
        let drawn = EDGES.iter().find(|(known, _)| *known == name);
        let (_, drawn) = drawn.unwrap_or_else(|| panic!("{name} is not drawn"));
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let kept = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        let edges = kept.filter_map(|dependency| dependency["name"].as_str());
        for edge in edges.filter(|edge| edge.starts_with("flume-")) {
            assert!(drawn.contains(&edge), "{name} → {edge} is not drawn");
        }
        seen.insert(name.to_string());
    }
    assert_eq!(
        seen.len(),
        EDGES.len(),
        "a crate is drawn that is not there"
    );
}
