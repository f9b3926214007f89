//! MessagePack, as far as the forward protocol needs it: bounded, without recursion until the bounds are checked.

use super::FluentError;

/// Most arrays and maps within each other.
pub(super) const MAX_DEPTH: usize = 64;

/// The first bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Msgpack<'a> {
    Nil,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float32(f32),
    Float64(f64),
    /// Text or binary: senders mix them up.
    Bytes(&'a [u8]),
    Array(usize),
    /// Number of pairs.
    Map(usize),
    Extension(i8, &'a [u8]),
}

/// What a value begins with: kind, bytes of its head, bytes of its payload.
struct Head {
    kind: u8,
    head: usize,
    payload: usize,
}

fn number(bytes: &[u8], from: usize, length: usize) -> Option<u64> {
    let digits = bytes.get(from..from + length)?;
    Some(
        digits
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
    )
}

/// `None`: more bytes are needed.
fn head(bytes: &[u8]) -> Result<Option<Head>, FluentError> {
    let Some(&kind) = bytes.first() else {
        return Ok(None);
    };
    let fixed = |head, payload| {
        Some(Head {
            kind,
            head,
            payload,
        })
    };
    // A length of so many bytes stands behind the kind; `extra` belongs to the head, too.
    let counted = |width: usize, extra: usize| {
        let payload = number(bytes, 1, width)? as usize;
        fixed(1 + width + extra, payload)
    };
    Ok(match kind {
        0x00..=0x9f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => fixed(1, 0),
        0xa0..=0xbf => fixed(1, usize::from(kind & 0x1f)),
        0xc4 | 0xd9 => counted(1, 0),
        0xc5 | 0xda => counted(2, 0),
        0xc6 | 0xdb => counted(4, 0),
        0xc7 => counted(1, 1),
        0xc8 => counted(2, 1),
        0xc9 => counted(4, 1),
        0xcc..=0xcf => fixed(1, 1 << (kind - 0xcc)),
        0xd0..=0xd3 => fixed(1, 1 << (kind - 0xd0)),
        0xca => fixed(1, 4),
        0xcb => fixed(1, 8),
        0xd4..=0xd8 => fixed(2, 1 << (kind - 0xd4)),
        0xdc | 0xde => fixed(3, 0),
        0xdd | 0xdf => fixed(5, 0),
        0xc1 => return Err(FluentError::Broken("the byte c1 begins no value")),
    })
}

/// The first token and its length; `None`: more bytes are needed.
fn token(bytes: &[u8]) -> Result<Option<(Msgpack<'_>, usize)>, FluentError> {
    let Some(Head {
        kind,
        head,
        payload,
    }) = head(bytes)?
    else {
        return Ok(None);
    };
    let length = head + payload;
    if bytes.len() < length {
        return Ok(None);
    }
    let data = &bytes[head..length];
    let raw = number(bytes, 1, payload.min(8)).unwrap_or_default();
    let count = |width| number(bytes, 1, width).unwrap_or_default() as usize;
    let token = match kind {
        0x00..=0x7f => Msgpack::Unsigned(kind.into()),
        0x80..=0x8f => Msgpack::Map((kind & 15).into()),
        0x90..=0x9f => Msgpack::Array((kind & 15).into()),
        0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => Msgpack::Bytes(data),
        0xc2 | 0xc3 => Msgpack::Bool(kind == 0xc3),
        0xc7..=0xc9 | 0xd4..=0xd8 => Msgpack::Extension(bytes[head - 1] as i8, data),
        0xca => Msgpack::Float32(f32::from_bits(raw as u32)),
        0xcb => Msgpack::Float64(f64::from_bits(raw)),
        0xcc..=0xcf => Msgpack::Unsigned(raw),
        0xd0 => Msgpack::Signed((raw as i8).into()),
        0xd1 => Msgpack::Signed((raw as i16).into()),
        0xd2 => Msgpack::Signed((raw as i32).into()),
        0xd3 => Msgpack::Signed(raw as i64),
        0xdc => Msgpack::Array(count(2)),
        0xdd => Msgpack::Array(count(4)),
        0xde => Msgpack::Map(count(2)),
        0xdf => Msgpack::Map(count(4)),
        0xe0..=0xff => Msgpack::Signed((kind as i8).into()),
        _ => Msgpack::Nil,
    };
    Ok(Some((token, length)))
}

/// Finds the end of a value that comes in pieces. Looks at each byte once.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    position: usize,
    /// Values that are still to come in each open array and map.
    open: Vec<u64>,
}

impl Scanner {
    /// The length of the first value; `None` until all of it is there. `bytes` begins with the same bytes each time.
    pub(super) fn find_end(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
    ) -> Result<Option<usize>, FluentError> {
        loop {
            let Some(Head {
                kind,
                head,
                payload,
            }) = head(&bytes[self.position..])?
            else {
                return Ok(None);
            };
            let end = self.position.saturating_add(head).saturating_add(payload);
            if end > max_bytes {
                return Err(FluentError::TooLarge(max_bytes));
            }
            if end > bytes.len() {
                return Ok(None);
            }
            let values = match kind {
                0x80..=0x8f => 2 * u64::from(kind & 15),
                0x90..=0x9f => (kind & 15).into(),
                0xdc | 0xdd => number(bytes, self.position + 1, head - 1).unwrap_or_default(),
                0xde | 0xdf => 2 * number(bytes, self.position + 1, head - 1).unwrap_or_default(),
                _ => 0,
            };
            self.position = end;
            if values > 0 {
                if self.open.len() == MAX_DEPTH {
                    return Err(FluentError::Broken("it is nested too deeply"));
                }
                self.open.push(values);
                continue;
            }
            while let Some(left) = self.open.last_mut() {
                *left -= 1;
                if *left > 0 {
                    break;
                }
                self.open.pop();
            }
            if self.open.is_empty() {
                *self = Scanner::default();
                return Ok(Some(end));
            }
        }
    }
}

/// Reads a value whose end was found.
#[derive(Clone, Copy)]
pub(super) struct MsgpackReader<'a>(pub(super) &'a [u8]);

impl<'a> MsgpackReader<'a> {
    pub(super) fn next(&mut self) -> Result<Msgpack<'a>, FluentError> {
        let cut = FluentError::Broken("a value ends too early");
        let (token, length) = token(self.0)?.ok_or(cut)?;
        self.0 = &self.0[length..];
        Ok(token)
    }

    /// The bytes of the next value, which is left out.
    pub(super) fn skip(&mut self) -> Result<&'a [u8], FluentError> {
        let end = Scanner::default().find_end(self.0, usize::MAX)?;
        let end = end.ok_or(FluentError::Broken("a value ends too early"))?;
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn text(&mut self) -> Result<String, FluentError> {
        match self.next()? {
            Msgpack::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            _ => Err(FluentError::Broken("expected a text")),
        }
    }

    /// Writes the next value as JSON, until there are more than `max_bytes`.
    pub(super) fn json(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> Result<(), FluentError> {
        match self.next()? {
            Msgpack::Nil => out.extend_from_slice(b"null"),
            Msgpack::Bool(value) => write(out, &value, max_bytes)?,
            Msgpack::Signed(value) => write(out, &value, max_bytes)?,
            Msgpack::Unsigned(value) => write(out, &value, max_bytes)?,
            Msgpack::Float32(value) => write(out, &value, max_bytes)?,
            Msgpack::Float64(value) => write(out, &value, max_bytes)?,
            Msgpack::Bytes(bytes) => write(out, &String::from_utf8_lossy(bytes), max_bytes)?,
            Msgpack::Extension(_, bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                write(out, &hex, max_bytes)?;
            }
            Msgpack::Array(count) => {
                out.push(b'[');
                for place in 0..count {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.json(out, max_bytes)?;
                }
                out.push(b']');
            }
            Msgpack::Map(count) => {
                out.push(b'{');
                for place in 0..count {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.json_key(out, max_bytes)?;
                    out.push(b':');
                    self.json(out, max_bytes)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// Keys that are not text become text.
    fn json_key(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> Result<(), FluentError> {
        let mut key = vec![];
        // A map in a key of a key would be escaped again and again.
        if matches!(
            MsgpackReader(self.0).next()?,
            Msgpack::Array(_) | Msgpack::Map(_)
        ) {
            return Err(FluentError::Broken("the key of a map is an array or a map"));
        }
        self.json(&mut key, max_bytes)?;
        if key.first() == Some(&b'"') {
            out.extend_from_slice(&key);
        } else {
            write(out, &String::from_utf8_lossy(&key), max_bytes)?;
        }
        Ok(())
    }
}

/// Numbers that JSON does not have become `null`.
fn write(
    out: &mut Vec<u8>,
    value: &(impl serde::Serialize + ?Sized),
    max_bytes: usize,
) -> Result<(), FluentError> {
    // Neither a text nor a number can fail, only the limit.
    serde_json::to_writer(Limited(out, max_bytes), value)
        .map_err(|_| FluentError::TooLarge(max_bytes))
}

/// Takes no more than so many bytes: a NUL becomes six.
struct Limited<'a>(&'a mut Vec<u8>, usize);

impl std::io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > self.1 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Appends a text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0xdb);
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}
