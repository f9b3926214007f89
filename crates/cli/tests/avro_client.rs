//! `flume-ng avro-client` against an agent of this program.

use std::{fs, process::Command};

use flume_core::Registry;
use flume_testkit::source::RunningSource;

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

/// Runs the command; its exit code and what it printed.
async fn run(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    command.arg("avro-client").args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().expect("an exit code");
    (code, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn lines_of_a_file_are_sent_and_a_checkpoint_goes_on_behind_them() {
    let source = RunningSource::start(&REGISTRY, "avro", "bind = 127.0.0.1\nport = 0");
    let port = source.address().await.port().to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lines");
    let headers = dir.path().join("headers");
    let checkpoint = dir.path().join("checkpoint");
    let lines: String = (0..23).map(|n| format!("line {n}\n")).collect();
    fs::write(&file, &lines).expect("a file");
    fs::write(&headers, "who = me\n").expect("a file");
    let arguments = [
        "-H",
        "127.0.0.1",
        "-p",
        &port,
        "-F",
        file.to_str().expect("a path"),
        "-R",
        headers.to_str().expect("a path"),
        "--checkpoint",
        checkpoint.to_str().expect("a path"),
    ];
    let (code, text) = run(&arguments).await;
    assert_eq!((code, text.as_str()), (0, "23 lines sent\n"));
    let events = source.take(23).await;
    assert_eq!(events[22].body, "line 22");
    assert_eq!(events[0].headers.get("who").expect("a header"), "me");
    assert!(source.number("AppendBatchReceivedCount") >= 5);
    // What is appended is sent, and nothing twice.
    fs::write(&file, lines + "more\r\n\nlast").expect("a file");
    let (code, text) = run(&arguments).await;
    assert_eq!((code, text.as_str()), (0, "3 lines sent\n"));
    assert_eq!(source.bodies(3).await, ["more", "", "last"]);
}

#[tokio::test]
async fn a_directory_is_sent_file_by_file_and_properties_may_name_the_peers() {
    let source = RunningSource::start(&REGISTRY, "avro", "bind = 127.0.0.1\nport = 0");
    let address = source.address().await;
    let dir = tempfile::tempdir().expect("a directory");
    let inbox = dir.path().join("inbox");
    fs::create_dir(&inbox).expect("a directory");
    for name in ["a", ".hidden", "b.COMPLETED"] {
        fs::write(inbox.join(name), format!("of {name}\n")).expect("a file");
    }
    let properties = dir.path().join("rpc.properties");
    let text = format!("hosts = h1\nhosts.h1 = {address}\nbatch-size = 2\n");
    fs::write(&properties, text).expect("a file");
    let properties = properties.to_str().expect("a path");
    let arguments = [
        "-P",
        properties,
        "--dirname",
        inbox.to_str().expect("a path"),
    ];
    let (code, text) = run(&arguments).await;
    assert_eq!((code, text.as_str()), (0, "1 lines sent\n"));
    assert_eq!(source.bodies(1).await, ["of a"]);
    assert!(inbox.join("a.COMPLETED").exists() && !inbox.join("a").exists());
}

#[tokio::test]
async fn what_cannot_be_sent_ends_with_a_reason() {
    let (code, text) = run(&[]).await;
    assert_eq!(code, 2);
    assert!(text.contains("--host and --port, or --rpcProps"), "{text}");
    let source = RunningSource::start(&REGISTRY, "avro", "bind = 127.0.0.1\nport = 0");
    let port = source.address().await.port().to_string();
    source.stop().await.expect("it stops");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lines");
    fs::write(&file, "x\n").expect("a file");
    let file = file.to_str().expect("a path");
    let (code, text) = run(&["-H", "127.0.0.1", "-p", &port, "-F", file]).await;
    assert_eq!(code, 1);
    assert!(text.contains("0 lines were sent before"), "{text}");
    assert!(text.contains("connecting to 127.0.0.1"), "{text}");
}
