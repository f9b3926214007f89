//! Writing messages.

use super::{
    MessageType, ThriftProtocol, ThriftType,
    reader::{BINARY_VERSION, COMPACT_ID, COMPACT_VERSION},
};

/// Appends values to a buffer.
pub struct ThriftWriter<'a> {
    protocol: ThriftProtocol,
    out: &'a mut Vec<u8>,
    /// The last field of each struct that is open; the compact protocol counts from it.
    last_fields: Vec<i16>,
}

impl<'a> ThriftWriter<'a> {
    /// Appends to `out`.
    pub fn new(protocol: ThriftProtocol, out: &'a mut Vec<u8>) -> Self {
        ThriftWriter {
            protocol,
            out,
            last_fields: vec![],
        }
    }

    /// The head of a message.
    pub fn message(&mut self, name: &str, ty: MessageType, sequence: i32) {
        match self.protocol {
            ThriftProtocol::Compact => {
                self.out.push(COMPACT_ID);
                self.out.push((ty as u8) << 5 | COMPACT_VERSION);
                self.varint(u64::from(sequence as u32));
                self.binary(name.as_bytes());
            }
            ThriftProtocol::Binary => {
                self.fixed((BINARY_VERSION | ty as u32) as i32);
                self.binary(name.as_bytes());
                self.fixed(sequence);
            }
        }
    }

    /// The head of a message of the binary protocol without version: what old servers answer with.
    pub fn message_without_version(&mut self, name: &str, ty: MessageType, sequence: i32) {
        self.binary(name.as_bytes());
        self.out.push(ty as u8);
        self.fixed(sequence);
    }

    /// Begins a struct.
    pub fn begin_struct(&mut self) {
        self.last_fields.push(0);
    }

    /// Ends the struct that began last.
    pub fn end_struct(&mut self) {
        self.last_fields.pop();
        self.out.push(0);
    }

    /// The head of a field; its value follows.
    pub fn field(&mut self, ty: ThriftType, id: i16) {
        let code = ty.code(self.protocol);
        if self.protocol == ThriftProtocol::Binary {
            self.out.push(code);
            self.out.extend_from_slice(&id.to_be_bytes());
            return;
        }
        let last = self.last_fields.last_mut();
        let step = last.map_or(0, |last| id - std::mem::replace(last, id));
        if (1..=15).contains(&step) {
            self.out.push((step as u8) << 4 | code);
        } else {
            self.out.push(code);
            self.zigzag(i64::from(id));
        }
    }

    /// The head of a map; keys and values follow in turn.
    pub fn map(&mut self, key: ThriftType, value: ThriftType, size: usize) {
        let key = key.code(self.protocol);
        let value = value.code(self.protocol);
        match self.protocol {
            ThriftProtocol::Binary => {
                self.out.push(key);
                self.out.push(value);
                self.fixed(size as i32);
            }
            ThriftProtocol::Compact => {
                self.varint(size as u64);
                if size > 0 {
                    self.out.push(key << 4 | value);
                }
            }
        }
    }

    /// The head of a list; its items follow.
    pub fn list(&mut self, item: ThriftType, size: usize) {
        let item = item.code(self.protocol);
        match self.protocol {
            ThriftProtocol::Binary => {
                self.out.push(item);
                self.fixed(size as i32);
            }
            ThriftProtocol::Compact if size < 15 => self.out.push((size as u8) << 4 | item),
            ThriftProtocol::Compact => {
                self.out.push(0xf0 | item);
                self.varint(size as u64);
            }
        }
    }

    /// Bytes, or text.
    pub fn binary(&mut self, bytes: &[u8]) {
        match self.protocol {
            ThriftProtocol::Binary => self.fixed(bytes.len() as i32),
            ThriftProtocol::Compact => self.varint(bytes.len() as u64),
        }
        self.out.extend_from_slice(bytes);
    }

    /// A number of 32 bits.
    pub fn i32(&mut self, value: i32) {
        match self.protocol {
            ThriftProtocol::Binary => self.fixed(value),
            ThriftProtocol::Compact => self.zigzag(i64::from(value)),
        }
    }

    fn fixed(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn zigzag(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63) as u64);
    }

    fn varint(&mut self, mut rest: u64) {
        while rest > 0x7f {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }
}
