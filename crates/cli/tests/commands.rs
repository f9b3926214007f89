//! The program from outside: its commands, what they print, their exit codes.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn flume(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn check(arguments: &[&str], code: i32, expected: &str) {
    let output = flume(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn every_command_says_what_is_wrong_and_exits_with_two() {
    check(&[], 2, "Usage: flume-ng COMMAND");
    check(&["help"], 0, "validate");
    check(&["--help"], 0, "validate");
    check(&["version"], 0, "Flume 0");
    check(
        &["agnet"],
        2,
        "there is no command `agnet`, did you mean `agent`?",
    );
    check(&["agent"], 2, "an agent needs --name");
    check(&["agent", "--help"], 0, "--no-reload-conf");
    check(&["agent", "-n", "a1"], 2, "an agent needs --conf-file");
    check(
        &[
            "agent",
            "-n",
            "a1",
            "-f",
            "/nowhere/flume.conf",
            "--state-dir",
            "/tmp",
        ],
        2,
        "/nowhere/flume.conf cannot be read",
    );
    check(
        &["agent", "-n", "a1", "-f", "x", "--nonsense"],
        2,
        "there is no option --nonsense",
    );
    check(&["validate"], 2, "which file?");
    check(
        &["validate", "-f", "/nowhere"],
        2,
        "/nowhere cannot be read",
    );
    check(
        &["status", "--state-dir", "/nowhere"],
        1,
        "no agent runs in /nowhere",
    );
    check(&["describe", "file_rol"], 2, "did you mean `file_roll`?");
    check(
        &["describe", "hive"],
        2,
        "a sink of Flume that this build does not have",
    );
    check(&["describe", "memory"], 0, "byteCapacityBufferPercentage");
    check(&["describe"], 0, "netcat");
}

#[test]
fn describe_hadoop_says_what_is_in_force_and_where_it_comes_from() {
    let conf = tempfile::tempdir().unwrap();
    let path = conf.path().join("core-site.xml");
    let write = |blocks: &str| {
        let property = |name: &str, value: &str| {
            format!("<property><name>{name}</name><value>{value}</value></property>\n")
        };
        let all =
            property("dfs.block.size", blocks) + &property("fs.s3a.secret.key", "hidden words");
        fs::write(&path, format!("<configuration>\n{all}</configuration>")).unwrap();
    };
    let describe = |code: i32, expected: &str| {
        check(
            &[
                "describe",
                "hadoop",
                "--conf",
                conf.path().to_str().unwrap(),
            ],
            code,
            expected,
        );
    };
    write("64m");
    describe(
        0,
        &format!(
            "  dfs.blocksize = 64m\n      {}:2, as `dfs.block.size`; bytes of a block",
            path.display()
        ),
    );
    describe(0, "  dfs.replication = 3\n      default; replicas");
    describe(
        0,
        &format!(
            "  fs.s3a.secret.key = (not shown)\n      {}:3\n",
            path.display()
        ),
    );
    write("much");
    describe(
        2,
        &format!(
            "{}:2: `dfs.block.size` expected a number of bytes",
            path.display()
        ),
    );
    fs::write(&path, "<configuration>\n</property>").unwrap();
    describe(2, &format!("{}:2: this is not XML", path.display()));
}

#[test]
fn an_agent_that_cannot_run_exits_with_two() {
    let nothing = file(
        "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = nettcat\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n",
    );
    let path = nothing.path().to_str().unwrap();
    let base = ["agent", "-f", path, "--state-dir", "/tmp"];
    let agent = |more: &[&'static str]| [&base, more].concat();
    check(
        &agent(&["-n", "a1"]),
        2,
        "a1.sources.r1.type: there is no source type `nettcat` (did you mean `netcat`?)",
    );
    check(
        &agent(&["-n", "a1"]),
        2,
        "has no source and no sink that can run",
    );
    check(
        &agent(&["-n", "a2"]),
        2,
        "there is no agent `a2`, the configuration has: a1",
    );
    let half = file(
        "a1.sinks = k1 k2\na1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n",
    );
    let path = half.path().to_str().unwrap();
    check(
        &[
            "agent",
            "-f",
            path,
            "-n",
            "a1",
            "--strict",
            "--state-dir",
            "/tmp",
        ],
        2,
        "errors in the configuration, which --strict refuses: 1;",
    );
}

/// As sites have it from their deployment tool.
const DEPLOYMENT: &str = "\
# Name the components on this agent
a1.sources = r1
a1.sinks = k1, k2
a1.channels = c1
# Describe/configure the source
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = 44444
a1.sinks.k1.type = HDFS
a1.sinks.k1.hdfs.kerberosPrincipal = flume/_HOST@YOUR-REALM.COM
a1.sinks.k1.hdfs.kerberosKeytab = /etc/flume/conf/flume.keytab
a1.sinks.k1.hdfs.proxyUser = test
a1.sinks.k2.type = HDFS
a1.sinks.k2.hdfs.kerberosPrincipal = flume/_HOST@YOUR-REALM.COM
a1.sinks.k2.hdfs.kerberosKeytab = /etc/flume/conf/flume.keytab
a1.sinks.k2.hdfs.proxyUser = hdfs
";

#[test]
fn validate_finds_every_mistake_in_its_place() {
    let file = file(DEPLOYMENT);
    let path = file.path().to_str().unwrap();
    let output = flume(&["validate", "-f", path, "--format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = report["diagnostics"].as_array().unwrap();
    assert!(found.iter().all(|found| found["file"] == path));
    let row = |found: &Value| {
        format!(
            "{}:{} {} {}",
            found["line"],
            found["column"],
            found["severity"].as_str().unwrap(),
            found["key"].as_str().unwrap()
        )
    };
    let seen: Vec<_> = found
        .iter()
        .filter(|found| found["severity"] != "note")
        .map(row)
        .collect();
    assert_eq!(
        seen,
        [
            "3:14 warning a1.sinks",
            "4:15 error a1.channels",
            "6:1 error a1.sources.r1.channels",
            "9:1 error a1.sinks.k1.channel",
            "9:1 error a1.sinks.k1.hdfs.path",
            "13:1 error a1.sinks.k2.channel",
            "13:1 error a1.sinks.k2.hdfs.path",
        ]
    );
    check(
        &["validate", "-f", path],
        2,
        " 3 | a1.sinks = k1, k2\n   |              ^\n  = separate names by spaces",
    );
    check(
        &["validate", "-f", path, "-n", "a2"],
        2,
        "there is no agent `a2`, the configuration has: a1",
    );
}

/// It may be read by the client of HDFS alone, which does not survive every one.
#[test]
fn a_file_of_delegation_tokens_is_not_read() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        command
            .args(arguments)
            .env("HADOOP_TOKEN_FILE_LOCATION", "/nowhere")
            .output()
            .unwrap()
    };
    let output = run(&["version"]);
    let plain = flume(&["version"]);
    assert_eq!((output.status, output.stdout), (plain.status, plain.stdout));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        said.matches("HADOOP_TOKEN_FILE_LOCATION has no effect")
            .count(),
        1,
        "{said}"
    );
    assert_eq!(run(&["agent", "--nonsense"]).status.code(), Some(2));
}

#[test]
fn the_examples_are_right() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "conf")
                // It shows that a sink of a foreign class is no obstacle to a test.
                && !path.ends_with("two-copies.conf")
            {
                // What it warns of is what it shows.
                let expected = if path.ends_with("no-default.conf") {
                    "0 errors, 1 warning"
                } else {
                    "0 errors, 0 warnings"
                };
                check(&["validate", "-f", path.to_str().unwrap()], 0, expected);
            }
        }
    }
}
