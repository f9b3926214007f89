//! Frames between an agent and a process that runs components: `docs/format/component-host.md`.
//!
//! A frame is a length, a lane, a kind and a payload. Numbers are big-endian. Every length is checked before it is used.

use bytes::{Buf, Bytes};
use flume_core::{Event, Headers, Str};

/// Largest frame, without its length field.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// Version of the protocol.
pub const VERSION: i32 = 1;
/// Lane and kind.
const HEAD_BYTES: usize = 5;

/// What a frame says. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// To the host: make a component.
    Open = 1,
    /// To the host: begin to work.
    Start = 2,
    /// To the host: end.
    Stop = 3,
    /// To the host: events for a sink or an interceptor.
    Events = 4,
    /// To the host: a second has passed without events.
    Tick = 5,
    /// To the host: what became of a put.
    Done = 6,
    /// To the host, lane 0: the counters of all components.
    Metrics = 11,
    /// From the host: it is done.
    Ok = 64,
    /// From the host: it failed, and why.
    Failed = 65,
    /// From the host: the component is made.
    Opened = 66,
    /// From the host: how much of a batch a sink has committed.
    Result = 67,
    /// From the host: the events that an interceptor returns.
    Intercepted = 68,
    /// From the host: events of a source.
    Put = 69,
    /// From the host: what a serializer made of a batch.
    Serialized = 70,
    /// From the host, lane 0: counters.
    Readings = 71,
    /// From the host, first of all.
    Hello = 72,
}

const KINDS: &[FrameKind] = &[
    FrameKind::Open,
    FrameKind::Start,
    FrameKind::Stop,
    FrameKind::Events,
    FrameKind::Tick,
    FrameKind::Done,
    FrameKind::Metrics,
    FrameKind::Ok,
    FrameKind::Failed,
    FrameKind::Opened,
    FrameKind::Result,
    FrameKind::Intercepted,
    FrameKind::Put,
    FrameKind::Serialized,
    FrameKind::Readings,
    FrameKind::Hello,
];

/// Why bytes are no frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is out of bounds.
    #[error("a frame of {0} bytes; the limit is {MAX_FRAME_BYTES}")]
    Length(usize),
    /// The kind is unknown.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// The payload ends before its last value.
    #[error("a frame that ends too early")]
    Short,
    /// A text is not UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// A serializer answered for another number of events.
    #[error("an answer for {0} events to a batch of {1}")]
    Count(usize, usize),
    /// An interceptor returned an event that was not in the batch.
    #[error("event {0} of a batch of {1}")]
    Origin(i32, usize),
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct HostFrame {
    /// The component's lane; 0 is the host itself.
    pub lane: u32,
    /// What it says.
    pub kind: FrameKind,
    payload: Bytes,
}

/// A part of what a serializer wrote, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Serialized {
    /// Bytes that belong to no event: before the first one, or after the last one of a batch.
    Between(Bytes),
    /// An event's bytes, or why the serializer cannot write it.
    Event(Result<Bytes, Str>),
}

impl Serialized {
    /// Its bytes; none of an event that cannot be written.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Serialized::Between(bytes) | Serialized::Event(Ok(bytes)) => bytes,
            Serialized::Event(Err(_)) => &[],
        }
    }
}

/// A bean by its name, with its attributes.
pub type Reading = (Str, Vec<(Str, Str)>);

impl HostFrame {
    /// Takes what follows the length field apart.
    ///
    /// # Errors
    /// It is too short, or of an unknown kind.
    pub fn decode(mut bytes: Bytes) -> Result<HostFrame, FrameError> {
        if bytes.len() < HEAD_BYTES {
            return Err(FrameError::Short);
        }
        let lane = bytes.get_u32();
        let number = bytes.get_u8();
        let kind = KINDS.iter().find(|kind| **kind as u8 == number);
        let kind = *kind.ok_or(FrameError::Kind(number))?;
        let payload = bytes;
        Ok(HostFrame {
            lane,
            kind,
            payload,
        })
    }

    /// Checks a length field.
    ///
    /// # Errors
    /// It is larger than [`MAX_FRAME_BYTES`], or smaller than a frame without payload.
    pub fn length(field: [u8; 4]) -> Result<usize, FrameError> {
        let length = u32::from_be_bytes(field) as usize;
        if (HEAD_BYTES..=MAX_FRAME_BYTES).contains(&length) {
            Ok(length)
        } else {
            Err(FrameError::Length(length))
        }
    }

    /// The next number.
    ///
    /// # Errors
    /// The payload has ended.
    pub fn number(&mut self) -> Result<i32, FrameError> {
        self.payload.try_get_i32().map_err(|_| FrameError::Short)
    }

    /// The next byte, as a truth value.
    ///
    /// # Errors
    /// The payload has ended.
    pub fn flag(&mut self) -> Result<bool, FrameError> {
        Ok(self.byte()? != 0)
    }

    /// The next byte.
    ///
    /// # Errors
    /// The payload has ended.
    pub fn byte(&mut self) -> Result<u8, FrameError> {
        self.payload.try_get_u8().map_err(|_| FrameError::Short)
    }

    /// The next text.
    ///
    /// # Errors
    /// The payload has ended, or it is not UTF-8.
    pub fn text(&mut self) -> Result<Str, FrameError> {
        Str::try_from(self.bytes()?).map_err(|_| FrameError::Text)
    }

    /// The next bytes, a slice of the frame.
    ///
    /// # Errors
    /// The payload has ended.
    pub fn bytes(&mut self) -> Result<Bytes, FrameError> {
        let length = self.count(1)?;
        Ok(self.payload.split_to(length))
    }

    /// A number of things of at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize, FrameError> {
        let count = usize::try_from(self.number()?).map_err(|_| FrameError::Short)?;
        if count > self.payload.len() / least {
            return Err(FrameError::Short);
        }
        Ok(count)
    }

    /// A list of texts.
    ///
    /// # Errors
    /// As [`HostFrame::text`].
    pub fn texts(&mut self) -> Result<Vec<Str>, FrameError> {
        let count = self.count(4)?;
        (0..count).map(|_| self.text()).collect()
    }

    /// Pairs of texts.
    ///
    /// # Errors
    /// As [`HostFrame::text`].
    pub fn pairs(&mut self) -> Result<Vec<(Str, Str)>, FrameError> {
        let count = self.count(8)?;
        (0..count)
            .map(|_| Ok((self.text()?, self.text()?)))
            .collect()
    }

    /// Counters: for each component its name, and names with values.
    ///
    /// # Errors
    /// As [`HostFrame::text`].
    pub fn readings(&mut self) -> Result<Vec<Reading>, FrameError> {
        let count = self.count(8)?;
        (0..count)
            .map(|_| Ok((self.text()?, self.pairs()?)))
            .collect()
    }

    fn headers(&mut self) -> Result<Headers, FrameError> {
        Ok(self.pairs()?.into_iter().collect())
    }

    fn event(&mut self) -> Result<Event, FrameError> {
        let headers = self.headers()?;
        let body = self.bytes()?;
        Ok(Event { headers, body })
    }

    /// A batch of events; headers and bodies are slices of the frame.
    ///
    /// # Errors
    /// The payload has ended, or a header is not UTF-8.
    pub fn events(&mut self) -> Result<Vec<Event>, FrameError> {
        let count = self.count(8)?;
        (0..count).map(|_| self.event()).collect()
    }

    /// What an interceptor made of a batch: its events may be those of the batch, edited, and new ones, in any order.
    ///
    /// # Errors
    /// The payload has ended, a header is not UTF-8, or an event comes from outside the batch.
    pub fn intercepted(&mut self, batch: &[Event]) -> Result<Vec<Event>, FrameError> {
        let count = self.count(9)?;
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            let origin = self.number()?;
            let same_body = self.flag()?;
            let headers = self.headers()?;
            let body = if same_body {
                let known = usize::try_from(origin).ok().and_then(|at| batch.get(at));
                let known = known.ok_or(FrameError::Origin(origin, batch.len()))?;
                known.body.clone()
            } else {
                self.bytes()?
            };
            events.push(Event { headers, body });
        }
        Ok(events)
    }

    /// What a serializer made of a batch of so many events.
    ///
    /// # Errors
    /// The payload has ended, or it is about another number of events.
    pub fn serialized(&mut self, events: usize) -> Result<Vec<Serialized>, FrameError> {
        let mut parts = vec![Serialized::Between(self.bytes()?)];
        let count = self.count(8)?;
        if count != events {
            return Err(FrameError::Count(count, events));
        }
        for _ in 0..count {
            let refusal = self.text()?;
            let bytes = self.bytes()?;
            if refusal.is_empty() {
                parts.push(Serialized::Event(Ok(bytes)));
            } else {
                // What it had kept of earlier events came out with this one.
                parts.push(Serialized::Between(bytes));
                parts.push(Serialized::Event(Err(refusal)));
            }
        }
        parts.push(Serialized::Between(self.bytes()?));
        Ok(parts)
    }
}

/// A frame to be sent.
pub struct FrameBuilder(Vec<u8>);

impl FrameBuilder {
    /// An empty frame.
    pub fn new(lane: u32, kind: FrameKind) -> FrameBuilder {
        let mut bytes = vec![0; 4];
        bytes.extend(lane.to_be_bytes());
        bytes.push(kind as u8);
        FrameBuilder(bytes)
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: usize) -> FrameBuilder {
        self.0.extend((number as u32).to_be_bytes());
        self
    }

    /// Adds a byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> FrameBuilder {
        self.0.push(byte);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, text: &str) -> FrameBuilder {
        self.bytes(text.as_bytes())
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> FrameBuilder {
        let mut frame = self.number(bytes.len());
        frame.0.extend_from_slice(bytes);
        frame
    }

    /// Adds pairs of texts.
    #[must_use]
    pub fn pairs<'a>(
        self,
        count: usize,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> FrameBuilder {
        pairs.fold(self.number(count), |frame, (name, value)| {
            frame.text(name).text(value)
        })
    }

    /// Adds a batch.
    #[must_use]
    pub fn events(self, events: &[Event]) -> FrameBuilder {
        let mut frame = self.number(events.len());
        frame.0.reserve(events.iter().map(event_bytes).sum());
        for event in events {
            let headers = event.headers.iter();
            let pairs = headers.map(|(name, value)| (&name[..], &value[..]));
            frame = frame
                .pairs(event.headers.iter().count(), pairs)
                .bytes(&event.body);
        }
        frame
    }

    /// The bytes to send.
    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Bytes that an event takes in a frame.
pub fn event_bytes(event: &Event) -> usize {
    8 + event.size() + 8 * event.headers.iter().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(frame: FrameBuilder) -> HostFrame {
        let bytes = frame.finish();
        let length = HostFrame::length(bytes[..4].try_into().unwrap()).unwrap();
        assert_eq!(length, bytes.len() - 4);
        HostFrame::decode(Bytes::from(bytes).slice(4..)).unwrap()
    }

    fn event(header: &'static str, body: &'static str) -> Event {
        let mut event = Event::from(body);
        event.headers.set("h".into(), header.into());
        event
    }

    #[test]
    fn what_is_written_is_read() {
        let batch = [event("1", "one"), Event::default()];
        let frame = FrameBuilder::new(7, FrameKind::Put)
            .number(3)
            .events(&batch);
        let mut frame = received(frame);
        assert_eq!((frame.lane, frame.kind), (7, FrameKind::Put));
        assert_eq!(frame.number(), Ok(3));
        assert_eq!(frame.events().unwrap(), batch);
        assert_eq!(frame.number(), Err(FrameError::Short));
    }

    #[test]
    fn an_interceptor_keeps_bodies_edits_and_adds() {
        let batch = [event("1", "one"), event("2", "two")];
        let frame = FrameBuilder::new(1, FrameKind::Intercepted)
            .number(2)
            .number(1)
            .byte(1)
            .pairs(0, [].into_iter())
            .number(-1_i32 as u32 as usize)
            .byte(0)
            .pairs(1, [("h", "3")].into_iter())
            .bytes(b"new");
        let kept = received(frame).intercepted(&batch).unwrap();
        assert_eq!(kept, [Event::from("two"), event("3", "new")]);
    }

    #[test]
    fn a_serializer_answers_for_each_event() {
        let answer = || {
            FrameBuilder::new(1, FrameKind::Serialized)
                .bytes(b"head")
                .number(2)
                .text("")
                .bytes(b"one")
                .text("too long")
                .bytes(b"kept")
                .bytes(b"tail")
        };
        let between = |bytes| Serialized::Between(Bytes::from_static(bytes));
        let parts = received(answer()).serialized(2).unwrap();
        let expected = [
            between(b"head"),
            Serialized::Event(Ok(Bytes::from_static(b"one"))),
            between(b"kept"),
            Serialized::Event(Err("too long".into())),
            between(b"tail"),
        ];
        assert_eq!(parts, expected);
        let error = received(answer()).serialized(3).unwrap_err();
        assert_eq!(error, FrameError::Count(2, 3));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let short = FrameBuilder::new(1, FrameKind::Put).number(1 << 30);
        assert_eq!(received(short).events(), Err(FrameError::Short));
        let outside = FrameBuilder::new(1, FrameKind::Intercepted)
            .number(1)
            .number(5)
            .byte(1)
            .number(0);
        let error = received(outside).intercepted(&[]).unwrap_err();
        assert_eq!(error, FrameError::Origin(5, 0));
        assert_eq!(HostFrame::length([0, 0, 0, 1]), Err(FrameError::Length(1)));
        assert_eq!(
            HostFrame::length([255; 4]),
            Err(FrameError::Length(u32::MAX as usize))
        );
        let unknown = Bytes::from_static(&[0, 0, 0, 1, 99]);
        assert_eq!(HostFrame::decode(unknown), Err(FrameError::Kind(99)));
    }
}
