//! What clients that behave badly cost an agent: memory, and lines of its log.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{last_lines, parts};
use crate::{
    agents::{Maker, Running},
    report::Report,
};

const IDLE_CONNECTIONS: usize = 10_000;
const MAX_MIB: f64 = 100.0;
/// Clients of each bad kind.
const STRANGERS: usize = 200;
/// A bad client must be sent away within this time.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(20);

/// A handshake, and `append` of an event `x`: serial number, one buffer, its length.
const CALL: &[u8] = b"\0\0\0\x01\0\0\0\x01\0\0\0\x2e\
    \x86\xaa\xda\xe2\xc4\x54\x74\xc0\xfe\x93\xff\xd0\xf2\x35\x0a\x65\0\
    \x86\xaa\xda\xe2\xc4\x54\x74\xc0\xfe\x93\xff\xd0\xf2\x35\x0a\x65\x02\0\0\x0cappend\0\x02x";

/// Bytes with which nobody may begin.
const BAD_BEGINNINGS: &[(&str, &[u8])] = &[
    (
        "a buffer of 2 GiB",
        &[0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff],
    ),
    ("2^31 buffers", &[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
    ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
    ("TLS", &[0x16, 0x03, 0x01, 0x00, 0x7a, 0x02, 0x00, 0x00]),
];

/// Idle connections, then strangers.
pub fn show(report: &mut Report) -> Result<()> {
    let configuration = [
        parts::names(&["k1"]),
        parts::source("avro"),
        parts::settings("a1.sources.r1", "maxConnections = 12000"),
        parts::memory_channel(10_000, 1000),
        parts::NULL_SINK.into(),
    ]
    .concat();
    let mut agent = Running::start(Maker::Ours, &configuration)?;
    agent.wait_for_port()?;
    let before = agent.resident_mib()?;
    let mut idle = vec![];
    for _ in 0..IDLE_CONNECTIONS {
        idle.push(call(agent.port).context("connection of a client that then idles")?);
    }
    let item = format!("rpc-limits.{IDLE_CONNECTIONS}-idle.MiB");
    let mib = agent.resident_mib()?;
    println!("{item}: {before:.1} MiB before, {mib:.1} MiB with them");
    report.at_most(&item, mib, MAX_MIB);
    for (name, bytes) in BAD_BEGINNINGS {
        for _ in 0..STRANGERS {
            is_sent_away(agent.port, bytes).with_context(|| format!("a client with {name}"))?;
        }
    }
    call(agent.port).context("a good client after bad ones")?;
    let log = agent.log();
    let said = log
        .lines()
        .filter(|line| line.contains("was closed"))
        .count();
    let sent = BAD_BEGINNINGS.len() * STRANGERS;
    let item = format!("rpc-limits.{sent}-strangers.log-lines");
    report.row(&item, said, "1 or 2", (1..=2).contains(&said));
    if said > 2 {
        println!("{}", last_lines(&log));
    }
    report.at_most("rpc-limits.after-all.MiB", agent.resident_mib()?, MAX_MIB);
    Ok(())
}

/// Sends an event on a new connection.
fn call(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(FAREWELL_TIMEOUT))?;
    stream.write_all(CALL)?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    ensure!(answer[..4] == CALL[..4], "{answer:?}");
    Ok(stream)
}

fn is_sent_away(port: u16, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(FAREWELL_TIMEOUT))?;
    stream.write_all(bytes)?;
    let mut answer = vec![];
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok(()),
    }
}
