//! `flume-ng tool` beside a real agent, and after it.

use std::{path::Path, process::Command};

use flume_testkit::agent::Agent;
use serde_json::Value;

const FLOW: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = seq
a1.sources.r1.totalEvents = 1000
a1.sources.r1.batchSize = 10
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/data
a1.channels.c1.minimumRequiredSpace = 0
";

/// Exit code and all that was said.
fn flume(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(arguments)
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn check(arguments: &[&str], code: i32, expected: &str) {
    let (seen, said) = flume(arguments);
    assert!(
        seen == Some(code) && said.contains(expected),
        "{arguments:?}: {seen:?}\n{said}"
    );
}

#[test]
fn a_channel_is_inspected_beside_its_agent_and_repaired_after_it() {
    let program = Path::new(env!("CARGO_BIN_EXE_flume-ng"));
    let mut agent = Agent::start(program, FLOW, &["--lenient"]).expect("an agent");
    agent.wait_for_count("c1", "EventPutSuccessCount", 1000);
    let channel = agent.dir().join("channel");
    let root = channel.display().to_string();
    let data = channel.join("data").display().to_string();
    let (code, said) = flume(&["tool", "channel", "inspect", "--format", "json", &root]);
    let seen: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (code, &seen["events"], &seen["damaged"]),
        (Some(0), &1000.into(), &0.into()),
        "{said}"
    );
    check(
        &["tool", "channel", "inspect", &root],
        0,
        "events      1000 in",
    );
    check(
        &["tool", "channel", "verify", &root],
        0,
        "frames with 1000 events read",
    );
    check(
        &["tool", "FCINTEGRITYTOOL", "-l", &data],
        1,
        "is in use by process",
    );
    let back = agent.dir().join("java-data").display().to_string();
    let export = ["tool", "channel", "export", &back, &root];
    check(&export, 1, "is in use by process");
    agent.signal("TERM").expect("a signal");
    agent.ended().expect("stopped");
    check(
        &["tool", "--conf", "conf", "fcintegritytool", "-l", &data],
        0,
        "frames with 1000 events read",
    );
    check(&export, 0, "1000 events written to");
    check(&export, 1, "is not empty; name a new directory");
    check(
        &["tool", "channel", "inspect", &back],
        0,
        "events      1000, in a file channel of Java Flume",
    );
    check(
        &["tool", "channel", "verify", &back],
        1,
        "belongs to a file channel of Java Flume",
    );
    check(
        &["tool", "FCINTEGRITYTOOL", "--dataDirs", "/nowhere"],
        2,
        "there is no directory /nowhere",
    );
    check(
        &[
            "tool",
            "FCINTEGRITYTOOL",
            "-l",
            &data,
            "-e",
            "com.example.V",
        ],
        2,
        "is a Java class",
    );
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    check(&["tool"], 2, "flume-ng tool channel inspect DIR...");
    check(&["tool", "channel", "inspect"], 2, "the tools are");
    check(&["tool", "FCINTEGRITYTOOL"], 2, "--dataDirs is required");
    check(&["tool", "channel", "export", "/"], 2, "the tools are");
    check(
        &["tool", "channel", "inspect", "/nowhere"],
        1,
        "failed to read /nowhere",
    );
    check(
        &["tool", "channel", "verify", "/", "-Dencryption.activeKey=k"],
        2,
        "encryption.keyProvider: required",
    );
    check(
        &["tool", "channel", "verify", "/", "-Dencryption.activKey=k"],
        2,
        "unknown property",
    );
}
