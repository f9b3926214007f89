//! Reading values. What is read are slices of the buffer they came in: nothing is copied.

use bytes::Bytes;
use flume_core::{Event, Headers, Str};

use super::{write_bytes, write_long};
use crate::MAX_MESSAGE_PARTS;

/// Bytes of the longest `long`.
const MAX_LONG_BYTES: usize = 10;
/// The fewest bytes of an event, and of a header: two lengths.
const MIN_PART_BYTES: usize = 2;

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatumError {
    /// The buffer ends inside of a value.
    #[error("the data ends too early")]
    Truncated,
    /// A number has more bytes than the largest.
    #[error("a number has more than {MAX_LONG_BYTES} bytes")]
    LongNumber,
    /// A length is negative.
    #[error("a length is negative: {0}")]
    NegativeLength(i64),
    /// A union has no such branch.
    #[error("a union has no branch {0}")]
    NoBranch(i64),
    /// More headers and events than [`MAX_MESSAGE_PARTS`](crate::MAX_MESSAGE_PARTS).
    #[error("more than {MAX_MESSAGE_PARTS} headers and events are in one message")]
    TooManyParts,
}

/// Reads values from a buffer, one after the other.
#[derive(Clone, Debug)]
pub struct DatumReader {
    buffer: Bytes,
    at: usize,
    /// Headers and events so far.
    parts: usize,
}

impl DatumReader {
    /// Begins at the start of `buffer`.
    pub fn new(buffer: Bytes) -> Self {
        DatumReader {
            buffer,
            at: 0,
            parts: 0,
        }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// `long`, `int`, and the symbol of an enum.
    pub fn long(&mut self) -> Result<i64, DatumError> {
        let rest = &self.buffer[self.at..];
        let mut value = 0u64;
        for (place, byte) in rest.iter().take(MAX_LONG_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.at += place + 1;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        if rest.len() < MAX_LONG_BYTES {
            Err(DatumError::Truncated)
        } else {
            Err(DatumError::LongNumber)
        }
    }

    /// A single byte: a `boolean`.
    pub fn byte(&mut self) -> Result<u8, DatumError> {
        let byte = *self.buffer.get(self.at).ok_or(DatumError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    /// `fixed` of that size.
    pub fn fixed<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], DatumError> {
        let rest = &self.buffer[self.at..];
        let fixed = *rest.first_chunk().ok_or(DatumError::Truncated)?;
        self.at += SIZE;
        Ok(fixed)
    }

    /// `bytes`.
    pub fn bytes(&mut self) -> Result<Bytes, DatumError> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| DatumError::NegativeLength(length))?;
        if length > self.remaining() {
            return Err(DatumError::Truncated);
        }
        let start = self.at;
        self.at += length;
        Ok(self.buffer.slice(start..self.at))
    }

    /// Passes over so many bytes.
    pub fn skip(&mut self, bytes: usize) -> Result<(), DatumError> {
        if bytes > self.remaining() {
            return Err(DatumError::Truncated);
        }
        self.at += bytes;
        Ok(())
    }

    /// Where it is in its buffer.
    pub fn position(&self) -> usize {
        self.at
    }

    /// `string`. What is not UTF-8 is replaced by U+FFFD, as in Java.
    pub fn string(&mut self) -> Result<Str, DatumError> {
        let bytes = self.bytes()?;
        Ok(text(bytes))
    }

    /// The items of the next block of an array or map; 0 ends it.
    pub fn block(&mut self) -> Result<u64, DatumError> {
        let count = self.long()?;
        if count < 0 {
            // The block's size in bytes follows, for readers that want to skip it.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    /// The branch of a union that has `branches`.
    pub fn branch(&mut self, branches: i64) -> Result<i64, DatumError> {
        let branch = self.long()?;
        if (0..branches).contains(&branch) {
            Ok(branch)
        } else {
            Err(DatumError::NoBranch(branch))
        }
    }

    /// Skips a map of bytes: the metadata of a call.
    pub fn skip_metadata(&mut self) -> Result<(), DatumError> {
        loop {
            let entries = self.block()?;
            if entries == 0 {
                return Ok(());
            }
            self.count_parts(entries)?;
            for _ in 0..entries {
                self.bytes()?;
                self.bytes()?;
            }
        }
    }

    /// An event: a record of `headers`, a map of strings, and `body`, bytes.
    pub fn event(&mut self) -> Result<Event, DatumError> {
        let headers = self.headers()?;
        let body = self.bytes()?;
        Ok(Event { headers, body })
    }

    /// An array of events.
    pub fn events(&mut self) -> Result<Vec<Event>, DatumError> {
        let mut events = vec![];
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(events);
            }
            events.reserve(self.count_parts(count)?);
            for _ in 0..count {
                events.push(self.event()?);
            }
        }
    }

    fn headers(&mut self) -> Result<Headers, DatumError> {
        let mut left = self.block()?;
        if left == 0 {
            return Ok(Headers::default());
        }
        self.count_parts(left)?;
        let pairs = std::iter::from_fn(|| {
            while left == 0 {
                left = match self.next_block() {
                    Ok(0) => return None,
                    Ok(count) => count,
                    Err(error) => return Some(Err(error)),
                };
            }
            left -= 1;
            Some(self.pair())
        });
        pairs.collect()
    }

    fn next_block(&mut self) -> Result<u64, DatumError> {
        let count = self.block()?;
        self.count_parts(count)?;
        Ok(count)
    }

    fn pair(&mut self) -> Result<(Str, Str), DatumError> {
        Ok((self.string()?, self.string()?))
    }

    /// Counts parts that are said to follow: there cannot be more than fit into what is there.
    fn count_parts(&mut self, count: u64) -> Result<usize, DatumError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > self.remaining() / MIN_PART_BYTES {
            return Err(DatumError::Truncated);
        }
        self.parts += count;
        if self.parts > MAX_MESSAGE_PARTS {
            return Err(DatumError::TooManyParts);
        }
        Ok(count)
    }
}

/// Bytes as text. What is not UTF-8 is replaced by U+FFFD.
pub fn text(bytes: Bytes) -> Str {
    Str::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

/// Writes an event: the inverse of [`DatumReader::event`]. A map is a block of its pairs, unless it is empty, and an
/// empty block.
pub fn write_event(event: &Event, out: &mut Vec<u8>) {
    if !event.headers.is_empty() {
        write_long(event.headers.iter().count() as i64, out);
        for (name, value) in event.headers.iter() {
            write_bytes(name.as_bytes(), out);
            write_bytes(value.as_bytes(), out);
        }
    }
    write_long(0, out);
    write_bytes(&event.body, out);
}

/// Writes an array of events: the inverse of [`DatumReader::events`].
pub fn write_events(events: &[Event], out: &mut Vec<u8>) {
    if !events.is_empty() {
        write_long(events.len() as i64, out);
        events.iter().for_each(|event| write_event(event, out));
    }
    write_long(0, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Event {
        let pairs = headers.iter();
        Event {
            headers: pairs
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            body: Bytes::from_static(body),
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<Event>, DatumError> {
        DatumReader::new(Bytes::copy_from_slice(bytes)).events()
    }

    #[test]
    fn events_come_back_and_are_slices_of_the_buffer() {
        let events = [
            event(&[("a", "1"), ("b", "")], b"body"),
            event(&[], b""),
            event(&[("", "\u{e9}")], &[0, 0xff]),
        ];
        let mut out = vec![];
        write_events(&events, &mut out);
        let buffer = Bytes::from(out);
        let range = buffer.as_ptr_range();
        let mut reader = DatumReader::new(buffer.clone());
        let read = reader.events().unwrap();
        assert_eq!(read, events);
        assert_eq!(reader.remaining(), 0);
        let header = read[0].headers.get("a").unwrap();
        assert!(range.contains(&read[0].body.as_ptr()) && range.contains(&header.as_ptr()));
    }

    #[test]
    fn longs_are_read_as_they_are_written() {
        for value in [0, -1, 1, 63, -64, 64, 1 << 40, i64::MIN, i64::MAX] {
            let mut out = vec![];
            write_long(value, &mut out);
            assert_eq!(DatumReader::new(out.into()).long(), Ok(value));
        }
        let mut reader = DatumReader::new(Bytes::from_static(&[0x80; 11]));
        assert_eq!(reader.long(), Err(DatumError::LongNumber));
    }

    #[test]
    fn blocks_may_be_many_and_have_sizes() {
        // Two blocks: one event; then one with its size in bytes, which has a map in two blocks.
        let bytes = [
            2, 0, 2, b'x', 1, 20, 2, 2, b'a', 2, b'1', 1, 8, 2, b'b', 2, b'2', 0, 2, b'y', 0,
        ];
        let expected = [event(&[], b"x"), event(&[("a", "1"), ("b", "2")], b"y")];
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_allocated() {
        let mut many = vec![];
        write_long(i64::MAX, &mut many);
        assert_eq!(read(&many), Err(DatumError::Truncated));
        assert_eq!(read(&[2, 0, 3]), Err(DatumError::NegativeLength(-2)));
        let mut parts = vec![];
        write_long(MAX_MESSAGE_PARTS as i64 + 1, &mut parts);
        parts.resize(parts.len() + 2 * MAX_MESSAGE_PARTS + 2, 0);
        assert_eq!(read(&parts), Err(DatumError::TooManyParts));
    }

    #[test]
    fn every_cut_is_an_error() {
        let mut out = vec![];
        write_events(&[event(&[("name", "value")], b"body")], &mut out);
        for end in 0..out.len() {
            assert_eq!(read(&out[..end]), Err(DatumError::Truncated), "{end}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_replaced() {
        let mut reader = DatumReader::new(Bytes::from_static(&[4, 0xff, b'a']));
        assert_eq!(reader.string().unwrap(), "\u{fffd}a");
    }
}
