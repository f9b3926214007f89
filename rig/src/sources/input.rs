//! What the senders of a lane do, and what they are answered.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::agents::Running;

/// For a source that has no port to wait for.
const START_TIME: Duration = Duration::from_secs(1);
/// Between datagrams: a receive buffer is small.
const DATAGRAM_PAUSE: Duration = Duration::from_millis(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const LINES: &[&str] = &[
    "plain",
    "",
    "level=WARN code=17 2024-02-29 12:30:45 tail",
    "level=INFO code=x",
    "caf\u{e9} \u{1f600}",
    "tab\tand  spaces ",
    "drop me",
    "carriage\r",
];

const SYSLOG: &[&str] = &[
    "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - BOM'su root' failed",
    "<165>1 2003-08-24T05:14:15-07:00 192.0.2.1 myproc 8710 - - %% It's time",
    "<13>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick",
    "<0>1 - - nothing",
    "no priority at all",
    "<999>1 2003-10-11T22:14:15Z host text",
    "<13>",
];

pub(super) fn nothing(_: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn wait_only(_: &mut Running) -> Result<Vec<String>> {
    Ok(vec![])
}

/// Files that are there before the agent starts, oldest first.
pub(super) fn spooled_files(dir: &Path) -> std::io::Result<()> {
    fs::create_dir(dir.join("spool"))?;
    for (place, end) in ["\n", "\r\n", ""].into_iter().enumerate() {
        let text = LINES.join("\n") + end;
        fs::write(dir.join(format!("spool/{place}.log")), text)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    // An empty file is left out: Flume makes an event of it, and this program does not.
    Ok(())
}

pub(super) fn tailed_file(dir: &Path) -> std::io::Result<()> {
    fs::create_dir(dir.join("logs"))?;
    fs::write(dir.join("logs/a.log"), LINES.join("\n") + "\n")
}

/// Appends to the file, moves it to a name that nobody looks for, and goes on in a new one.
pub(super) fn rotate(agent: &mut Running) -> Result<Vec<String>> {
    let logs = agent.dir().join("logs");
    let first = LINES.len() as u64;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", first)?;
    let mut file = fs::File::options().append(true).open(logs.join("a.log"))?;
    file.write_all(b"appended\nin two ")?;
    std::thread::sleep(Duration::from_millis(300));
    file.write_all(b"pieces\n")?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", first + 2)?;
    fs::rename(logs.join("a.log"), logs.join("a.log.1"))?;
    fs::write(logs.join("a.log"), "in the new file\n")?;
    Ok(vec![])
}

pub(super) fn netcat(agent: &mut Running) -> Result<Vec<String>> {
    agent.wait_for_port()?;
    let mut stream = TcpStream::connect(("127.0.0.1", agent.port))?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut answers = vec![];
    for line in LINES {
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer)?;
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }
    Ok(answers)
}

pub(super) fn syslog_tcp(agent: &mut Running) -> Result<Vec<String>> {
    send_syslog(agent, SYSLOG.iter())
}

/// Without a date that has no year, which the two read differently, and without one whose time is that of its arrival.
pub(super) fn syslog_tcp_dated(agent: &mut Running) -> Result<Vec<String>> {
    let is_dated =
        |message: &&&str| !message.starts_with("<13>Oct") && !message.contains("nothing");
    send_syslog(agent, SYSLOG.iter().filter(is_dated))
}

fn send_syslog<'m>(
    agent: &mut Running,
    messages: impl Iterator<Item = &'m &'m str>,
) -> Result<Vec<String>> {
    agent.wait_for_port()?;
    // A connection for each message: Java keeps parts of one message for the next of the same connection.
    for (place, message) in messages.enumerate() {
        let mut stream = TcpStream::connect(("127.0.0.1", agent.port))?;
        stream.write_all(format!("{message}\n").as_bytes())?;
        agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", place as u64 + 1)?;
    }
    Ok(vec![])
}

pub(super) fn syslog_udp(agent: &mut Running) -> Result<Vec<String>> {
    std::thread::sleep(START_TIME);
    agent.metric("SOURCE.r1", "EventReceivedCount")?;
    std::thread::sleep(START_TIME);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for message in &SYSLOG[..3] {
        socket.send_to(message.as_bytes(), ("127.0.0.1", agent.port))?;
        std::thread::sleep(DATAGRAM_PAUSE);
    }
    Ok(vec![])
}

/// Method, content type, body.
const REQUESTS: &[(&str, &str, &str)] = &[
    (
        "POST",
        "application/json",
        r#"[{"headers":{"a":"b"},"body":"hello"}]"#,
    ),
    (
        "POST",
        "application/json; charset=UTF-8",
        "[{\"headers\":{\"a\":\"b\"},\"body\":\"h\u{e9}\"}]",
    ),
    (
        "POST",
        "application/json;charset=utf-8",
        r#"[{"body":"x"}]"#,
    ),
    ("POST", "APPLICATION/JSON", "[{\"body\":\"upper \u{e9}\"}]"),
    ("POST", "text/json", "[{\"body\":\"text \u{e9}\"}]"),
    (
        "POST",
        "application/x-www-form-urlencoded",
        r#"[{"body":"form"}]"#,
    ),
    ("POST", "", r#"[{"body":"no type"}]"#),
    (
        "POST",
        "application/json; charset=iso-8859-1",
        r#"[{"body":"x"}]"#,
    ),
    (
        "POST",
        "application/json; charset=nonsense",
        r#"[{"body":"x"}]"#,
    ),
    ("POST", "application/json", "[]"),
    ("POST", "application/json", ""),
    ("POST", "application/json", " \n "),
    ("POST", "application/json", "null"),
    ("POST", "application/json", "{}"),
    ("POST", "application/json", "[{]"),
    ("POST", "application/json", "[{}] x"),
    ("POST", "application/json", "[{}] // c"),
    ("POST", "application/json", r#"[{"body":"x"},]"#),
    ("POST", "application/json", "[,]"),
    ("POST", "application/json", "[null]"),
    (
        "POST",
        "application/json",
        r#"[{"body":12.50,"headers":{"n":1,"b":TRUE}}]"#,
    ),
    ("POST", "application/json", r#"[{"body":-0}]"#),
    ("POST", "application/json", r#"[{"body":{}}]"#),
    ("POST", "application/json", r#"[{"headers":{"a":{}}}]"#),
    (
        "POST",
        "application/json",
        r#"[{"headers":[["k","v"]],"body":"pairs"}]"#,
    ),
    (
        "POST",
        "application/json",
        r#"[{"headers":{"a":"1","a":"2"}}]"#,
    ),
    (
        "POST",
        "application/json",
        r#"[{"x":[1,{"y":"}"}],"body":"unknown members"}]"#,
    ),
    (
        "POST",
        "application/json",
        "[{'headers':{a:b},'body':'single'}]",
    ),
    (
        "POST",
        "application/json",
        "[{body=>b;headers={}} /* c */ # d\n ; // e\n {body:c}]",
    ),
    ("POST", "application/json", r#"[{"body":"\uzzzz"}]"#),
    ("POST", "application/json", r#"[{"body":"\u12"}]"#),
    ("POST", "application/json", r#"[{"body":"\x"}]"#),
    (
        "POST",
        "application/json",
        r#"[{"body":"\ud83d\ude00 \ud83d \/ \""}]"#,
    ),
    (
        "POST",
        "application/json",
        r#"[{"body":"twice","body":"last"}]"#,
    ),
    ("POST", "application/json", ")]}'\n[{\"body\":\"prefix\"}]"),
    ("POST", "application/json", "\u{feff}[{\"body\":\"mark\"}]"),
    ("POST", "application/json", r#"["text"]"#),
    ("GET", "application/json", r#"[{"body":"get"}]"#),
    ("PUT", "application/json", r#"[{"body":"put"}]"#),
    ("DELETE", "application/json", ""),
    ("OPTIONS", "", ""),
    ("TRACE", "", ""),
    ("PATCH", "application/json", r#"[{"body":"patch"}]"#),
    ("HEAD", "", ""),
    // The last event: all others are there when it is.
    (
        "POST",
        "application/json",
        r#"[{"body":"one"},{"headers":{"h":"2"},"body":"two"}]"#,
    ),
];

/// The status of each answer.
pub(super) fn http(agent: &mut Running) -> Result<Vec<String>> {
    agent.wait_for_port()?;
    let requests = REQUESTS.iter();
    let status = |(method, kind, body): &(&str, &str, &str)| {
        let status = request(agent.port, method, kind, body)?;
        Ok(format!("{method} {kind} {body} -> {status}"))
    };
    requests.map(status).collect()
}

fn request(port: u16, method: &str, kind: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let kind = match kind {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    let length = body.len();
    let head = format!("{method} /any HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{kind}");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).context("no answer")?;
    Ok(status.into())
}
