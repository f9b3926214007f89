//! Finds the end of a message of the binary protocol that comes without a frame.
//!
//! A scan goes on where it stopped when more bytes come. It looks at each byte at most once, and skips strings by their
//! length, so a client that sends a message in many small pieces costs no more than one that sends it at once.

use super::{MAX_DEPTH, ThriftError, ThriftProtocol, ThriftType};

/// A scan of one message.
#[derive(Clone, Debug)]
pub(super) struct MessageScan {
    /// Where the next value begins. It may be beyond what has come.
    at: usize,
    /// What is still to be passed, the innermost last.
    open: Vec<OpenPart>,
}

#[derive(Clone, Copy, Debug)]
enum OpenPart {
    /// The head of the message.
    Head,
    /// A value of this type.
    Value(ThriftType),
    /// The next field of a struct, or its end.
    Fields,
    /// So many items of a list or a set.
    Items(ThriftType, usize),
    /// So many pairs of a map.
    Pairs(ThriftType, ThriftType, usize),
}

impl Default for MessageScan {
    fn default() -> Self {
        MessageScan {
            at: 0,
            open: vec![OpenPart::Fields, OpenPart::Head],
        }
    }
}

impl MessageScan {
    /// Bytes that the message has at least.
    pub(super) fn known_bytes(&self) -> usize {
        self.at
    }

    /// Goes on as far as `received` reaches, which begins with the message: the bytes of the message once its end is
    /// known and all of it is there.
    pub(super) fn advance(&mut self, received: &[u8]) -> Result<Option<usize>, ThriftError> {
        while let Some(part) = self.open.pop() {
            if !self.pass(part, received)? {
                self.open.push(part);
                return Ok(None);
            }
            if self.open.len() > 2 * MAX_DEPTH {
                return Err(ThriftError::TooDeep);
            }
            // A list that claims to be long costs nothing before its items have come.
            if self.at > received.len() {
                return Ok(None);
            }
        }
        Ok((self.at <= received.len()).then_some(self.at))
    }

    /// Passes a part, or opens what it consists of; `false` if more bytes are needed to know how.
    fn pass(&mut self, part: OpenPart, received: &[u8]) -> Result<bool, ThriftError> {
        let rest = received.get(self.at..).unwrap_or_default();
        match part {
            OpenPart::Head => return self.pass_head(rest),
            OpenPart::Value(ty) => return self.pass_value(ty, rest),
            OpenPart::Fields => {
                let Some(code) = rest.first() else {
                    return Ok(false);
                };
                self.at += 1;
                if *code != 0 {
                    self.at += size_of::<i16>();
                    self.open.push(part);
                    self.open.push(OpenPart::Value(of(*code)?));
                }
            }
            OpenPart::Items(_, 0) | OpenPart::Pairs(_, _, 0) => {}
            OpenPart::Items(item, count) => {
                self.open.push(OpenPart::Items(item, count - 1));
                self.open.push(OpenPart::Value(item));
            }
            OpenPart::Pairs(key, value, count) => {
                self.open.push(OpenPart::Pairs(key, value, count - 1));
                self.open.push(OpenPart::Value(value));
                self.open.push(OpenPart::Value(key));
            }
        }
        Ok(true)
    }

    /// With version: version and type, name, sequence. Without: name, type, sequence.
    fn pass_head(&mut self, rest: &[u8]) -> Result<bool, ThriftError> {
        let Some(first) = int(rest, 0) else {
            return Ok(false);
        };
        let (length, others) = if first >= 0 {
            (first, 4 + 1 + 4)
        } else {
            let Some(length) = int(rest, 4) else {
                return Ok(false);
            };
            (length, 4 + 4 + 4)
        };
        self.at += others + count(length)?;
        Ok(true)
    }

    fn pass_value(&mut self, ty: ThriftType, rest: &[u8]) -> Result<bool, ThriftError> {
        self.at += match ty {
            ThriftType::Bool | ThriftType::Byte => 1,
            ThriftType::I16 => 2,
            ThriftType::I32 => 4,
            ThriftType::I64 | ThriftType::Double => 8,
            ThriftType::Struct => {
                self.open.push(OpenPart::Fields);
                0
            }
            ThriftType::Binary => match int(rest, 0) {
                Some(length) => 4 + count(length)?,
                None => return Ok(false),
            },
            ThriftType::List | ThriftType::Set => match int(rest, 1) {
                Some(0) => 5,
                Some(items) => {
                    let items = OpenPart::Items(of(rest[0])?, count(items)?);
                    self.open.push(items);
                    5
                }
                None => return Ok(false),
            },
            ThriftType::Map => match int(rest, 2) {
                Some(0) => 6,
                Some(pairs) => {
                    let pairs = OpenPart::Pairs(of(rest[0])?, of(rest[1])?, count(pairs)?);
                    self.open.push(pairs);
                    6
                }
                None => return Ok(false),
            },
        };
        Ok(true)
    }
}

fn of(code: u8) -> Result<ThriftType, ThriftError> {
    ThriftType::of(code, ThriftProtocol::Binary)
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_be_bytes(*four))
}

fn count(count: i32) -> Result<usize, ThriftError> {
    usize::try_from(count).map_err(|_| ThriftError::NegativeLength(count.into()))
}
