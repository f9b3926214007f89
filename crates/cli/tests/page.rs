//! The monitoring port of a real agent: its page, its live stream, and what clients of it may do.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use flume_testkit::agent::{Agent, flow};
use serde_json::Value;

/// netcat → memory → a sink that nobody listens to.
fn stuck() -> String {
    let sink = "type = avro\nhostname = localhost\nport = 1\ntrust-password = hunter2";
    flow(
        "type = memory\ncapacity = 10\ntransactionCapacity = 10",
        sink,
    ) + "a1.sources.r1.interceptors = i1\n\
           a1.sources.r1.interceptors.i1.type = static\n\
           a1.sources.r1.interceptors.i1.value = <b>bold</b>\n"
}

struct Port {
    agent: Agent,
    port: u16,
}

impl Port {
    fn start(more: &[&str]) -> Port {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let number = format!("-Dflume.monitoring.port={port}");
        let mut arguments = vec![
            "-Dflume.monitoring.type=http",
            "-Dflume.monitoring.host=127.0.0.1",
            &number,
        ];
        arguments.extend(more);
        let program = env!("CARGO_BIN_EXE_flume-ng");
        let mut agent = Agent::start(program, &stuck(), &arguments).unwrap();
        agent.address("r1");
        Port { agent, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Header and body of an answer; the header in lower case.
    fn get(&self, path: &str, more: &str) -> (String, String) {
        let mut stream = self.connect();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_lowercase(), body.to_string())
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path, "");
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        serde_json::from_str(&body).unwrap()
    }
}

#[test]
fn the_page_needs_nobody_else() {
    let port = Port::start(&[]);
    let mut bytes = 0;
    for path in ["/", "/page.css", "/page.js", "/graph.js"] {
        let (head, body) = port.get(path, "");
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        let policy =
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'";
        assert!(head.contains(policy) && head.contains("nosniff"), "{head}");
        assert!(
            !body.contains("innerHTML") && !body.contains("insertAdjacent"),
            "{path}"
        );
        assert!(
            !body.contains(" style=") && !body.contains("onclick="),
            "{path}"
        );
        let foreign = body.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !foreign.contains("src=\"http") && !foreign.contains("url(http"),
            "{path}"
        );
        bytes += body.len();
    }
    assert!(bytes <= 150_000, "the page weighs {bytes} bytes");
    let (head, _) = port.get("/elsewhere", "");
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[test]
fn the_flow_is_shown_without_secrets_and_only_to_pages_that_are_allowed() {
    let port = Port::start(&["-Dflume.monitoring.origins=http://other:41414 http://third:1"]);
    let flow = port.json("/api/flow");
    assert!(!flow.to_string().contains("hunter2"), "{flow}");
    let sink = &flow["flow"]["groups"][0]["sinks"][0];
    assert_eq!(sink["settings"]["trust-password"], "***");
    assert_eq!(sink["channel"], "c1");
    let source = &flow["flow"]["sources"][0];
    assert_eq!(
        source["interceptors"][0]["settings"]["value"],
        "<b>bold</b>"
    );
    assert_eq!(source["selector"]["type"], "replicating");
    for (origin, allowed) in [
        ("http://other:41414", true),
        ("http://third:1", true),
        ("http://other", false),
        ("http://evil", false),
        ("null", false),
    ] {
        let (head, _) = port.get("/api/flow", &format!("Origin: {origin}\r\n"));
        let header = format!("access-control-allow-origin: {origin}\r\n");
        assert_eq!(head.contains(&header), allowed, "{head}");
        assert!(!head.contains("allow-credentials"), "{head}");
    }
    let mut stream = port.connect();
    let post = "POST /api/flow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(post.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let hidden = Port::start(&["-Dflume.monitoring.settings=false"]);
    let flow = hidden.json("/api/flow");
    assert!(!flow.to_string().contains("hostname"), "{flow}");
    let (head, _) = hidden.get("/api/flow", "Origin: http://other:41414\r\n");
    assert!(!head.contains("access-control"), "{head}");
}

#[test]
fn a_request_that_names_another_host_gets_no_page_and_no_data() {
    let port = Port::start(&["-Dflume.monitoring.hostNames=proxy.example.com other"]);
    for (host, path, expected) in [
        ("evil.example", "/api/flow", 421),
        ("evil.example:80", "/api/status", 421),
        ("evil.example", "/api/events", 421),
        ("evil.example", "/", 421),
        ("evil.example", "/metrics", 200),
        ("evil.example", "/healthz", 200),
        ("Proxy.example.com:80", "/api/flow", 200),
        ("other", "/", 200),
        ("[::1]:41414", "/api/flow", 200),
    ] {
        let mut stream = port.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{host} {path}: {answer}"
        );
        assert_eq!(
            answer.contains("flume.monitoring.hostNames"),
            expected == 421
        );
    }
}

#[test]
fn a_full_channel_is_told_with_its_cause_and_remembered() {
    let port = Port::start(&[]);
    let mut agent = port.agent;
    let mut sender = TcpStream::connect(agent.address("r1")).unwrap();
    for number in 0..30 {
        sender
            .write_all(format!("line {number}\n").as_bytes())
            .unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let problem = agent.wait_for("a full channel", |status| {
        let mut problems = status.problems.iter();
        problems
            .find(|problem| problem.what.starts_with("Channel c1 is full"))
            .cloned()
    });
    assert_eq!(problem.component, "sink k1");
    assert!(problem.why.contains("localhost:1"), "{problem:?}");
    let port = Port {
        agent,
        port: port.port,
    };
    let sink = port.json("/api/components/sink/k%31");
    assert_eq!(sink["state"], "failing");
    assert!(!sink["errors"].as_array().unwrap().is_empty(), "{sink}");
    assert_eq!(sink["history"][0]["seconds"], 1);
    let (head, _) = port.get("/api/components/sink/none", "");
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let top = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
            .args(["top", "--once"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let state = port.agent.dir().join("state");
    let over_socket = top(&["--state-dir", state.to_str().unwrap()]);
    let over_port = top(&["--url", &format!("http://127.0.0.1:{}", port.port)]);
    for text in [over_socket, over_port] {
        assert!(text.contains("✖ Channel c1 is full"), "{text}");
        assert!(text.contains("\n    sink k1 "), "{text}");
    }
}

#[test]
fn a_thousand_readers_and_clients_that_do_nothing_hide_nothing() {
    let port = Port::start(&[]);
    let mut readers = vec![];
    let mut refused = 0;
    for number in 0..1000 {
        let mut stream = port.connect();
        let request: &[u8] = match number % 3 {
            // Never reads.
            0 => b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            // Says nothing.
            1 => b"",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        refused += usize::from(stream.write_all(request).is_err());
        readers.push(stream);
        if number % 100 == 99 {
            let begun = Instant::now();
            let (head, body) = port.get("/healthz", "");
            assert!(body == "ok\n", "{number}: {head}");
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{:?}",
                begun.elapsed()
            );
        }
    }
    assert!(refused < 1000);
    let files = fs::read_dir(format!("/proc/{}/fd", port.agent.pid()))
        .unwrap()
        .count();
    assert!(files < 200, "{files} descriptors");
    let long = format!("/{}", "x".repeat(100_000));
    let (head, _) = port.get(&long, "");
    assert!(!head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(port.get("/healthz", "").1, "ok\n");
}

#[test]
fn the_stream_goes_on_and_has_so_many_readers() {
    let port = Port::start(&[]);
    let open = || {
        let mut stream = port.connect();
        stream
            .write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut begin = vec![0; 12];
        stream.read_exact(&mut begin).unwrap();
        (stream, String::from_utf8(begin).unwrap())
    };
    let mut readers: Vec<_> = (0..17).map(|_| open()).collect();
    let (_, last) = readers.pop().unwrap();
    assert_eq!(last, "HTTP/1.1 503");
    let (mut stream, first) = readers.pop().unwrap();
    assert_eq!(first, "HTTP/1.1 200");
    let mut seen = String::new();
    while seen.matches("data: {\"agent\":\"a1\"").count() < 3 {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "the stream ended: {seen}");
        seen += &String::from_utf8_lossy(&part[..count]);
    }
    assert!(
        seen.to_lowercase()
            .contains("content-type: text/event-stream"),
        "{seen}"
    );
    // A reader that leaves makes room.
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(20);
    while open().1 != "HTTP/1.1 200" {
        assert!(Instant::now() < deadline, "a place stays taken");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The rules and the dashboard name no metric that an agent does not have, and each alert has its section.
#[test]
fn the_metrics_of_the_alerts_exist() {
    let port = Port::start(&[]);
    let (_, shown) = port.get("/metrics/prometheus", "");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let rules = read("packaging/monitoring/flume-alerts.yml");
    let board = read("packaging/monitoring/flume-dashboard.json");
    serde_json::from_str::<Value>(&board).unwrap();
    let mut names = BTreeSet::new();
    for text in [&rules, &board] {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("flume_") {
                names.insert(word.to_string());
            }
        }
    }
    // Sinks count dead letters, and sources lost events, from the start.
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(
            shown.contains(&format!("\n{name}{{")),
            "{name} is not in\n{shown}"
        );
    }
    let guide = read("docs/monitoring.md");
    for line in rules.lines() {
        if let Some(alert) = line.trim().strip_prefix("- alert: ") {
            assert!(
                guide.contains(&format!("\n### {alert}\n")),
                "{alert} has no section"
            );
        }
    }
}
