//! A real agent with the hdfs sink on a local file system: what SIGTERM and SIGKILL leave.

use std::{
    fs,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use flume_testkit::agent::{Agent, flow, send_lines};

static FLOW: LazyLock<String> = LazyLock::new(|| {
    let sink = "type = hdfs\nhdfs.path = file://@DIR@/out/%[localhost]\nhdfs.fileType = DataStream\n\
                hdfs.rollInterval = 0\nhdfs.rollSize = 0\nhdfs.rollCount = 0\nbatchLingerMs = 0";
    flow("type = memory", sink)
});

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");

/// Sends lines and waits until they are in the file.
fn deliver(agent: &mut Agent, lines: &[&str]) {
    send_lines(&agent.address("r1"), lines);
    agent.wait_for_count("k1", "EventDrainSuccessCount", lines.len() as u64);
}

/// Each file's name, as far as it does not vary, and what it holds.
fn files(dir: &Path) -> Vec<(String, String)> {
    let host = fs::read_dir(dir.join("out"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut files: Vec<_> = fs::read_dir(host)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let name = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
    };
    files
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn file(name: &str, text: &str) -> (String, String) {
    (name.into(), text.into())
}

#[test]
fn a_stop_finishes_the_files() {
    let mut agent = Agent::start(PROGRAM, &FLOW, &[]).unwrap();
    deliver(&mut agent, &["one", "two"]);
    assert_eq!(files(agent.dir()), [file("FlumeData..tmp", "one\ntwo\n")]);
    agent.signal("TERM").unwrap();
    let (status, log) = agent.ended().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(files(agent.dir()), [file("FlumeData.", "one\ntwo\n")]);
}

#[test]
fn what_a_killed_agent_leaves_is_finished_at_the_next_start() {
    let mut agent = Agent::start(PROGRAM, &FLOW, &[]).unwrap();
    deliver(&mut agent, &["one", "two"]);
    let dir = agent.kill().unwrap();
    assert_eq!(files(dir.path()), [file("FlumeData..tmp", "one\ntwo\n")]);
    let mut agent = Agent::start_in(dir, PROGRAM, &FLOW, &[]).unwrap();
    let start = Instant::now();
    while files(agent.dir()) != [file("FlumeData.", "one\ntwo\n")] {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?}\n{}",
            files(agent.dir()),
            agent.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    deliver(&mut agent, &["three"]);
    assert_eq!(
        files(agent.dir()),
        [
            file("FlumeData.", "one\ntwo\n"),
            file("FlumeData..tmp", "three\n")
        ]
    );
}
