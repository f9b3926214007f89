//! `flume-ng tap`: events of a running agent as they pass, and single ones followed.

use std::{fmt::Write as _, io::Write as _};

use anyhow::{Context as _, anyhow};
use flume_monitor::{TapEvent, TapLine, TapRequest, TapStream};
use serde_json::json;

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    status::directory,
};

const EVENTS_PER_SECOND: u64 = 100;
/// Events marked in a second, unless asked otherwise: each is shown at several places.
const TRACES_PER_SECOND: u64 = 1;
const SHOWN_BYTES: usize = 1024;
const HEX_BYTES_PER_LINE: usize = 16;

/// How events are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EventFormat {
    Text,
    Hex,
    Json,
}

/// Runs the command until the agent ends the tap, or the user does.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let format = match args.get("format") {
        None | Some("text") => EventFormat::Text,
        Some("hex") => EventFormat::Hex,
        Some("json") => EventFormat::Json,
        Some(other) => {
            let text = format!("--format takes text, hex or json, not `{other}`");
            return Err(Failure::Usage(text));
        }
    };
    let request = request(args)?;
    let directory = directory(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stream = TapStream::open(&directory, request)
            .await
            .with_context(|| format!("no agent answers in {}", directory.display()))?;
        while let Some(line) = stream.next().await.context("the agent's answer broke off")? {
            match line {
                TapLine::Tapping(names) => {
                    eprintln!("flume-ng: tapping {}; Ctrl-C ends it", names.join(", "));
                }
                TapLine::Event(event) => {
                    if print_event(&event, format)?.0 != ExitCode::SUCCESS.0 {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                TapLine::Counted { seen, skipped } => {
                    eprintln!("flume-ng: {skipped} of {seen} events so far were not looked at or not shown (--rate, --where)");
                }
                TapLine::Ended(why) => {
                    eprintln!("flume-ng: the tap has ended: {why}");
                    return Ok(ExitCode::SUCCESS);
                }
                TapLine::Failed(why) => return Err(Failure::Usage(why)),
            }
        }
        Err(anyhow!("the agent has ended").into())
    })
}

fn request(args: &Args) -> Result<TapRequest, Failure> {
    let trace = args.has("trace");
    let component = match &args.rest[..] {
        [] if trace => None,
        [one] => Some(one.clone()),
        _ => {
            let text = "tap takes one component: flume-ng tap COMPONENT; with --trace alone it follows what is marked elsewhere";
            return Err(Failure::Usage(text.into()));
        }
    };
    let header = |text: &String| {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let pair = pair.map(|(name, value)| (name.to_string(), value.to_string()));
        pair.ok_or_else(|| Failure::Usage(format!("--where takes HEADER=VALUE, not `{text}`")))
    };
    let per_second = if trace {
        TRACES_PER_SECOND
    } else {
        EVENTS_PER_SECOND
    };
    Ok(TapRequest {
        component,
        passages: args.all("at").to_vec(),
        headers: args
            .all("where")
            .iter()
            .map(header)
            .collect::<Result<_, _>>()?,
        per_second: number(args, "rate", "/s")?.unwrap_or(per_second),
        limit: number(args, "limit", "")?,
        max_bytes: number(args, "bytes", "")?.map_or(SHOWN_BYTES, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX)
        }),
        trace,
    })
}

fn number(args: &Args, option: &str, unit: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = args.get(option) else {
        return Ok(None);
    };
    let digits = text.strip_suffix(unit).unwrap_or(text);
    let number = digits.parse();
    number
        .map(Some)
        .map_err(|_| Failure::Usage(format!("--{option} takes a number, not `{text}`")))
}

/// Flushed, because somebody watches. The code is a failure when the reader of standard output has gone.
fn print_event(event: &TapEvent, format: EventFormat) -> Result<ExitCode, Failure> {
    print(&match format {
        EventFormat::Text => text(event),
        EventFormat::Hex => hex(event),
        EventFormat::Json => json(event),
    })?;
    if std::io::stdout().flush().is_err() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Time, component and passage, headers.
fn head(event: &TapEvent) -> String {
    let TapEvent {
        component,
        passage,
        at,
        headers,
        header_count,
        ..
    } = event;
    let shown = headers.iter();
    let mut shown: Vec<_> = shown
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    if headers.len() < *header_count {
        shown.push(format!("... of {header_count} headers"));
    }
    format!("{at:.3} {component} {passage} {{{}}}", shown.join(", "))
}

fn missing(event: &TapEvent) -> String {
    if !event.cut {
        return String::new();
    }
    format!(" ... of {} bytes", event.body_bytes)
}

fn text(event: &TapEvent) -> String {
    let body = event.body();
    let shown = escaped(&String::from_utf8_lossy(&body));
    format!("{} {shown}{}\n", head(event), missing(event))
}

fn hex(event: &TapEvent) -> String {
    let body = event.body();
    let mut text = format!("{}{}\n", head(event), missing(event));
    for (line, bytes) in body.chunks(HEX_BYTES_PER_LINE).enumerate() {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = bytes.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let _ = writeln!(
            text,
            "  {:08x}  {:47}  |{}|",
            line * HEX_BYTES_PER_LINE,
            digits.join(" "),
            shown.collect::<String>()
        );
    }
    text
}

/// A body that is no text is in Base64.
fn json(event: &TapEvent) -> String {
    let mut shown = json!({
        "component": event.component,
        "passage": event.passage,
        "at": event.at.to_string(),
        "headers": event.headers,
        "headerCount": event.header_count,
        "bodyBytes": event.body_bytes,
        "cut": event.cut,
    });
    match String::from_utf8(event.body()) {
        Ok(text) => shown["body"] = text.into(),
        Err(_) => shown["bodyBase64"] = event.body.clone().into(),
    }
    shown.to_string() + "\n"
}

/// What a terminal would obey is written as an escape.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => shown += "\\\\",
            '\n' => shown += "\\n",
            '\r' => shown += "\\r",
            '\t' => shown += "\\t",
            // Also those that change the direction of what follows.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: &[u8]) -> TapEvent {
        // Base64 of the wire, made by the reader of JSON that the program has.
        let encoded = body.chunks(3).map(|chunk| {
            const DIGITS: &[u8] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let bits = chunk
                .iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            let digit = |place: usize| char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]);
            (0..4)
                .map(|place| {
                    if place > chunk.len() {
                        '='
                    } else {
                        digit(place)
                    }
                })
                .collect::<String>()
        });
        TapEvent {
            component: "a1.channels.c1".into(),
            passage: "put".into(),
            at: "2026-11-30T01:02:03.456Z".parse().unwrap(),
            headers: [("k\x1b".to_string(), "v\n".to_string())].into(),
            body: encoded.collect(),
            header_count: 1,
            body_bytes: body.len(),
            cut: false,
        }
    }

    #[test]
    fn a_terminal_obeys_nothing_of_an_event() {
        let shown = text(&event("a\x1b[31m\\ \u{202e}é\u{9b}".as_bytes()));
        let expected = "2026-11-30T01:02:03.456Z a1.channels.c1 put {k\\u{1b}=v\\n} a\\u{1b}[31m\\\\ \\u{202e}é\\u{9b}\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn bytes_are_shown_as_they_are() {
        let shown = hex(&event(b"0123456789abcdef\x00\xff"));
        assert!(shown.contains("\n  00000000  30 31"), "{shown}");
        assert!(
            shown.contains("|0123456789abcdef|\n  00000010  00 ff"),
            "{shown}"
        );
        assert!(json(&event(b"\xff\xfe")).contains(r#""bodyBase64":"//4=""#));
        assert!(json(&event(b"hi")).contains(r#""body":"hi""#));
    }

    #[test]
    fn a_cut_is_told() {
        let mut cut = event(b"abc");
        cut.body_bytes = 70;
        cut.cut = true;
        cut.header_count = 300;
        let shown = text(&cut);
        assert!(
            shown.ends_with("... of 300 headers} abc ... of 70 bytes\n"),
            "{shown}"
        );
    }
}
