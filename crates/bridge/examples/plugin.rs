//! A plugin of `type = process`, as small as one can be: a source of numbered events, a sink that appends bodies to a
//! file, an interceptor that drops comments and marks the rest, a serializer of lines. Tests run it; it is an example,
//! too.
//!
//! Properties (below `config.`): `count` (source), `file` (sink), `fail` (any: what goes wrong).

#![expect(clippy::print_stderr, reason = "standard error is the plugin's log")]

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Read, Write},
};

use bytes::Bytes;
use flume_bridge::frame::{FrameBuilder, FrameKind, HostFrame, VERSION};
use flume_core::Event;

type Properties = BTreeMap<String, String>;

/// The kind of component in the numbers of the format.
const SERIALIZER: u8 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hello = FrameBuilder::new(0, FrameKind::Hello).number(VERSION as usize);
    send(hello.text("the example plugin"))?;
    let mut kind = 0;
    let mut properties = Properties::new();
    while let Some(mut frame) = receive()? {
        let lane = frame.lane;
        match frame.kind {
            FrameKind::Open => {
                (kind, properties) = open(&mut frame)?;
                let opened = FrameBuilder::new(lane, FrameKind::Opened);
                send(opened.number(0).number(1).text("file"))?;
            }
            FrameKind::Start => {
                send(FrameBuilder::new(lane, FrameKind::Ok))?;
                if properties.contains_key("count") {
                    put(lane, &properties)?;
                }
            }
            FrameKind::Done => {
                frame.number()?;
                eprintln!("INFO|plugin: the agent answered `{}`", frame.text()?);
            }
            FrameKind::Events if kind == SERIALIZER => serialize(lane, &frame.events()?)?,
            FrameKind::Events if properties.contains_key("file") => {
                deliver(lane, &frame.events()?, &properties)?;
            }
            FrameKind::Events => intercept(lane, &frame.events()?)?,
            FrameKind::Tick => result(lane, 0, "")?,
            FrameKind::Stop if kind == SERIALIZER => {
                let last = FrameBuilder::new(lane, FrameKind::Serialized);
                send(last.bytes(b"end\n").number(0).bytes(b""))?;
                return Ok(());
            }
            FrameKind::Stop => {
                send(FrameBuilder::new(lane, FrameKind::Ok))?;
                return Ok(());
            }
            other => return Err(format!("{other:?} is nothing for a plugin").into()),
        }
    }
    Ok(())
}

/// The kind and the properties of the frame that makes the component; its name and class do not matter here.
fn open(frame: &mut HostFrame) -> Result<(u8, Properties), Box<dyn std::error::Error>> {
    let kind = frame.byte()?;
    frame.text()?;
    frame.text()?;
    let pairs = frame.pairs()?.into_iter();
    let properties = pairs.map(|(key, value)| (key.to_string(), value.to_string()));
    Ok((kind, properties.collect()))
}

fn put(lane: u32, properties: &Properties) -> io::Result<()> {
    let count: usize = properties["count"].parse().unwrap_or(0);
    let events: Vec<Event> = (0..count)
        .map(|number| Event::from(number.to_string()))
        .collect();
    send(
        FrameBuilder::new(lane, FrameKind::Put)
            .number(1)
            .events(&events),
    )
}

fn deliver(lane: u32, batch: &[Event], properties: &Properties) -> io::Result<()> {
    let fail = properties.get("fail").map_or("", String::as_str);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&properties["file"])?;
    let mut committed = 0;
    for event in batch {
        if fail == "die at x" && event.body == "x" {
            std::process::exit(9);
        }
        if fail == "refuse x" && event.body == "x" {
            return result(lane, committed, "x is refused");
        }
        file.write_all(&event.body)?;
        file.write_all(b"\n")?;
        committed += 1;
    }
    result(lane, committed, "")
}

fn result(lane: u32, committed: usize, error: &str) -> io::Result<()> {
    let result = FrameBuilder::new(lane, FrameKind::Result);
    send(result.number(committed).byte(0).text(error))
}

fn intercept(lane: u32, batch: &[Event]) -> io::Result<()> {
    let kept: Vec<_> = (0..batch.len())
        .filter(|at| !batch[*at].body.starts_with(b"#"))
        .collect();
    let mut answer = FrameBuilder::new(lane, FrameKind::Intercepted).number(kept.len());
    for origin in kept {
        let marked = [("marked", "yes")].into_iter();
        answer = answer.number(origin).byte(1).pairs(1, marked);
    }
    send(answer)
}

/// Lines between braces, one pair for each batch. `~` is kept until the next event comes, `!` cannot be written, and `x`
/// is the end.
fn serialize(lane: u32, batch: &[Event]) -> io::Result<()> {
    let answer = FrameBuilder::new(lane, FrameKind::Serialized).bytes(b"{\n");
    let mut answer = answer.number(batch.len());
    let mut kept: &[u8] = b"";
    for event in batch {
        let before = std::mem::take(&mut kept);
        answer = match &event.body[..] {
            b"x" => std::process::exit(9),
            b"!" => answer.text("! is refused").bytes(before),
            b"~" => {
                kept = b"~\n";
                answer.text("").bytes(before)
            }
            body => answer.text("").bytes(&[before, body, b"\n"].concat()),
        };
    }
    send(answer.bytes(&[kept, b"}\n"].concat()))
}

fn send(frame: FrameBuilder) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&frame.finish())?;
    stdout.flush()
}

/// The next frame; `None` when the agent is gone.
fn receive() -> Result<Option<HostFrame>, Box<dyn std::error::Error>> {
    let mut field = [0; 4];
    if io::stdin().read_exact(&mut field).is_err() {
        return Ok(None);
    }
    let mut bytes = vec![0; HostFrame::length(field)?];
    io::stdin().read_exact(&mut bytes)?;
    Ok(Some(HostFrame::decode(Bytes::from(bytes))?))
}
