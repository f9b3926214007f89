//! `flume-ng tap` on a running agent: what it shows, what it masks, and that a flow does not mind it.

use std::{
    io::Write,
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use flume_testkit::agent::{Agent, component};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");

const NETCAT: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = netcat\n\
    a1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = 0\na1.sources.r1.channels = c1\n\
    a1.sources.r1.interceptors = i1 i2\na1.sources.r1.interceptors.i1.type = static\n\
    a1.sources.r1.interceptors.i1.key = user\na1.sources.r1.interceptors.i1.value = alice\n\
    a1.sources.r1.interceptors.i2.type = static\na1.sources.r1.interceptors.i2.key = kind\n\
    a1.sources.r1.interceptors.i2.value = web\n\
    a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";

const FULL_RATE: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\n\
    a1.sources.r1.batchSize = 100\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
    a1.channels.c1.capacity = 10000\na1.channels.c1.transactionCapacity = 1000\n\
    a1.sinks.k1.type = null\na1.sinks.k1.batchSize = 100\na1.sinks.k1.channel = c1\n";

fn start(configuration: &str, arguments: &[&str]) -> Agent {
    let mut agent = Agent::start(Path::new(PROGRAM), configuration, arguments).unwrap();
    agent.wait_for("a running source", |status| {
        component(status, "r1")
            .filter(|source| source.state == "running")
            .map(drop)
    });
    agent
}

fn tap(agent: &Agent, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["tap", "-n", "a1", "--state-dir"])
        .arg(agent.dir().join("state"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Sends lines again and again until the taps have ended.
fn shown(agent: &mut Agent, arguments: &[&[&str]], lines: &str) -> Vec<Output> {
    let address = agent.address("r1");
    let taps = arguments
        .iter()
        .map(|arguments| tap(agent, arguments).spawn().unwrap());
    let mut taps: Vec<_> = taps.collect();
    let mut connection = TcpStream::connect(address).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while taps.iter_mut().any(|tap| tap.try_wait().unwrap().is_none()) {
        assert!(Instant::now() < deadline, "a tap does not end");
        connection.write_all(lines.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    taps.into_iter()
        .map(|tap| tap.wait_with_output().unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn events_are_shown_where_they_pass_with_masks() {
    let masks = [
        "-Dflume.tap.mask.headers=user",
        r"-Dflume.tap.mask=\d{12,16}",
        "-Dflume.trace=true",
    ];
    let mut agent = start(NETCAT, &masks);
    let outputs = shown(
        &mut agent,
        &[
            &["r1", "--limit", "1", "--at", "received"],
            &["c1", "--limit", "2", "--where", "kind=web"],
            &["k1", "--limit", "1", "--format", "json", "--bytes", "7"],
            &["r1", "--limit", "5", "--trace"],
        ],
        "card 123456789012 \u{1b}[31m\n",
    );
    let said: Vec<_> = outputs.iter().map(|output| text(&output.stdout)).collect();
    let why: Vec<_> = outputs.iter().map(|output| text(&output.stderr)).collect();
    assert!(
        said[0].contains(" a1.sources.r1 received {")
            && said[0].ends_with("} card *** \\u{1b}[31m\n"),
        "{said:?} {why:?}"
    );
    let lines: Vec<_> = said[1].lines().collect();
    let put = |line: &&str| {
        line.contains(" a1.channels.c1 put {") && line.contains("kind=web, user=***} card ***")
    };
    assert!(lines.len() == 2 && lines.iter().all(put), "{said:?}");
    let event: serde_json::Value = serde_json::from_str(&said[2]).unwrap();
    assert_eq!(event["body"], "card **");
    assert_eq!(
        (&event["passage"], &event["bodyBytes"]),
        (&"delivered".into(), &23.into()),
        "{event}"
    );
    for step in [
        "r1 accepted",
        "c1 put",
        "c1 taken",
        "k1 taken",
        "k1 delivered",
    ] {
        assert!(said[3].contains(step), "{step}: {said:?}");
    }
    let mut ids = said[3]
        .lines()
        .filter_map(|line| line.split("flume.trace=").nth(1)?.split(';').next());
    let id = ids.next().unwrap();
    assert!(id.len() == 16 && ids.all(|other| other == id), "{said:?}");
    assert!(outputs.iter().all(|output| output.status.success()));
}

#[test]
fn a_request_that_cannot_be_is_explained() {
    let agent = start(NETCAT, &[]);
    for (arguments, expected) in [
        (
            &["k9"][..],
            "there is no component `k9`, the agent has: r1, c1, k1",
        ),
        (&["r1", "--trace"], "start it with -Dflume.trace=true"),
        (&["r1", "--rate", "0"], "the rate is 1 to 10000"),
        (&["r1", "--rate", "x/s"], "--rate takes a number, not `x/s`"),
        (&["r1", "--bytes", "99999999"], "at most 65536 bytes"),
        (
            &["r1", "--at", "gone"],
            "there is no passage `gone`, only received,",
        ),
        (&["r1", "--where", "x"], "--where takes HEADER=VALUE"),
        (&[], "tap takes one component"),
    ] {
        let output = tap(&agent, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // A mask that cannot be read stops the agent, not only the tap.
    let (status, log) = Agent::start(Path::new(PROGRAM), NETCAT, &["-Dflume.tap.mask=("])
        .unwrap()
        .ended()
        .unwrap();
    assert!(
        status.code() == Some(2) && log.contains("flume.tap.mask: not a regular expression"),
        "{log}"
    );
}

/// Events that the sink gets in some time.
fn delivered(agent: &Agent, time: Duration) -> u64 {
    let count =
        || component(&agent.status().unwrap(), "k1").unwrap().metrics["EventDrainSuccessCount"];
    let before = count();
    std::thread::sleep(time);
    count() - before
}

#[test]
fn readers_that_read_nothing_do_not_stop_a_flow_and_are_dropped() {
    let agent = start(FULL_RATE, &[]);
    let socket = agent.dir().join("state/a1/control.sock");
    let open = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let request = r#"{"command":"tap","component":"k1","per_second":10000,"max_bytes":65536}"#;
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        stream
    };
    let stuck: Vec<_> = (0..8).map(|_| open()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let refused = tap(&agent, &["k1"]).output().unwrap();
    assert!(
        text(&refused.stderr).contains("8 taps are open already"),
        "{refused:?}"
    );
    assert!(delivered(&agent, Duration::from_secs(1)) > 1000);
    // Their places are free again, although they keep their connections.
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let output = tap(&agent, &["k1", "--limit", "150"]).output().unwrap();
        if output.status.success() {
            assert_eq!(text(&output.stdout).lines().count(), 150);
            let said = text(&output.stderr);
            assert!(
                said.contains("events so far were not looked at or not shown"),
                "{said}"
            );
            break;
        }
        assert!(Instant::now() < deadline, "{output:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    drop(stuck);
}

/// Two agents, one after the other: the trace of an event grows from tier to tier.
#[test]
fn a_trace_goes_through_tiers() {
    let mut second = start(
        &AVRO_TO_NULL.replace("SOURCE_PORT", "0"),
        &["-Dflume.trace=true"],
    );
    let address = second.address("r1");
    let port = address.rsplit(':').next().unwrap();
    let sink = format!(
        "a1.sinks.k1.type = avro\na1.sinks.k1.hostname = 127.0.0.1\na1.sinks.k1.port = {port}\n"
    );
    let mut first = start(
        &NETCAT.replace("a1.sinks.k1.type = null\n", &sink),
        &["-Dflume.trace=true"],
    );
    let follower = tap(&second, &["--trace", "--limit", "5"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let marker = shown(
        &mut first,
        &[&["r1", "--trace", "--limit", "10"]],
        "hello\n",
    );
    let followed = follower.wait_with_output().unwrap();
    let followed = text(&followed.stdout);
    let id = text(&marker[0].stdout);
    let id = id
        .split("flume.trace=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let delivered = followed
        .lines()
        .find(|line| line.contains("k1 delivered") && line.contains(id))
        .unwrap_or_else(|| panic!("{followed}"));
    let trace = delivered.split("flume.trace=").nth(1).unwrap();
    let hops: Vec<_> = trace
        .split([';', ',', '}'])
        .skip(1)
        .take(3)
        .map(|hop| hop.split('@').next().unwrap())
        .collect();
    assert_eq!(
        hops,
        ["a1.sources.r1", "a1.sinks.k1", "a1.sources.r1"],
        "{followed}"
    );
}

const AVRO_TO_NULL: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = avro\n\
    a1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = SOURCE_PORT\na1.sources.r1.channels = c1\n\
    a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";
