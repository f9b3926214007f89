//! The forward protocol of Fluentd and Fluent Bit: bytes in, events out, no I/O.
//!
//! A message is `[tag, time, record]`, `[tag, [[time, record], …]]` or `[tag, bytes]`, where the bytes are such entries
//! one after the other, perhaps compressed. A map of options may follow. Its `chunk` asks for an acknowledgement.

mod handshake;
mod msgpack;
mod unpack;

use bytes::{Buf, Bytes, BytesMut};
use flume_core::{Event, Str};

pub use handshake::{Handshake, Pong};
use msgpack::{Msgpack, MsgpackReader, Scanner};
use unpack::Unpacker;

/// Why a sender cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FluentError {
    /// It is not the forward protocol.
    #[error("{0}")]
    Broken(&'static str),
    /// It is too long.
    #[error("a message has more than {0} bytes; maxMessageBytes is the limit")]
    TooLarge(usize),
    /// The compression is not known.
    #[error("the compression `{0}` is not known")]
    Compression(String),
    /// All connections together hold too much.
    #[error("the messages of all connections hold too many decompressed bytes; send smaller ones")]
    Memory,
    /// The peer does not know the shared key.
    #[error("the peer {0} does not know the shared key")]
    Key(String),
}

/// Names of the headers that events get.
#[derive(Clone, Debug, Default)]
pub struct FluentHeaders {
    /// Of the tag.
    pub tag: Str,
    /// Of the time, in milliseconds since 1970.
    pub time: Str,
}

/// Finds messages in what is received.
#[derive(Debug)]
pub struct FluentStream {
    received: BytesMut,
    scanner: Scanner,
    max_bytes: usize,
}

impl FluentStream {
    /// Messages may have so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        FluentStream {
            received: BytesMut::new(),
            scanner: Scanner::default(),
            max_bytes,
        }
    }

    /// Takes in what was received.
    pub fn feed(&mut self, received: &[u8]) {
        self.received.extend_from_slice(received);
    }

    /// Bytes that are not yet a message.
    pub fn held_bytes(&self) -> usize {
        self.received.len()
    }

    /// Gives back memory that is not needed.
    pub fn settle(&mut self) {
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
    }

    /// The bytes of the next message, at most `max_bytes` for the first ones of a stranger.
    fn next_value(&mut self, max_bytes: usize) -> Result<Option<Bytes>, FluentError> {
        let max_bytes = max_bytes.min(self.max_bytes);
        let end = self.scanner.find_end(&self.received, max_bytes)?;
        Ok(end.map(|end| self.received.split_to(end).freeze()))
    }

    /// The next message; heartbeats are left out.
    ///
    /// # Errors
    /// Nothing after this can be understood.
    pub fn next_message(&mut self) -> Result<Option<FluentMessage>, FluentError> {
        while let Some(value) = self.next_value(usize::MAX)? {
            // A heartbeat is the value nil.
            if value[..] != [0xc0] {
                return FluentMessage::read(value, self.max_bytes).map(Some);
            }
        }
        Ok(None)
    }
}

/// A message whose events are read one after the other.
#[derive(Debug)]
pub struct FluentMessage {
    tag: Str,
    entries: Bytes,
    form: Form,
    max_bytes: usize,
    /// What the sender wants to hear once the events are stored.
    pub chunk: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Form {
    /// A time and a record, until they are read.
    Single,
    /// So many entries.
    Counted(usize),
    /// Entries to the end.
    Packed,
    /// Compressed entries to the end.
    Compressed(Box<Unpacker>),
}

impl FluentMessage {
    /// A message whose events can all be read: of a broken one, nothing is stored. So it is read twice.
    fn read(message: Bytes, max_bytes: usize) -> Result<Self, FluentError> {
        let mut trial = Self::begin(message.clone(), max_bytes)?;
        if !matches!(trial.form, Form::Single) {
            let no_headers = FluentHeaders::default();
            while trial.next_event(&no_headers)?.is_some() {}
        }
        drop(trial);
        Self::begin(message, max_bytes)
    }

    fn begin(message: Bytes, max_bytes: usize) -> Result<Self, FluentError> {
        let broken = FluentError::Broken;
        let mut reader = MsgpackReader(&message);
        let parts = match reader.next()? {
            Msgpack::Array(parts @ 2..=4) => parts,
            _ => return Err(broken("a message is an array of two to four parts")),
        };
        let tag = Str::from(reader.text()?);
        let begin = message.len() - reader.0.len();
        let (form, mut parts_left) = match reader.next()? {
            Msgpack::Array(2) if parts == 4 => (Form::Single, parts - 2),
            Msgpack::Array(2) if parts == 3 && is_single(&message[begin..])? => (Form::Single, 1),
            Msgpack::Array(count) => (Form::Counted(count), parts - 2),
            Msgpack::Bytes(_) => (Form::Packed, parts - 2),
            _ => (Form::Single, parts - 2),
        };
        reader.0 = &message[begin..];
        let second = reader.skip()?;
        let entries = match form {
            Form::Single => {
                if parts_left == 0 {
                    return Err(broken("a message has a time and no record"));
                }
                parts_left -= 1;
                reader.skip()?;
                message.slice(begin..message.len() - reader.0.len())
            }
            _ => message.slice_ref(second),
        };
        let options = if parts_left > 0 {
            Options::read(&mut reader)?
        } else {
            Options::default()
        };
        let mut message = FluentMessage {
            tag,
            entries,
            form,
            max_bytes,
            chunk: options.chunk,
        };
        message.open(options.compressed.as_deref())?;
        Ok(message)
    }

    /// Steps to the first entry.
    fn open(&mut self, compressed: Option<&str>) -> Result<(), FluentError> {
        let entries = self.entries.clone();
        let mut reader = MsgpackReader(&entries);
        match self.form {
            Form::Single => {}
            Form::Counted(_) => {
                reader.next()?;
                self.entries.advance(entries.len() - reader.0.len());
            }
            Form::Packed => {
                let Msgpack::Bytes(packed) = reader.next()? else {
                    return Err(FluentError::Broken("expected packed entries"));
                };
                let packed = entries.slice_ref(packed);
                match compressed {
                    None | Some("text") => self.entries = packed,
                    Some(name) => {
                        let unpacker = Unpacker::new(name, packed, self.max_bytes)?;
                        self.form = Form::Compressed(Box::new(unpacker));
                    }
                }
            }
            // Made above.
            Form::Compressed(_) => {}
        }
        Ok(())
    }

    /// Bytes that are still to be read.
    pub fn held_bytes(&self) -> usize {
        let unpacked = match &self.form {
            Form::Compressed(unpacker) => unpacker.held_bytes(),
            _ => 0,
        };
        self.entries.len() + unpacked
    }

    /// The next event; `None` behind the last.
    ///
    /// # Errors
    /// The rest of the message cannot be understood.
    pub fn next_event(&mut self, headers: &FluentHeaders) -> Result<Option<Event>, FluentError> {
        if let Form::Compressed(unpacker) = &mut self.form {
            let Some(entry) = unpacker.next_entry()? else {
                self.entries = Bytes::new();
                return Ok(None);
            };
            let event = self.entry(MsgpackReader(&entry), headers)?;
            if let Form::Compressed(unpacker) = &mut self.form {
                unpacker.holds(event.size())?;
            }
            return Ok(Some(event));
        }
        let left = match &mut self.form {
            Form::Compressed(_) => false,
            Form::Single => !self.entries.is_empty(),
            Form::Packed => !self.entries.is_empty(),
            Form::Counted(0) => false,
            Form::Counted(count) => {
                *count -= 1;
                true
            }
        };
        if !left {
            return Ok(None);
        }
        let entries = std::mem::take(&mut self.entries);
        let mut reader = MsgpackReader(&entries);
        let event = if matches!(self.form, Form::Single) {
            let event = self.event(&mut reader, headers)?;
            reader.0 = &[];
            event
        } else {
            // The bounds of packed entries are checked here.
            self.entry(MsgpackReader(reader.skip()?), headers)?
        };
        self.entries = entries.slice(entries.len() - reader.0.len()..);
        Ok(Some(event))
    }

    fn entry(
        &self,
        mut entry: MsgpackReader<'_>,
        headers: &FluentHeaders,
    ) -> Result<Event, FluentError> {
        match entry.next()? {
            Msgpack::Array(2) => self.event(&mut entry, headers),
            _ => Err(FluentError::Broken("an entry is a time and a record")),
        }
    }

    /// A time and a record.
    fn event(
        &self,
        reader: &mut MsgpackReader<'_>,
        headers: &FluentHeaders,
    ) -> Result<Event, FluentError> {
        let millis = time(reader)?;
        if !matches!(MsgpackReader(reader.0).next()?, Msgpack::Map(_)) {
            return Err(FluentError::Broken("a record is a map"));
        }
        let mut body = vec![];
        reader.json(&mut body, self.max_bytes)?;
        let mut event = Event::from(body);
        event.headers = [
            (headers.tag.clone(), self.tag.clone()),
            (headers.time.clone(), millis.to_string().into()),
        ]
        .into_iter()
        .collect();
        Ok(event)
    }
}

/// Whether `[x, y]` is a time with metadata, rather than two entries.
fn is_single(second: &[u8]) -> Result<bool, FluentError> {
    let mut reader = MsgpackReader(second);
    reader.next()?;
    Ok(!matches!(reader.next()?, Msgpack::Array(_)))
}

/// Milliseconds since 1970. Newer senders put a map of metadata beside the time.
fn time(reader: &mut MsgpackReader<'_>) -> Result<i64, FluentError> {
    let seconds = |seconds: u64| {
        i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000)
    };
    Ok(match reader.next()? {
        Msgpack::Unsigned(time) => seconds(time),
        Msgpack::Signed(time) => time.saturating_mul(1000),
        Msgpack::Float64(time) => (time * 1000.0) as i64,
        Msgpack::Float32(time) => (f64::from(time) * 1000.0) as i64,
        Msgpack::Extension(0, data) if data.len() == 8 => {
            let word = |from: usize| {
                let word = &data[from..from + 4];
                i64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            };
            word(0) * 1000 + word(4) / 1_000_000
        }
        Msgpack::Array(2) => {
            if matches!(MsgpackReader(reader.0).next()?, Msgpack::Array(_)) {
                return Err(FluentError::Broken("a time is a number"));
            }
            let millis = time(reader)?;
            reader.skip()?;
            millis
        }
        _ => return Err(FluentError::Broken("a time is a number")),
    })
}

#[derive(Default)]
struct Options {
    chunk: Option<Vec<u8>>,
    compressed: Option<String>,
}

impl Options {
    fn read(reader: &mut MsgpackReader<'_>) -> Result<Self, FluentError> {
        let mut options = Options::default();
        let count = match reader.next()? {
            Msgpack::Map(count) => count,
            Msgpack::Nil => 0,
            _ => return Err(FluentError::Broken("options are a map")),
        };
        for _ in 0..count {
            let mut key = MsgpackReader(reader.skip()?);
            let mut value = MsgpackReader(reader.skip()?);
            match (key.next()?, value.next()?) {
                (Msgpack::Bytes(b"chunk"), Msgpack::Bytes(chunk)) => {
                    options.chunk = Some(chunk.to_vec());
                }
                (Msgpack::Bytes(b"compressed"), Msgpack::Bytes(name)) => {
                    options.compressed = Some(String::from_utf8_lossy(name).into_owned());
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// What a sender hears when the events of its chunk are stored.
pub fn acknowledgement(chunk: &[u8]) -> Vec<u8> {
    let mut answer = vec![0x81, 0xa3];
    answer.extend_from_slice(b"ack");
    msgpack::put_text(&mut answer, chunk);
    answer
}

#[cfg(test)]
mod tests;
