//! Real agents: flows, monitoring, reloads.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::LazyLock,
    time::Duration,
};

use flume_testkit::agent::{Agent, component, flow, send_lines};
use serde_json::Value;

static FLOW: LazyLock<String> = LazyLock::new(|| {
    let sink = "type = file_roll\nsink.directory = @DIR@\nsink.rollInterval = 0\n\
                sink.pathManager.prefix = out-";
    flow("type = memory", sink)
});

fn start(configuration: &str, arguments: &[&str]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_flume-ng"), configuration, arguments).unwrap()
}

fn written(agent: &Agent) -> String {
    let mut files: Vec<_> = fs::read_dir(agent.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| {
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("out-")
    });
    files.sort();
    files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

fn get(port: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_string())
}

#[test]
fn lines_arrive_and_a_stop_is_clean() {
    let mut agent = start(&FLOW, &["-Dflume.root.logger=INFO,console"]);
    let address = agent.address("r1");
    send_lines(&address, &["one", "two"]);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 2);
    assert_eq!(written(&agent), "one\ntwo\n");
    let (status, log) = agent.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped, nothing remained in memory"), "{log}");
    // 2024-01-31 12:00:00,000 (main) [INFO - …] …
    let first = log.lines().next().unwrap();
    assert!(
        first.get(19..20) == Some(",") && first.contains(" (main) [INFO - "),
        "{first}"
    );
}

#[test]
fn the_log_goes_to_a_file_when_it_is_told() {
    let agent = start(
        &FLOW,
        &[
            "-Dflume.root.logger=INFO,LOGFILE",
            "-Dflume.log.dir=logs",
            "-Dflume.log.file=my.log",
        ],
    );
    let directory = agent.dir().to_path_buf();
    let mut agent = agent;
    agent.address("r1");
    let log = fs::read_to_string(directory.join("logs/my.log")).unwrap();
    assert!(log.contains(" INFO  [main] ("), "{log}");
    agent.stop().unwrap();
}

#[test]
fn metrics_have_flumes_shape_and_more() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let monitoring = format!("-Dflume.monitoring.port={port}");
    let configuration = FLOW.replace("sinks = k1", "sinks = k1 k2")
        + "a1.sinks.k2.type = irc\na1.sinks.k2.hostname = h\na1.sinks.k2.nick = n\na1.sinks.k2.chan = c\na1.sinks.k2.channel = c1\n";
    let mut agent = start(
        &configuration,
        &["-Dflume.monitoring.type=http", &monitoring],
    );
    let address = agent.address("r1");
    send_lines(&address, &["one", "two"]);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 2);

    let (head, body) = get(&port, "GET /metrics HTTP/1.1\r\nHost: x");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("application/json;charset=utf-8"),
        "{head}"
    );
    let metrics: Value = serde_json::from_str(&body).unwrap();
    let flumes: Value = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    for (name, attributes) in flumes.as_object().unwrap() {
        for attribute in attributes.as_object().unwrap().keys() {
            assert!(
                metrics[name][attribute].is_string(),
                "{name} {attribute}: {metrics}"
            );
        }
    }
    for (name, attribute, expected) in [
        ("SOURCE.r1", "EventAcceptedCount", "2"),
        ("CHANNEL.c1", "EventPutSuccessCount", "2"),
        ("CHANNEL.c1", "EventTakeSuccessCount", "2"),
        ("CHANNEL.c1", "ChannelCapacity", "100"),
        ("CHANNEL.c1", "ChannelFillPercentage", "0.0"),
        ("SINK.k1", "EventDrainSuccessCount", "2"),
        ("SINK.k1", "Type", "SINK"),
        ("SINK.k1", "StopTime", "0"),
        ("SINK.k2", "State", "refused"),
    ] {
        assert_eq!(metrics[name][attribute], expected, "{name} {attribute}");
    }
    let (head, body) = get(&port, "GET /metrics/prometheus HTTP/1.1\r\nHost: x");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        body.contains("flume_source_event_accepted_total{agent=\"a1\",component=\"r1\"} 2\n"),
        "{body}"
    );
    assert!(body.contains("# TYPE flume_channel_size gauge\n"), "{body}");
    let (_, accepted) = get(
        &port,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4",
    );
    assert!(accepted.starts_with("# TYPE"), "{accepted}");
    assert_eq!(
        component(&agent.status().unwrap(), "k2").map(|sink| sink.type_name.as_str()),
        Some("irc")
    );
    assert_eq!(
        get(&port, "GET /healthz HTTP/1.1\r\nHost: localhost").1,
        "ok\n"
    );
    // A sink that does not work keeps nobody from sending: the channel is for that.
    let (head, body) = get(&port, "GET /readyz HTTP/1.1\r\nHost: localhost");
    assert!(
        head.starts_with("http/1.1 200") && body == "ready\n",
        "{head} {body}"
    );
    for (request, expected) in [
        ("OPTIONS /metrics", "403"),
        ("TRACE /", "403"),
        ("GET /elsewhere", "404"),
    ] {
        let (head, _) = get(&port, &format!("{request} HTTP/1.1\r\nHost: localhost"));
        assert!(
            head.starts_with(&format!("http/1.1 {expected}")),
            "{request}: {head}"
        );
    }
    agent.stop().unwrap();
}

#[test]
fn a_changed_file_is_read_and_restarts_only_what_changed() {
    let mut agent = start(&FLOW, &["--poll-interval", "1"]);
    let address = agent.address("r1");
    let mut open = TcpStream::connect(&address).unwrap();
    let interceptor =
        "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = static\n";
    agent
        .configure(
            &(FLOW.to_string() + interceptor + "a1.sinks.k1.sink.serializer = header_and_text\n"),
        )
        .unwrap();
    agent.wait_for("a reload", |status| {
        status
            .last_reload
            .clone()
            .filter(|reload| reload.error.is_none())
    });
    open.write_all(b"after\n").unwrap();
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1);
    assert_eq!(written(&agent), "{key=value} after\n");
    assert!(
        agent
            .log()
            .contains("reloaded the configuration: restart sinks k1, rewire sources r1"),
        "{}",
        agent.log()
    );
    agent.stop().unwrap();
}

#[test]
fn a_second_agent_of_the_same_name_leaves_the_first_ones_socket_alone() {
    let mut first = start(&FLOW, &[]);
    let address = first.address("r1");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args([
            "agent",
            "-n",
            "a1",
            "-f",
            "flume.conf",
            "--state-dir",
            "state",
        ])
        .current_dir(first.dir())
        .stderr(fs::File::create(first.dir().join("second")).unwrap())
        .spawn();
    let mut second = second.unwrap();
    let warned = |dir: &Path| {
        fs::read_to_string(dir.join("second"))
            .unwrap()
            .contains("another agent of this name is running")
    };
    let dir = first.dir().to_path_buf();
    first.wait_for("a warning", |_| warned(&dir).then_some(()));
    second.kill().unwrap();
    second.wait().unwrap();
    send_lines(&address, &["still here"]);
    assert!(component(&first.status().unwrap(), "r1").is_some());
    first.stop().unwrap();
}

#[test]
fn an_agent_runs_without_its_monitoring_if_it_has_to() {
    let taken = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = format!(
        "-Dflume.monitoring.port={}",
        taken.local_addr().unwrap().port()
    );
    let mut agent = start(&FLOW, &["-Dflume.monitoring.type=http", &port]);
    send_lines(&agent.address("r1"), &["one"]);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1);
    drop(taken);
    while !agent.log().contains("monitoring listens at") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (_, log) = agent.stop().unwrap();
    assert!(
        log.contains("[ERROR - ") && log.contains("failed to listen on 0.0.0.0:"),
        "{log}"
    );
    let mut agent = start(&FLOW, &["-Dflume.monitoring.type=jmxtrans"]);
    send_lines(&agent.address("r1"), &["one"]);
    let (_, log) = agent.stop().unwrap();
    assert!(
        log.contains("this build has `http` and `ganglia`, not flume.monitoring.type=jmxtrans"),
        "{log}"
    );
}
