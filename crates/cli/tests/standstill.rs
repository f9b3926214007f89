//! `docs/standstill.md`: every way a component can stand still, produced, with the line that `status` gives.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use flume_monitor::ComponentStatus;
use flume_testkit::agent::{Agent, component, free_port};

/// A row of the table.
#[derive(Debug)]
struct Row {
    what: String,
    kind: String,
    state: String,
    reason: String,
    is_ready: bool,
}

fn rows() -> Vec<Row> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/standstill.md"));
    let text = text.unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| ")?
            .trim_end_matches(" |")
            .split(" | ")
            .collect();
        let [what, kind, state, reason, ready] = cells[..] else {
            panic!("{line}");
        };
        (what != "what happened").then(|| Row {
            what: what.into(),
            kind: kind.into(),
            state: state.into(),
            reason: reason.into(),
            is_ready: ready == "yes",
        })
    });
    rows.collect()
}

impl Row {
    fn fits(&self, found: &ComponentStatus) -> bool {
        let reason = found.reason.as_deref().unwrap_or_default();
        found.kind == self.kind && found.state == self.state && fits(&self.reason, reason)
    }
}

/// Whether the text has all pieces of the pattern, in order, from its first to its last character.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        match rest.split_once(piece).filter(|_| !piece.is_empty()) {
            Some((_, after)) => rest = after,
            None if piece.is_empty() => {}
            None => return false,
        }
        last = Some(piece);
    }
    last == Some("") || rest.is_empty()
}

/// How to produce a row: a flow r1 → c1 → k1 with some more lines, the component to look at, and what to do then.
struct Production {
    what: &'static str,
    component: &'static str,
    source: String,
    channel: &'static str,
    sink: &'static str,
    /// Lines to send to a netcat source.
    lines: usize,
}

const QUIET: &str = "type = exec\ncommand = sleep 600\nbatchSize = 1";
const NETCAT: &str = "type = netcat\nbind = 127.0.0.1\nport = 0\nack-every-event = false";
const ANSWERING: &str = "type = netcat\nbind = 127.0.0.1\nport = 0";
const MEMORY: &str = "type = memory";
const NULL: &str = "type = null";

fn production(what: &'static str, component: &'static str) -> Production {
    Production {
        what,
        component,
        source: QUIET.into(),
        channel: MEMORY,
        sink: NULL,
        lines: 0,
    }
}

/// `taken` is a port that somebody has.
fn productions(taken: u16) -> Vec<Production> {
    let broken =
        "type = file\ncheckpointDir = @DIR@/flume.conf/cp\ndataDirs = @DIR@/flume.conf/data";
    let failing = "type = file_roll\nsink.directory = @DIR@/missing";
    let exec = |command: &str| format!("type = exec\n{command}");
    vec![
        production("nothing comes in", "k1"),
        Production {
            sink: failing,
            source: NETCAT.into(),
            lines: 1,
            ..production("the sink cannot deliver", "k1")
        },
        Production {
            sink: "type = hdfs\nhdfs.path = file://@DIR@/out/%Y",
            source: NETCAT.into(),
            lines: 5,
            ..production("the sink rejects every event", "k1")
        },
        production("another sink of the failover group is active", "k2"),
        Production {
            sink: failing,
            source: ANSWERING.into(),
            channel: "type = memory\ncapacity = 2\ntransactionCapacity = 2\nkeep-alive = 1",
            lines: 9,
            ..production("the channel is full", "r1")
        },
        Production {
            sink: failing,
            source: NETCAT.into(),
            channel: "type = memory\ncapacity = 2\ntransactionCapacity = 2\nkeep-alive = 1",
            lines: 9,
            ..production("the channel is full, and the sender gets no answer", "r1")
        },
        Production {
            channel: broken,
            ..production("the channel does not open", "c1")
        },
        Production {
            channel: broken,
            ..production("the source waits for its channel", "r1")
        },
        Production {
            channel: broken,
            ..production("the sink waits for its channel", "k1")
        },
        Production {
            source: format!("type = netcat\nbind = 127.0.0.1\nport = {taken}"),
            ..production("the port is taken", "r1")
        },
        Production {
            source: exec("command = /no/such/program"),
            ..production("the command cannot be started", "r1")
        },
        Production {
            source: exec("command = /bin/false"),
            ..production("the command failed", "r1")
        },
        Production {
            source: exec("shell = /bin/sh -c\ncommand = kill -9 $$"),
            ..production("the command was killed", "r1")
        },
        Production {
            source: exec("command = /bin/true"),
            ..production("the command is done", "r1")
        },
        Production {
            source: exec("command = /bin/true\nrestart = true\nrestartThrottle = 600000"),
            ..production("the command is to be started again", "r1")
        },
        Production {
            source: "type = spooldir\nspoolDir = @DIR@/missing".into(),
            ..production("the directory is missing", "r1")
        },
        Production {
            source: exec("command ="),
            ..production("the configuration of a source is wrong", "r1")
        },
        Production {
            sink: "type = file_roll",
            ..production("the configuration of a sink is wrong", "k1")
        },
    ]
}

impl Production {
    fn configuration(&self) -> String {
        // A second sink would compete for the events.
        let with_second = self.component == "k2" || self.what.contains("sink is wrong");
        let sinks = if with_second { "k1 k2" } else { "k1" };
        let mut lines = vec![format!("sources = r1 r2\nchannels = c1\nsinks = {sinks}")];
        let mut add = |name: &str, text: &str| {
            lines.extend(text.lines().map(|line| format!("{name}.{line}")));
        };
        add("sources.r1", &self.source);
        // Something runs in any case.
        add("sources.r2", QUIET);
        add("channels.c1", self.channel);
        add("sinks.k1", self.sink);
        if with_second {
            add("sinks.k2", &format!("{NULL}\nchannel = c1"));
        }
        if self.component == "k2" {
            add("sinkgroups", "g.sinks = k1 k2\ng.processor.type = failover");
            add("sinkgroups.g.processor.priority", "k1 = 9\nk2 = 1");
        }
        for part in [
            "sources.r1.channels",
            "sources.r2.channels",
            "sinks.k1.channel",
        ] {
            lines.push(format!("{part} = c1"));
        }
        let group = if self.component == "k2" {
            "sinkgroups = g\n"
        } else {
            ""
        };
        let text = format!("{group}{}", lines.join("\n"));
        text.lines().map(|line| format!("a1.{line}\n")).collect()
    }

    fn run(&self, row: &Row) {
        let monitoring = free_port();
        let mut agent = Agent::start(
            Path::new(env!("CARGO_BIN_EXE_flume-ng")),
            &self.configuration(),
            &[
                "--lenient",
                "--drain-timeout",
                "0",
                "-Dflume.monitoring.type=http",
                &format!("-Dflume.monitoring.port={monitoring}"),
            ],
        )
        .unwrap();
        let _client = (self.lines > 0).then(|| {
            let mut client = TcpStream::connect(agent.address("r1")).unwrap();
            client
                .write_all("line\n".repeat(self.lines).as_bytes())
                .unwrap();
            client
        });
        agent.wait_for(&format!("{row:?}"), |status| {
            row.fits(component(status, self.component)?).then_some(())
        });
        let expected = if row.is_ready { "200" } else { "503" };
        let expected = format!("HTTP/1.1 {expected}");
        // The other components may still be on their way.
        agent.wait_for(&format!("{expected} for {row:?}"), |_| {
            readiness(monitoring).starts_with(&expected).then_some(())
        });
        agent.stop().unwrap();
    }
}

fn readiness(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn every_way_to_stand_still_is_shown_as_documented() {
    let rows = rows();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let productions = productions(taken.local_addr().unwrap().port());
    let documented: BTreeSet<_> = rows.iter().map(|row| row.what.as_str()).collect();
    let produced: BTreeSet<_> = productions
        .iter()
        .map(|production| production.what)
        .collect();
    assert_eq!(documented, produced);
    for row in &rows {
        let production = productions
            .iter()
            .find(|production| production.what == row.what);
        production.unwrap().run(row);
    }
}

#[test]
fn patterns_fit_what_they_say() {
    assert!(fits("channel … has no room", "channel c1 has no room"));
    assert!(fits("failed to …", "failed to write: x"));
    assert!(!fits("channel … has no room", "channel c1 is not open yet"));
    assert!(!fits(
        "nothing to deliver",
        "nothing to deliver but 3 rejected events"
    ));
}
