//! Reading messages. Strings and bodies are slices of the buffer they came in: nothing is copied.

use bytes::Bytes;
use flume_core::Str;

use super::{MAX_DEPTH, MessageType, ThriftError, ThriftProtocol, ThriftType};
use crate::{MAX_MESSAGE_PARTS, avro::text};

/// The first byte of a message in the compact protocol.
pub(super) const COMPACT_ID: u8 = 0x82;
/// The version in its second byte.
pub(super) const COMPACT_VERSION: u8 = 1;
/// The first two bytes of a message with version in the binary protocol.
pub(super) const BINARY_VERSION: u32 = 0x8001_0000;

/// Bytes of the longest number in the compact protocol.
const MAX_VARINT_BYTES: usize = 10;

/// What a message begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// The method.
    pub name: Str,
    /// Call or answer.
    pub ty: MessageType,
    /// A number that the answer repeats.
    pub sequence: i32,
}

/// Reads values from a buffer, one after the other.
#[derive(Clone, Debug)]
pub struct ThriftReader {
    protocol: ThriftProtocol,
    buffer: Bytes,
    at: usize,
    /// The last field of each struct that is open; the compact protocol counts from it.
    last_fields: Vec<i16>,
    /// The compact protocol says the value of a field with its type.
    bool_field: Option<bool>,
    parts: usize,
}

impl ThriftReader {
    /// Begins at the start of `buffer`.
    pub fn new(protocol: ThriftProtocol, buffer: Bytes) -> Self {
        ThriftReader {
            protocol,
            buffer,
            at: 0,
            last_fields: vec![],
            bool_field: None,
            parts: 0,
        }
    }

    /// Bytes that were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The head of a message.
    pub fn message(&mut self) -> Result<MessageHead, ThriftError> {
        match self.protocol {
            ThriftProtocol::Compact => self.compact_message(),
            ThriftProtocol::Binary => self.binary_message(),
        }
    }

    fn compact_message(&mut self) -> Result<MessageHead, ThriftError> {
        let id = self.byte()?;
        let code = self.byte()?;
        if id != COMPACT_ID || code & 0x1f != COMPACT_VERSION {
            return Err(ThriftError::NoMessage(id, self.protocol));
        }
        let sequence = self.varint()? as i32;
        let name = self.string()?;
        let ty = MessageType::of(code >> 5)?;
        Ok(MessageHead { name, ty, sequence })
    }

    fn binary_message(&mut self) -> Result<MessageHead, ThriftError> {
        let first = self.fixed_i32()?;
        if first >= 0 {
            // Without version: the length of the name comes first.
            let name = self.slice(first as usize)?;
            let ty = MessageType::of(self.byte()?)?;
            let sequence = self.fixed_i32()?;
            let name = text(name);
            return Ok(MessageHead { name, ty, sequence });
        }
        if first as u32 & 0xffff_0000 != BINARY_VERSION {
            return Err(ThriftError::NoMessage(
                (first as u32 >> 24) as u8,
                self.protocol,
            ));
        }
        let ty = MessageType::of(first as u8)?;
        let name = self.string()?;
        let sequence = self.fixed_i32()?;
        Ok(MessageHead { name, ty, sequence })
    }

    /// Reads a struct: `read` is given each field and returns whether it knew it; others are skipped.
    pub fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, i16, ThriftType) -> Result<bool, ThriftError>,
    ) -> Result<(), ThriftError> {
        if self.last_fields.len() == MAX_DEPTH {
            return Err(ThriftError::TooDeep);
        }
        self.last_fields.push(0);
        while let Some((id, ty)) = self.field()? {
            if !read(self, id, ty)? {
                self.skip(ty, 0)?;
            }
        }
        self.last_fields.pop();
        Ok(())
    }

    fn field(&mut self) -> Result<Option<(i16, ThriftType)>, ThriftError> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        if self.protocol == ThriftProtocol::Binary {
            let ty = ThriftType::of(head, self.protocol)?;
            let id = i16::from_be_bytes(self.fixed()?);
            return Ok(Some((id, ty)));
        }
        let last = self.last_fields.last().copied().unwrap_or_default();
        let id = match head >> 4 {
            0 => self.zigzag()? as i16,
            step => last.wrapping_add(i16::from(step)),
        };
        let code = head & 0x0f;
        let ty = ThriftType::of(code, self.protocol)?;
        if ty == ThriftType::Bool {
            self.bool_field = Some(code == 1);
        }
        if let Some(last) = self.last_fields.last_mut() {
            *last = id;
        }
        Ok(Some((id, ty)))
    }

    /// The key type, value type and size of a map; an empty one may have no types.
    pub fn map(&mut self) -> Result<(Option<(ThriftType, ThriftType)>, usize), ThriftError> {
        if self.protocol == ThriftProtocol::Binary {
            let key = self.byte()?;
            let value = self.byte()?;
            let size = self.fixed_i32()?;
            let size = self.count(i64::from(size), 2)?;
            if size == 0 {
                return Ok((None, 0));
            }
            let key = ThriftType::of(key, self.protocol)?;
            let value = ThriftType::of(value, self.protocol)?;
            return Ok((Some((key, value)), size));
        }
        let size = self.varint()?;
        let size = self.count(i64::try_from(size).unwrap_or(i64::MAX), 2)?;
        if size == 0 {
            return Ok((None, 0));
        }
        let types = self.byte()?;
        let key = ThriftType::of(types >> 4, self.protocol)?;
        let value = ThriftType::of(types & 0x0f, self.protocol)?;
        Ok((Some((key, value)), size))
    }

    /// The type and number of the items of a list or set.
    pub fn list(&mut self) -> Result<(ThriftType, usize), ThriftError> {
        let head = self.byte()?;
        if self.protocol == ThriftProtocol::Binary {
            let size = self.fixed_i32()?;
            let size = self.count(i64::from(size), 1)?;
            // An empty list may name no type.
            let ty = match (head, size) {
                (0, 0) => ThriftType::Bool,
                _ => ThriftType::of(head, self.protocol)?,
            };
            return Ok((ty, size));
        }
        let size = match head >> 4 {
            15 => self.varint()?,
            size => u64::from(size),
        };
        let size = self.count(i64::try_from(size).unwrap_or(i64::MAX), 1)?;
        let ty = match (head & 0x0f, size) {
            (0, 0) => ThriftType::Bool,
            (code, _) => ThriftType::of(code, self.protocol)?,
        };
        Ok((ty, size))
    }

    /// Bytes.
    pub fn binary(&mut self) -> Result<Bytes, ThriftError> {
        let length = match self.protocol {
            ThriftProtocol::Binary => i64::from(self.fixed_i32()?),
            ThriftProtocol::Compact => i64::try_from(self.varint()?).unwrap_or(i64::MAX),
        };
        let length = usize::try_from(length).map_err(|_| ThriftError::NegativeLength(length))?;
        self.slice(length)
    }

    /// Text. What is not UTF-8 is replaced by U+FFFD.
    pub fn string(&mut self) -> Result<Str, ThriftError> {
        self.binary().map(text)
    }

    /// A number of 32 bits.
    pub fn i32(&mut self) -> Result<i32, ThriftError> {
        match self.protocol {
            ThriftProtocol::Binary => self.fixed_i32(),
            ThriftProtocol::Compact => self.zigzag().map(|value| value as i32),
        }
    }

    /// A number of 64 bits.
    pub fn i64(&mut self) -> Result<i64, ThriftError> {
        match self.protocol {
            ThriftProtocol::Binary => self.fixed().map(i64::from_be_bytes),
            ThriftProtocol::Compact => self.zigzag(),
        }
    }

    /// Counts parts of the message that are about to be read.
    pub fn count_parts(&mut self, count: usize) -> Result<(), ThriftError> {
        self.parts += count;
        if self.parts > MAX_MESSAGE_PARTS {
            return Err(ThriftError::TooManyParts);
        }
        Ok(())
    }

    /// Skips a value.
    pub fn skip(&mut self, ty: ThriftType, depth: usize) -> Result<(), ThriftError> {
        if depth == MAX_DEPTH {
            return Err(ThriftError::TooDeep);
        }
        let binary = self.protocol == ThriftProtocol::Binary;
        match ty {
            ThriftType::Bool if self.bool_field.take().is_some() => Ok(()),
            ThriftType::Bool | ThriftType::Byte => self.byte().map(drop),
            ThriftType::Double => self.slice(8).map(drop),
            ThriftType::I16 if binary => self.slice(2).map(drop),
            ThriftType::I16 | ThriftType::I32 => self.i32().map(drop),
            ThriftType::I64 => self.i64().map(drop),
            ThriftType::Binary => self.binary().map(drop),
            ThriftType::Struct => {
                self.last_fields.push(0);
                while let Some((_, ty)) = self.field()? {
                    self.skip(ty, depth + 1)?;
                }
                self.last_fields.pop();
                Ok(())
            }
            ThriftType::Map => {
                let (types, size) = self.map()?;
                let Some((key, value)) = types else {
                    return Ok(());
                };
                for _ in 0..size {
                    self.skip(key, depth + 1)?;
                    self.skip(value, depth + 1)?;
                }
                Ok(())
            }
            ThriftType::Set | ThriftType::List => {
                let (item, size) = self.list()?;
                (0..size).try_for_each(|_| self.skip(item, depth + 1))
            }
        }
    }

    /// A count of items, each of which takes some bytes: there cannot be more than fit into what is there.
    fn count(&self, count: i64, item_bytes: usize) -> Result<usize, ThriftError> {
        let count = usize::try_from(count).map_err(|_| ThriftError::NegativeLength(count))?;
        if count > (self.buffer.len() - self.at) / item_bytes {
            return Err(ThriftError::Truncated);
        }
        Ok(count)
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut value = 0;
        for place in 0..MAX_VARINT_BYTES {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::LongNumber)
    }

    fn zigzag(&mut self) -> Result<i64, ThriftError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn byte(&mut self) -> Result<u8, ThriftError> {
        let byte = *self.buffer.get(self.at).ok_or(ThriftError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn fixed<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], ThriftError> {
        let rest = &self.buffer[self.at..];
        let fixed = *rest.first_chunk().ok_or(ThriftError::Truncated)?;
        self.at += SIZE;
        Ok(fixed)
    }

    fn fixed_i32(&mut self) -> Result<i32, ThriftError> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn slice(&mut self, length: usize) -> Result<Bytes, ThriftError> {
        if length > self.buffer.len() - self.at {
            return Err(ThriftError::Truncated);
        }
        let start = self.at;
        self.at += length;
        Ok(self.buffer.slice(start..self.at))
    }
}
