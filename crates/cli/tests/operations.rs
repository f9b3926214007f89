//! What operators do to a running agent: reloads that cannot be, signals, readers of the log that stand still, two
//! agents of one name, properties of the JVM.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use flume_monitor::{ControlAnswer, ControlRequest};
use flume_testkit::agent::{Agent, component, flow, send_lines};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");
const RELOAD: ControlRequest = ControlRequest::Reload { dry_run: false };

fn start(configuration: &str, arguments: &[&str]) -> Agent {
    Agent::start(PROGRAM, configuration, arguments).unwrap()
}

/// All lines in the files of a directory, sorted.
fn lines_in(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let mut lines: Vec<_> = texts
        .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

const NEVER: &str = "sink.rollInterval = 0";
const FILE: &str = "type = file\ncheckpointDir = @DIR@/cp\ndataDirs = @DIR@/data";
const SPILL: &str = "type = spillablememory\ncheckpointDir = @DIR@/cp2\ndataDirs = @DIR@/data2";
const BROKEN: &str =
    "type = file\ncheckpointDir = @DIR@/flume.conf/cp\ndataDirs = @DIR@/flume.conf/data";

#[test]
fn waiting_events_follow_their_channel_through_every_type() {
    let later = format!("type = file_roll\nsink.directory = @DIR@/later\n{NEVER}");
    let types = [
        "type = memory",
        FILE,
        SPILL,
        "type = memory\ncapacity = 150",
        SPILL,
        FILE,
        "type = memory",
    ];
    let mut agent = start(&flow(types[0], &later), &[]);
    let address = agent.address("r1");
    let mut expected = vec![];
    for (number, channel) in types.iter().enumerate() {
        agent.configure(&flow(channel, &later)).unwrap();
        let answer = agent.ask(&RELOAD).unwrap();
        assert!(matches!(answer, ControlAnswer::Changed(_)), "{answer:?}");
        let status = agent.status().unwrap();
        let shown = component(&status, "c1").unwrap();
        assert_eq!(
            Some(shown.type_name.as_str()),
            channel.lines().next().unwrap().strip_prefix("type = ")
        );
        let line = format!("line {number}");
        send_lines(&address, &[&line]);
        expected.push(line);
    }
    fs::create_dir(agent.dir().join("later")).unwrap();
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1);
    agent.wait_for("an empty channel", |status| {
        (component(status, "c1")?.channel.as_ref()?.events == 0).then_some(())
    });
    assert_eq!(lines_in(&agent.dir().join("later")), expected);
    let (status, log) = agent.stop().unwrap();
    assert!(status.success(), "{log}");
}

#[test]
fn a_channel_whose_successor_does_not_open_stays_and_reload_fails() {
    let sink = format!("type = file_roll\nsink.directory = @DIR@/out\n{NEVER}");
    let mut agent = start(&flow("type = memory", &sink), &[]);
    fs::create_dir(agent.dir().join("out")).unwrap();
    let address = agent.address("r1");
    send_lines(&address, &["one"]);
    agent.configure(&flow(BROKEN, &sink)).unwrap();
    let reload = Command::new(PROGRAM)
        .args(["reload", "--name", "a1", "--state-dir", "state"])
        .current_dir(agent.dir())
        .output()
        .unwrap();
    assert_eq!(reload.status.code(), Some(1));
    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(
        said.contains("a1.channels.c1 keeps its settings") && said.contains("Not a directory"),
        "{said}"
    );
    send_lines(&address, &["two"]);
    let out = agent.dir().join("out");
    wait(|| (lines_in(&out) == ["one", "two"]).then_some(()));
    agent.stop().unwrap();
}

#[test]
fn a_renamed_file_channel_keeps_its_events_and_a_removed_one_is_drained() {
    let down = format!("type = file_roll\nsink.directory = @DIR@/out\n{NEVER}");
    let mut agent = start(&flow(FILE, &down), &[]);
    let address = agent.address("r1");
    send_lines(&address, &["one", "two"]);
    // The same directories under another name: the events are there at once.
    let renamed = flow(FILE, &down).replace("c1", "c2");
    agent.configure(&renamed).unwrap();
    agent.ask(&RELOAD).unwrap();
    agent.wait_for("the events under the new name", |status| {
        let held = component(status, "c2")?.channel.as_ref()?;
        (held.events + held.in_flight == 2).then_some(())
    });
    send_lines(&address, &["three"]);
    // It vanishes with its events: its sink goes on until it has delivered them.
    let other = flow("type = memory", "type = null")
        .replace("c1", "c3")
        .replace("k1", "k3");
    agent.configure(&other).unwrap();
    agent.ask(&RELOAD).unwrap();
    let status = agent.status().unwrap();
    assert_eq!(
        component(&status, "c2")
            .unwrap()
            .channel
            .as_ref()
            .map(|held| held.events + held.in_flight),
        Some(3)
    );
    fs::create_dir(agent.dir().join("out")).unwrap();
    agent.wait_for("the channel to go", |status| {
        component(status, "c2").is_none().then_some(())
    });
    assert_eq!(lines_in(&agent.dir().join("out")), ["one", "three", "two"]);
    agent.stop().unwrap();
}

#[test]
fn what_a_spillable_channel_cannot_save_is_counted_and_the_exit_code_says_so() {
    let full = format!("{SPILL}\nminimumRequiredSpace = 99999999999999");
    let sink = "type = file_roll\nsink.directory = @DIR@/missing";
    let mut agent = start(&flow(&full, sink), &["--drain-timeout", "0"]);
    send_lines(&agent.address("r1"), &["one", "two"]);
    let (status, log) = agent.stop().unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("2 events remained in memory and are lost: c1 2"),
        "{log}"
    );
}

#[test]
fn sigquit_prints_where_everything_stands_and_harmless_signals_are_harmless() {
    let sink = "type = file_roll\nsink.directory = @DIR@/missing";
    let mut agent = start(&flow("type = memory", sink), &["--drain-timeout", "0"]);
    let address = agent.address("r1");
    send_lines(&address, &["one"]);
    for signal in ["USR1", "USR2", "ALRM", "QUIT"] {
        agent.signal(signal).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !agent.log().contains("end of the dump") {
        assert!(Instant::now() < deadline, "{}", agent.log());
        sleep(Duration::from_millis(10));
    }
    let log = agent.log();
    for part in [
        "flume-ng: ",
        "sink-k1: ",
        "source r1 (netcat) running",
        "sink k1 (file_roll)",
        "tasks ",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    send_lines(&address, &["two"]);
    agent.stop().unwrap();
}

/// An agent whose standard error nobody reads.
struct Unheard(Child);

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_of_the_log_that_stands_still_does_not_stop_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let configuration = flow("type = memory\ncapacity = 10000", "type = logger").replace(
        "sources.r1.port = 0",
        "sources.r1.port = 0\na1.sources.r1.ack-every-event = false",
    );
    fs::write(dir.path().join("flume.conf"), configuration).unwrap();
    let child = Command::new(PROGRAM)
        .args([
            "agent",
            "-n",
            "a1",
            "-f",
            "flume.conf",
            "--state-dir",
            "state",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut agent = Unheard(child);
    let state = dir.path().join("state/a1");
    let address = wait(|| source_address(&state, "r1"));
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all("line\n".repeat(9000).as_bytes()).unwrap();
    // The pipe and the queue are full by now, and the control socket still answers.
    wait(|| (sink_count(&state, "k1")? >= 9000).then_some(()));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&agent.0),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    let status = wait(|| agent.0.try_wait().unwrap());
    assert!(status.success());
}

fn ask(state: &Path) -> Option<flume_monitor::Status> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(flume_monitor::ask(state, &ControlRequest::Status)) {
        Ok(ControlAnswer::Status(status)) => Some(*status),
        _ => None,
    }
}

fn source_address(state: &Path, name: &str) -> Option<String> {
    component(&ask(state)?, name)?.address.clone()
}

fn sink_count(state: &Path, name: &str) -> Option<u64> {
    component(&ask(state)?, name)?
        .metrics
        .get("EventDrainSuccessCount")
        .copied()
}

fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_control_socket_comes_when_the_other_agent_of_the_name_has_ended() {
    let shared = tempfile::tempdir().unwrap();
    let state = shared.path().display().to_string();
    let arguments = ["--state-dir", &state];
    // The later option does not count, so the first one is the harness's: start by hand.
    let spawn = |dir: &Path| {
        fs::write(dir.join("flume.conf"), flow("type = memory", "type = null")).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["agent", "-n", "a1", "-f", "flume.conf"])
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Unheard(child)
    };
    let one = tempfile::tempdir().unwrap();
    let two = tempfile::tempdir().unwrap();
    let socket = shared.path().join("a1");
    let first = spawn(one.path());
    assert_eq!(wait(|| ask(&socket)).pid, first.0.id());
    let second = spawn(two.path());
    wait(|| {
        let log = fs::read_to_string(two.path().join("log")).unwrap();
        log.contains("another agent of this name is running")
            .then_some(())
    });
    drop(first);
    let status = wait(|| ask(&socket));
    assert_eq!(status.pid, second.0.id());
}

#[test]
fn an_agent_runs_without_any_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let home = dir.path().join("file");
    let out = dir.path().join("out");
    let sink = format!(
        "type = hdfs\nhdfs.path = file://{}\nhdfs.fileType = DataStream",
        out.display()
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let configuration =
        flow("type = memory", &sink).replace("port = 0", &format!("port = {}", port.port()));
    fs::write(dir.path().join("flume.conf"), configuration).unwrap();
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let child = Command::new(PROGRAM)
        .args(["agent", "-n", "a1", "-f", "flume.conf"])
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .env_remove("STATE_DIRECTORY")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let _agent = Unheard(child);
    wait(|| TcpStream::connect(port).ok());
    send_lines(&port.to_string(), &["one"]);
    wait(|| (lines_in(&out) == ["one"]).then_some(()));
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(
        log.contains("sinks keep no journal") && log.contains("--state-dir"),
        "{log}"
    );
}

/// The directory that the hdfs sink makes for now.
fn directory_made(path: &str, arguments: &[&str]) -> PathBuf {
    let sink = format!(
        "type = hdfs\nhdfs.path = file://@DIR@/out/{path}\nhdfs.fileType = DataStream\nhdfs.useLocalTimeStamp = true"
    );
    let mut agent = start(&flow("type = memory", &sink), arguments);
    send_lines(&agent.address("r1"), &["one"]);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1);
    let made = fs::read_dir(agent.dir().join("out"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = made.file_name().into();
    agent.stop().unwrap();
    name
}

#[test]
fn properties_of_the_jvm_change_paths_as_under_java() {
    let shown = |zone: &str, format: &str| {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        jiff::Timestamp::now()
            .to_zoned(zone)
            .strftime(format)
            .to_string()
    };
    // The hour may end meanwhile.
    for (zone, name) in [
        ("Asia/Shanghai", "Asia/Shanghai"),
        ("GMT+14", "Etc/GMT-14"),
        ("nowhere", "UTC"),
    ] {
        let before = shown(name, "%Y-%m-%d_%H");
        let made = directory_made("%Y-%m-%d_%H", &[&format!("-Duser.timezone={zone}")]);
        let after = shown(name, "%Y-%m-%d_%H");
        assert!(
            [before, after].contains(&made.display().to_string()),
            "{zone}: {made:?}"
        );
    }
    let made = directory_made("%B", &["-Duser.language=de", "-Duser.country=AT"]);
    let names = flume_java::locale::names("de", "AT").unwrap();
    assert!(names.months.contains(&made.to_str().unwrap()), "{made:?}");
}

#[test]
fn other_properties_of_the_jvm_are_named() {
    let arguments = [
        "-Dflume.root.logger=DEBUG,console",
        "-DappFlag=q",
        "-Dfile.encoding=ISO-8859-1",
        "-Duser.language=tlh",
    ];
    let mut agent = start(&flow("type = memory", "type = null"), &arguments);
    agent.address("r1");
    let (_, log) = agent.stop().unwrap();
    for part in [
        "-DappFlag has no effect",
        "file.encoding=ISO-8859-1 has no effect",
        "user.language=tlh: ",
    ] {
        assert_eq!(log.matches(part).count(), 1, "{part}: {log}");
    }
}

#[test]
fn the_last_words_of_a_command_and_malformed_lines_are_told() {
    let exec = "a1.sources.r1.type = exec\na1.sources.r1.shell = /bin/sh -c\na1.sources.r1.logStdErr = true\n\
                a1.sources.r1.channels = c1\n\
                a1.sources.r1.command = echo out; echo first >&2; printf unfinished >&2; exit 3\n";
    for _ in 0..5 {
        let base = flow("type = memory", "type = null");
        let configuration: String = base
            .lines()
            .filter(|line| !line.contains(".r1."))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut agent = start(&(configuration + exec), &[]);
        agent.wait_for("the end of the command", |status| {
            (component(status, "r1")?.state == "stopped").then_some(())
        });
        let (_, log) = agent.stop().unwrap();
        assert!(
            log.contains("stderr: first") && log.contains("stderr: unfinished"),
            "{log}"
        );
    }
    let mut agent = start(&flow("type = memory", "type = null"), &[]);
    let mut client = TcpStream::connect(agent.address("r1")).unwrap();
    client.write_all(b"first\ncaf\xe9 second\nthird\n").unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    agent.wait_for_count("r1", "EventReadFail", 1);
    let (_, log) = agent.stop().unwrap();
    assert_eq!(log.matches("its connection is closed").count(), 1, "{log}");
}

#[test]
fn a_file_that_somebody_takes_away_is_told_and_counted() {
    let sink = "type = hdfs\nhdfs.path = file://@DIR@/out\nhdfs.fileType = DataStream\nhdfs.rollInterval = 2\n\
                hdfs.rollCount = 0\nhdfs.rollSize = 0";
    let mut agent = start(&flow("type = memory", sink), &[]);
    send_lines(&agent.address("r1"), &["one"]);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1);
    for file in fs::read_dir(agent.dir().join("out")).unwrap().flatten() {
        fs::remove_file(file.path()).unwrap();
    }
    agent.wait_for_count("k1", "FilesAbandonedCount", 1);
    let (_, log) = agent.stop().unwrap();
    assert_eq!(
        log.matches("has vanished before it was renamed").count(),
        1,
        "{log}"
    );
}
