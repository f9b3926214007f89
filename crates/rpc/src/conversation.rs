//! One connection of a source: read a message, put its events, answer, and again. However a client behaves, it costs a
//! bounded amount of memory and time.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use flume_client::transport::{BoxedStream, ExchangeError, read_more};
use flume_core::{
    Event, FrameReservation, PutError, SourceContext, detach_small_part, with_causes,
};
use flume_wire::Framing;
use tokio::{io::AsyncWriteExt, time::timeout};

/// What is read without a reservation, and while nobody knows how much will come.
const FIRST_READ_BYTES: usize = 4 << 10;
/// Most bytes that are read ahead of what is known to come.
const MAX_READ_BYTES: usize = 64 << 10;
/// How long a client may pause inside of a message.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to send a message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a client may take to receive an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a message waits for memory that other messages hold.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a protocol does with a message.
pub(crate) trait Dialogue: Send {
    /// How messages are separated.
    type Framing: Framing;

    /// Carries out what a message asks for and appends the answer to `out`. An error ends the connection; what is in
    /// `out` by then is sent before.
    fn answer(
        &mut self,
        frame: <Self::Framing as Framing>::Frame,
        out: &mut Vec<u8>,
    ) -> impl Future<Output = Result<(), BoxedError>> + Send;
}

pub(crate) type BoxedError = Box<dyn Error + Send + Sync>;

/// Why a connection ended before its client closed it.
pub(crate) enum Ending {
    /// The network.
    Io(io::Error),
    /// The client broke a rule.
    Fault(String),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Ending::Fault(error.to_string()),
            _ => Ending::Io(error),
        }
    }
}

impl From<ExchangeError> for Ending {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Io(error) => error.into(),
            ExchangeError::Protocol(text) => Ending::Fault(text),
        }
    }
}

/// Serves a client until it closes, breaks a rule, or the source stops. A put that is under way then is finished and
/// answered.
pub(crate) async fn converse<D: Dialogue>(
    stream: &mut BoxedStream,
    mut framing: D::Framing,
    dialogue: &mut D,
    cx: &SourceContext,
) -> Result<(), Ending> {
    let mut inbox = Inbox::new(cx);
    let mut out = vec![];
    let mut is_first = true;
    while !cx.stop.is_requested() {
        let hint = is_first.then(|| recognize(&inbox.received)).flatten();
        let decoded = framing.decode(&mut inbox.received).map_err(|error| {
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            Ending::Fault(format!("{error}{hint}"))
        })?;
        let Some(frame) = decoded else {
            let known = framing.known_bytes();
            let read = tokio::select! {
                biased;
                () = cx.stop.requested() => return Ok(()),
                read = inbox.read(stream, known) => read?,
            };
            if read == 0 {
                return Ok(());
            }
            continue;
        };
        is_first = false;
        // In a box: ten thousand idle connections do not pay for what a put needs.
        let outcome = Box::pin(dialogue.answer(frame, &mut out)).await;
        inbox.message_done();
        send(stream, &mut out).await?;
        outcome.map_err(|error| Ending::Fault(error.to_string()))?;
    }
    Ok(())
}

async fn send(stream: &mut BoxedStream, out: &mut Vec<u8>) -> Result<(), Ending> {
    if out.is_empty() {
        return Ok(());
    }
    let work = async {
        stream.write_all(out).await?;
        stream.flush().await
    };
    let sent = timeout(ANSWER_TIMEOUT, work).await;
    sent.map_err(|_| Ending::Fault(format!("an answer was not read for {ANSWER_TIMEOUT:?}")))??;
    out.clear();
    out.shrink_to(FIRST_READ_BYTES);
    Ok(())
}

/// What has come and is not understood yet, within the source's budget of memory.
struct Inbox {
    received: BytesMut,
    /// When the message under way began to come.
    began: Option<Instant>,
    reserved: FrameReservation,
}

impl Inbox {
    fn new(cx: &SourceContext) -> Self {
        Inbox {
            received: BytesMut::new(),
            began: None,
            reserved: cx.frame_reservation(),
        }
    }

    /// Reads on; 0 when the client has closed. `known` are the bytes of the message under way, as far as is known.
    async fn read(&mut self, stream: &mut BoxedStream, known: usize) -> Result<usize, Ending> {
        if self.received.is_empty() {
            // Between messages a client may be silent as long as it likes.
            self.message_done();
            let read = read_more(stream, &mut self.received, FIRST_READ_BYTES).await?;
            self.began = Some(Instant::now());
            return Ok(read);
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() > MESSAGE_TIMEOUT {
            let text = format!("a message has not come within {MESSAGE_TIMEOUT:?}");
            return Err(Ending::Fault(text));
        }
        // Memory follows what has come, not what is claimed to come.
        let here = self.received.len();
        let missing = known.saturating_sub(here).max(FIRST_READ_BYTES);
        let room = missing.min(here.max(MAX_READ_BYTES));
        self.reserve(here + room).await?;
        let read = timeout(STALL_TIMEOUT, read_more(stream, &mut self.received, room)).await;
        let stalled = |_| Ending::Fault(format!("a message stopped coming for {STALL_TIMEOUT:?}"));
        let read = read.map_err(stalled)??;
        if read == 0 {
            return Err(Ending::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(read)
    }

    async fn reserve(&mut self, bytes: usize) -> Result<(), Ending> {
        if bytes <= FIRST_READ_BYTES {
            return Ok(());
        }
        let reserved = timeout(MEMORY_TIMEOUT, self.reserved.grow_to(bytes)).await;
        reserved.map_err(|_| {
            let text = format!("no memory became free for a message within {MEMORY_TIMEOUT:?}");
            Ending::Fault(text)
        })
    }

    /// A message was answered, so its events belong to a channel.
    fn message_done(&mut self) {
        self.began = None;
        self.reserved.release();
    }
}

/// What a client seems to speak, by its first bytes.
fn recognize(first: &[u8]) -> Option<&'static str> {
    match first {
        [0x16, 0x03, ..] => Some("the client speaks TLS, and this source has no `ssl = true`"),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            Some("the client compresses, and this source has no `compression-type = deflate`")
        }
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => {
            Some("the client speaks HTTP")
        }
        [0x82, 0x21 | 0x81, ..] | [0x80, 0x01, 0, ..] | [_, _, _, _, 0x82, 0x21, ..] => {
            Some("the client speaks Thrift")
        }
        [0, 0, 0, 1, 0, 0, 0, 1..=9, 0, 0, ..] => Some("the client speaks Avro"),
        [1, 0, 0, 0, 6, b'G', ..] => Some("the client wants Kerberos"),
        _ => None,
    }
}

/// Puts a batch; what came of it is the state of the source. `frame_bytes` has the frame that the events are slices of,
/// with all that a client may have put beside them.
pub(crate) async fn put(
    cx: &SourceContext,
    mut events: Vec<Event>,
    frame_bytes: usize,
) -> Result<(), PutError> {
    detach_small_part(&mut events, frame_bytes);
    let outcome = cx.out.put(events).await;
    match &outcome {
        Ok(()) => cx.state.running(),
        Err(error) => cx.refused(error),
    }
    outcome
}

/// An error that a client is told.
pub(crate) fn told(error: &PutError) -> String {
    with_causes(error)
}
