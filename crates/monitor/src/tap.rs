//! Events as they pass, over the control socket: the agent's side of `flume-ng tap`, and the reader of its answer.
//!
//! The answer is a line of JSON for each event. What must not be seen is masked here, before it leaves the agent.

mod masks;

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flume_core::{
    Passage,
    tap::{TRACE_HEADER, TRACE_PROPERTY, Tap, TapGuard, TapPoint, TapWish},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{MissedTickBehavior, interval, timeout},
};

pub use masks::TapMasks;

use crate::{
    board::{Board, MAX_TAPS, MonitoredKind},
    control::{ControlRequest, connect},
};

/// A reader that takes nothing for so long has gone.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a tap may show events again, counts what it did not show, and looks for components that were restarted.
const TICK: Duration = Duration::from_secs(1);
/// Most events a second that may be asked for.
const MAX_PER_SECOND: u64 = 10_000;
/// Most bytes of a body or header that may be asked for.
const MAX_BYTES: usize = 64 << 10;
/// Bytes behind the shown part that are looked at, too, so that a cut does not hide a secret from its mask.
const MASK_MARGIN: usize = 4 << 10;
/// One event followed through an agent passes so many points, at most, that count.
const POINTS_OF_A_TRACE: u64 = 50;
/// Headers that may be asked for.
const MAX_FILTERS: usize = 16;

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapRequest {
    /// The short or full name of a source, channel or sink; none: every component, for events with a trace.
    pub component: Option<String>,
    /// Names of passages, as [`Passage::name`]; none: where the events of the component have passed for good.
    #[serde(default)]
    pub passages: Vec<String>,
    /// Headers that an event must have, with their values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Most events in a second.
    pub per_second: u64,
    /// Events after which the tap ends.
    pub limit: Option<u64>,
    /// Bytes of each body and header that are shown.
    pub max_bytes: usize,
    /// Whether events are marked at the source, and followed through the agent.
    #[serde(default)]
    pub trace: bool,
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TapLine {
    /// It begins: the full names of the components.
    Tapping(Vec<String>),
    /// An event.
    Event(TapEvent),
    /// So many events passed so far, and so many of them were skipped.
    Counted {
        /// All.
        seen: u64,
        /// Those that were not looked at, or not shown because of a limit.
        skipped: u64,
    },
    /// It ends by itself: why.
    Ended(String),
    /// It does not begin: why.
    Failed(String),
}

/// An event that passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapEvent {
    /// The component's full name.
    pub component: String,
    /// Where it was there.
    pub passage: String,
    /// When.
    pub at: Timestamp,
    /// Its first headers, masked and cut.
    pub headers: BTreeMap<String, String>,
    /// How many headers it has.
    #[serde(default)]
    pub header_count: usize,
    /// The beginning of its body in Base64, masked.
    pub body: String,
    /// How long the body is.
    pub body_bytes: usize,
    /// Whether more of the body is there than is shown.
    pub cut: bool,
}

impl TapEvent {
    /// The beginning of its body.
    pub fn body(&self) -> Vec<u8> {
        BASE64.decode(&self.body).unwrap_or_default()
    }
}

/// A request that was found to be right.
struct Wanted {
    wish: TapWish,
    component: Option<String>,
    limit: u64,
    max_bytes: usize,
}

impl Wanted {
    fn of(request: &TapRequest, board: &Board) -> Result<Wanted, String> {
        let TapRequest {
            per_second,
            max_bytes,
            ..
        } = *request;
        if !(1..=MAX_PER_SECOND).contains(&per_second) {
            return Err(format!(
                "the rate is 1 to {MAX_PER_SECOND} events a second, not {per_second}"
            ));
        }
        if max_bytes > MAX_BYTES {
            return Err(format!(
                "at most {MAX_BYTES} bytes of a body are shown, not {max_bytes}"
            ));
        }
        if request.headers.len() > MAX_FILTERS {
            return Err(format!("at most {MAX_FILTERS} headers can be asked for"));
        }
        if request.trace && !board.agent().writes_traces() {
            return Err(format!(
                "a trace changes a header of events, so the agent has to allow it: start it with -D{TRACE_PROPERTY}=true"
            ));
        }
        let component = request.component.clone();
        if component.is_none() && !request.trace {
            return Err("which component?".into());
        }
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), Some(value.clone())));
        let mut headers: Vec<_> = headers.collect();
        if request.trace {
            headers.push((TRACE_HEADER.into(), None));
        }
        let mut wish = TapWish {
            passages: passages(request, board)?,
            headers,
            per_second,
            max_bytes: max_bytes + MASK_MARGIN,
            marks_per_second: 0,
        };
        if request.trace {
            wish.per_second = (per_second * POINTS_OF_A_TRACE).min(MAX_PER_SECOND);
            wish.marks_per_second = if component.is_some() { per_second } else { 0 };
        }
        let limit = request.limit.unwrap_or(u64::MAX);
        Ok(Wanted {
            wish,
            component,
            limit,
            max_bytes,
        })
    }

    /// Where to look now. The first is the component that was named.
    fn points(&self, board: &Board) -> Result<Vec<(String, TapPoint)>, String> {
        let entries = board.entries();
        let agent = &board.agent().name;
        let full = |kind: MonitoredKind, name: &str| format!("{agent}.{}s.{name}", kind.name());
        let all = entries
            .iter()
            .map(|entry| (entry.kind, full(entry.kind, &entry.name), entry));
        let all: Vec<_> = all.collect();
        let Some(wanted) = &self.component else {
            return Ok(all
                .iter()
                .map(|(_, name, entry)| (name.clone(), entry.taps.clone()))
                .collect());
        };
        let meant: Vec<_> = all
            .iter()
            .filter(|(_, name, entry)| entry.name == *wanted || name == wanted)
            .collect();
        let (kind, name, entry) = match meant[..] {
            [one] => one,
            [] => {
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                return Err(format!(
                    "there is no component `{wanted}`, the agent has: {}",
                    names.join(", ")
                ));
            }
            _ => {
                let names: Vec<_> = meant.iter().map(|(_, name, _)| name.as_str()).collect();
                return Err(format!("`{wanted}` may mean {}", names.join(", ")));
            }
        };
        let mut points = vec![(name.clone(), entry.taps.clone())];
        if self.wish.marks_per_second > 0 {
            if *kind != MonitoredKind::Source {
                return Err(format!(
                    "a trace begins at a source, and `{wanted}` is a {}",
                    kind.name()
                ));
            }
            let others = all
                .iter()
                .filter(|(kind, ..)| *kind != MonitoredKind::Source);
            points.extend(others.map(|(_, name, entry)| (name.clone(), entry.taps.clone())));
        }
        Ok(points)
    }
}

fn passages(request: &TapRequest, board: &Board) -> Result<Vec<Passage>, String> {
    if !request.passages.is_empty() {
        let named = request.passages.iter().map(|name| {
            let passage = Passage::ALL
                .into_iter()
                .find(|passage| passage.name() == name);
            passage.ok_or_else(|| {
                let names: Vec<_> = Passage::ALL.iter().map(|passage| passage.name()).collect();
                format!("there is no passage `{name}`, only {}", names.join(", "))
            })
        });
        return named.collect();
    }
    if request.trace {
        return Ok(vec![
            Passage::Accepted,
            Passage::Put,
            Passage::Taken,
            Passage::Delivered,
        ]);
    }
    let wanted = request.component.as_deref().unwrap_or_default();
    let entries = board.entries();
    let entry = entries.iter().find(|entry| {
        entry.name == wanted || wanted.ends_with(&format!(".{}s.{}", entry.kind.name(), entry.name))
    });
    Ok(vec![match entry.map(|entry| entry.kind) {
        Some(MonitoredKind::Source) => Passage::Accepted,
        Some(MonitoredKind::Channel) => Passage::Put,
        Some(MonitoredKind::Sink) | None => Passage::Delivered,
    }])
}

/// Answers a request until its reader leaves or takes nothing any more, or the tap has shown what was asked for.
pub(crate) async fn serve(
    read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    board: &Board,
    request: &TapRequest,
) -> io::Result<()> {
    let Some(_place) = board.place_for_tap() else {
        let text = format!("{MAX_TAPS} taps are open already, which is as many as there may be");
        return send(&mut write, &TapLine::Failed(text)).await;
    };
    let begun = TapMasks::of(board.agent()).and_then(|masks| {
        let wanted = Wanted::of(request, board)?;
        let points = wanted.points(board)?;
        Ok((masks, wanted, points))
    });
    match begun {
        Err(why) => send(&mut write, &TapLine::Failed(why)).await,
        Ok((masks, wanted, points)) => {
            let names: Vec<_> = points.iter().map(|(name, _)| name.clone()).collect();
            tracing::info!("a tap shows events of {}", names.join(", "));
            send(&mut write, &TapLine::Tapping(names)).await?;
            let outcome = show(read, &mut write, board, &wanted, &masks, points).await;
            tracing::info!("the tap has ended");
            match outcome? {
                Some(why) => send(&mut write, &TapLine::Ended(why)).await,
                None => Ok(()),
            }
        }
    }
}

/// Why it ended, unless the reader has left.
async fn show(
    mut read: OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    board: &Board,
    wanted: &Wanted,
    masks: &TapMasks,
    points: Vec<(String, TapPoint)>,
) -> io::Result<Option<String>> {
    let (tap, mut events) = Tap::new(wanted.wish.clone());
    let attach = |points: Vec<(String, TapPoint)>| -> Vec<TapGuard> {
        let points = points.into_iter();
        points.map(|(_, point)| point.add(tap.clone())).collect()
    };
    let mut attached = attach(points);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = (0, 0);
    let mut shown = 0;
    let mut nothing = [0; 1];
    while shown < wanted.limit {
        tokio::select! {
            // Whoever taps says nothing more. What comes is the end of the connection, or no reader of ours.
            _ = read.read(&mut nothing) => return Ok(None),
            Some(event) = events.recv() => {
                shown += 1;
                send(write, &TapLine::Event(masks.show(event, wanted.max_bytes))).await?;
                if events.is_empty() {
                    attached.iter_mut().for_each(TapGuard::wake);
                }
            }
            _ = tick.tick() => {
                tap.begin_second();
                attached.iter_mut().for_each(TapGuard::wake);
                match wanted.points(board) {
                    Err(gone) => return Ok(Some(gone)),
                    Ok(now) => {
                        let same = now.len() == attached.len()
                            && now.iter().zip(&attached).all(|((_, now), then)| now.is_same(then.point()));
                        if !same {
                            // First, because a guard takes its tap away from the point.
                            attached.clear();
                            attached = attach(now);
                        }
                    }
                }
                let counted = (tap.seen(), tap.skipped());
                if counted.1 != told.1 {
                    send(write, &TapLine::Counted { seen: counted.0, skipped: counted.1 }).await?;
                    told = counted;
                }
            }
        }
    }
    drop(attached);
    let counted = TapLine::Counted {
        seen: tap.seen(),
        skipped: tap.skipped(),
    };
    send(write, &counted).await?;
    Ok(Some(format!("{shown} events were shown")))
}

async fn send(write: &mut OwnedWriteHalf, line: &TapLine) -> io::Result<()> {
    let text = serde_json::to_string(line)? + "\n";
    let sent = timeout(READER_TIMEOUT, write.write_all(text.as_bytes())).await;
    sent.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the tap's reader takes nothing",
        ))
    })
}

/// The answer of an agent, line by line.
pub struct TapStream(BufReader<UnixStream>);

impl TapStream {
    /// Asks the agent whose state directory this is.
    pub async fn open(state_dir: &Path, request: TapRequest) -> io::Result<Self> {
        let stream = connect(state_dir, &ControlRequest::Tap(request)).await?;
        Ok(TapStream(BufReader::new(stream)))
    }

    /// The next line; `None` when the agent has ended.
    pub async fn next(&mut self) -> io::Result<Option<TapLine>> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}
