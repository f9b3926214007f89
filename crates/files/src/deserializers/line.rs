//! `LINE`: each line of a text file.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use flume_core::{
    BuildError, Component, Config, Context, Event, EventDeserializer, FileEvent, FileText,
    OnMalformed, Undecodable, config::Scalar,
};
use flume_java::charset::Charset;
use memchr::memchr;

use crate::multiline::{JoinedLines, LineJoiner, MultilineConfig};

/// Bytes of a line in a character set whose characters take several bytes, UTF-8 apart.
const MAX_WIDE_LINE_BYTES: usize = 16 << 20;

/// Makes an event of each line. A line ends at a line feed; a carriage return before it stays.
#[derive(Clone, Config)]
pub(super) struct LineConfig {
    /// Most characters of a line; what is longer becomes several events.
    #[prop("maxLineLength", default = 2048)]
    max_line_length: NonZeroUsize,
    /// Character set of the bodies.
    #[prop("outputCharset", default = "UTF-8")]
    output_charset: Charset,
    #[prop(flatten)]
    multiline: MultilineConfig,
}

pub(super) struct LineDeserializer {
    max_length: usize,
    output: Charset,
    input: Charset,
    /// The same; UTF-16 in the byte order of this file, once it is known.
    order: Option<Charset>,
    on_malformed: OnMalformed,
    joiner: LineJoiner,
    buffer: BytesMut,
    /// No line feed is in the buffer before here.
    searched: usize,
    /// Where in the file the buffer begins.
    offset: u64,
    /// Lines that end before this byte were delivered.
    delivered: u64,
    finished: bool,
}

impl Component for LineDeserializer {
    type Config = LineConfig;
    fn build(config: LineConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(LineDeserializer {
            max_length: config.max_line_length.get(),
            output: config.output_charset,
            input: Charset::parse("UTF-8").map_err(|text| BuildError::at("", text))?,
            order: None,
            on_malformed: OnMalformed::Fail,
            joiner: LineJoiner::new(config.multiline),
            buffer: BytesMut::new(),
            searched: 0,
            offset: 0,
            delivered: 0,
            finished: false,
        })
    }
}

impl EventDeserializer for LineDeserializer {
    fn set_text(&mut self, text: &FileText) {
        if let Ok(charset) = Charset::parse(&text.charset) {
            self.input = charset;
        }
        self.on_malformed = text.on_malformed;
        self.max_length = text.max_line_length.unwrap_or(self.max_length);
    }

    fn reads_text(&self) -> bool {
        true
    }

    fn begin(&mut self, offset: u64) -> u64 {
        // The byte order of UTF-16 is known from the start of the file alone.
        let start = if self.input == Charset::Utf16 {
            0
        } else {
            offset
        };
        self.order = (self.input != Charset::Utf16).then_some(self.input);
        self.joiner.flush();
        self.buffer = BytesMut::new();
        self.searched = 0;
        self.offset = start;
        self.delivered = offset;
        self.finished = false;
        start
    }

    fn feed(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::from(bytes);
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn next(&mut self) -> Result<Option<FileEvent>, Undecodable> {
        loop {
            let Some((line, end)) = self.line()? else {
                let rest = if self.finished {
                    self.joiner.flush()
                } else {
                    None
                };
                return Ok(rest.map(|joined| self.event(joined)));
            };
            if end <= self.delivered {
                continue;
            }
            if let Some(joined) = self.joiner.push(line, end) {
                return Ok(Some(self.event(joined)));
            }
        }
    }
}

impl LineDeserializer {
    fn event(&self, joined: JoinedLines) -> FileEvent {
        let body = if self.output.is_utf8() {
            joined.text
        } else {
            self.output
                .encode(&String::from_utf8_lossy(&joined.text))
                .into()
        };
        FileEvent {
            event: Event::from(body),
            offset: joined.offset,
        }
    }

    /// The next line in UTF-8, and where in the file it ends.
    fn line(&mut self) -> Result<Option<(Bytes, u64)>, Undecodable> {
        let Some((length, ending)) = self.find_line()? else {
            return Ok(None);
        };
        let raw = self.buffer.split_to(length).freeze();
        let _ = self.buffer.split_to(ending);
        self.searched = 0;
        let start = self.offset;
        self.offset += (length + ending) as u64;
        Ok(Some((self.decode(raw, start)?, self.offset)))
    }

    /// Bytes of the next line, and of what ends it.
    fn find_line(&mut self) -> Result<Option<(usize, usize)>, Undecodable> {
        if self.order.is_none() {
            self.read_mark();
            if self.order.is_none() {
                return Ok(None);
            }
        }
        let (found, ending) = self.find_line_feed();
        let narrow = self.input.is_utf8() || self.input.is_single_byte();
        let length = found.unwrap_or(self.buffer.len());
        if narrow && length > self.max_length {
            let cut = if self.input.is_utf8() {
                utf8_prefix(&self.buffer[..length], self.max_length)
            } else {
                self.max_length
            };
            // At the end of what is there a character may be unfinished.
            if cut < length && (found.is_some() || self.finished || cut + 4 <= length) {
                return Ok(Some((cut, 0)));
            }
        }
        if found.is_some() {
            return Ok(Some((length, ending)));
        }
        if !narrow && length > MAX_WIDE_LINE_BYTES {
            return Err(Undecodable {
                reason: format!("a line has more than {MAX_WIDE_LINE_BYTES} bytes"),
                offset: self.offset,
            });
        }
        self.searched = length.saturating_sub(1) & !1;
        Ok((self.finished && length > 0).then_some((length, 0)))
    }

    fn find_line_feed(&self) -> (Option<usize>, usize) {
        let unit = match self.order {
            Some(Charset::Other(encoding)) if encoding.name() == "UTF-16BE" => [0, b'\n'],
            Some(Charset::Other(encoding)) if encoding.name() == "UTF-16LE" => [b'\n', 0],
            _ => {
                let rest = &self.buffer[self.searched..];
                return (memchr(b'\n', rest).map(|place| self.searched + place), 1);
            }
        };
        let mut pairs = self.buffer[self.searched..].chunks_exact(2);
        let place = pairs.position(|pair| pair == unit);
        (place.map(|place| self.searched + 2 * place), 2)
    }

    /// Learns the byte order of UTF-16 from the mark at the start of the file, which is no text.
    fn read_mark(&mut self) {
        let mark = self.buffer.get(..2).map(|mark| [mark[0], mark[1]]);
        if mark.is_none() && !self.finished {
            return;
        }
        let name = if mark == Some([0xFF, 0xFE]) {
            "UTF-16LE"
        } else {
            "UTF-16BE"
        };
        if mark == Some([0xFF, 0xFE]) || mark == Some([0xFE, 0xFF]) {
            let _ = self.buffer.split_to(2);
            self.offset += 2;
        }
        self.order = Charset::parse(name).ok();
    }

    fn decode(&self, raw: Bytes, start: u64) -> Result<Bytes, Undecodable> {
        if self.input.is_utf8() {
            let Err(error) = std::str::from_utf8(&raw) else {
                return Ok(raw);
            };
            return match self.on_malformed {
                OnMalformed::Fail => Err(self.malformed(start + error.valid_up_to() as u64)),
                OnMalformed::Replace => Ok(Bytes::from(String::from_utf8_lossy(&raw).into_owned())),
                OnMalformed::Ignore => {
                    let valid = raw.utf8_chunks().map(|chunk| chunk.valid());
                    Ok(Bytes::from(valid.collect::<String>()))
                }
            };
        }
        let charset = self.order.unwrap_or(self.input);
        let mut text = String::new();
        let strict = charset.decoder().decode(&raw, &mut text, true);
        if strict.is_ok() {
            return Ok(Bytes::from(text));
        }
        let replaced = charset.decode_lossy(&raw);
        match self.on_malformed {
            OnMalformed::Fail => Err(self.malformed(start)),
            OnMalformed::Replace => Ok(Bytes::from(replaced)),
            OnMalformed::Ignore => Ok(Bytes::from(
                replaced.replace(char::REPLACEMENT_CHARACTER, ""),
            )),
        }
    }

    fn malformed(&self, offset: u64) -> Undecodable {
        Undecodable {
            reason: format!("what is in the file is not {}", self.input),
            offset,
        }
    }
}

/// Bytes of the first `max` characters, as Java counts them, but of one at least; what is malformed counts as one.
fn utf8_prefix(bytes: &[u8], max: usize) -> usize {
    let mut left = max.max(2);
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.len_utf16() > left {
                return end;
            }
            left -= c.len_utf16();
            end += c.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            if left == 0 {
                return end;
            }
            left -= 1;
            end += chunk.invalid().len();
        }
    }
    end
}
