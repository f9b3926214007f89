//! The log of a real agent: where it goes, what happens if it cannot, and levels that change while it runs.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use flume_testkit::agent::Agent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");
const FLOW: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = netcat\n\
                    a1.sources.r1.bind = localhost\na1.sources.r1.port = 0\na1.sources.r1.channels = c1\n\
                    a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";

/// Starts an agent in a directory that has these files, and waits until it runs.
fn start(files: &[(&str, &str)], arguments: &[&str]) -> Agent {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut agent = Agent::start_in(directory, Path::new(PROGRAM), FLOW, arguments).unwrap();
    agent.address("r1");
    agent
}

fn read(agent: &Agent, name: &str) -> String {
    fs::read_to_string(agent.dir().join(name)).unwrap_or_default()
}

/// Waits until a file has a text.
fn wait_for(agent: &Agent, name: &str, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !read(agent, name).contains(text) {
        assert!(
            Instant::now() < deadline,
            "{name} lacks {text}: {}",
            read(agent, name)
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_named_file_or_directory_is_enough() {
    let agent = start(&[], &["-Dflume.log.dir=logs", "-Dflume.log.file=x.log"]);
    wait_for(&agent, "logs/x.log", "INFO  [main] (flume_ng::agent:");
    assert!(!agent.log().contains("starts agent"), "{}", agent.log());
    agent.stop().unwrap();
    let both = start(
        &[],
        &[
            "-Dflume.root.logger=INFO,console,LOGFILE",
            "-Dflume.log.dir=l",
        ],
    );
    wait_for(&both, "l/flume.log", "starts agent a1");
    assert!(both.log().contains("starts agent a1"), "{}", both.log());
    both.stop().unwrap();
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named_and_ends_nothing() {
    let directory = ("logs/flume.log/in-the-way", "");
    let agent = start(
        &[directory],
        &["-Dflume.root.logger=INFO,LOGFILE", "-Dflume.log.dir=logs"],
    );
    let log = agent.log();
    let named = "failed to open the log file logs/flume.log: Is a directory";
    assert!(log.contains(named), "{log}");
    assert!(log.contains("starts agent a1"), "{log}");
    assert_eq!(agent.stop().unwrap().0.code(), Some(0));
}

#[test]
fn a_file_of_log4j_2_in_the_configuration_directory_counts() {
    let xml = "<Configuration><Properties><Property name='D'>${sys:where:-out}</Property></Properties><Appenders>\
               <File name='F' fileName='${D}/a.log'><PatternLayout pattern='%p|%m%n'/></File>\
               <Console name='C' target='SYSTEM_OUT'><PatternLayout pattern='C %m%n'/></Console></Appenders><Loggers>\
               <Logger name='org.apache.flume.lifecycle' level='debug' additivity='false'><AppenderRef ref='C'/>\
               </Logger><Root level='warn'><AppenderRef ref='F'/></Root></Loggers></Configuration>";
    let agent = start(
        &[("conf/log4j2.xml", xml)],
        &["--conf", "conf", "-Dwhere=there"],
    );
    let set = Command::new(PROGRAM)
        .args([
            "loglevel",
            "-n",
            "a1",
            "--state-dir",
            "state",
            "org.apache.flume",
            "INFO",
        ])
        .current_dir(agent.dir())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&set.stdout);
    assert!(shown.contains("INFO  org.apache.flume\n"), "{shown}{set:?}");
    assert!(shown.contains("WARN  root\n"), "{shown}");
    wait_for(
        &agent,
        "there/a.log",
        "WARN|set the level of logger org.apache.flume to INFO",
    );
    assert!(!read(&agent, "there/a.log").contains("starts agent"));
    let log = agent.log();
    assert!(log.contains("the log is as conf/log4j2.xml says"), "{log}");
    assert!(log.contains("C a1.channels.c1 running"), "{log}");
    agent
        .configure(&FLOW.replace("type = null", "type = logger"))
        .unwrap();
    agent.signal("HUP").unwrap();
    wait_for(&agent, "log", "C reloaded the configuration");
    agent.stop().unwrap();
}

#[test]
fn levels_are_shown_set_and_reset() {
    let agent = start(&[], &[]);
    let loglevel = |arguments: &[&str], code: i32, expected: &str| {
        let output = Command::new(PROGRAM)
            .args(["loglevel", "--state-dir", "state"])
            .args(arguments)
            .current_dir(agent.dir())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    loglevel(&[], 0, "INFO  root\n");
    loglevel(&["root", "debug"], 0, "DEBUG root\n");
    loglevel(&["flume_core", "OFF"], 0, "OFF   flume_core\n");
    loglevel(&["root", "default"], 0, "INFO  root\n");
    loglevel(
        &["--format", "json"],
        0,
        "{\"flume_core\":\"OFF\",\"root\":\"INFO\"}",
    );
    loglevel(&["root", "loud"], 1, "`loud` is not a level");
    loglevel(
        &["com.example", "INFO"],
        1,
        "is not a logger of this program",
    );
    loglevel(&["root"], 2, "write LOGGER LEVEL");
    agent.stop().unwrap();
}
