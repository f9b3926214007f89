//! Apache Avro 1.11: the binary encoding of values, schemas, container files, calls.

mod codec;
mod container;
mod container_reader;
mod datum;
pub mod ipc;
mod schema;
mod shape;

pub use codec::Codec;
pub use container::{ContainerWriter, DEFAULT_SYNC_INTERVAL_BYTES, SYNC_INTERVALS};
pub use container_reader::{ContainerBlock, ContainerError, ContainerReader};
pub use datum::{DatumError, DatumReader, text, write_event, write_events};
pub use schema::Schema;
pub use shape::Shape;

/// `long` and `int`: zig-zag, seven bits a byte, little end first.
pub fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// `bytes` and `string`: the length, then the bytes.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_zigzag() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ),
        ] {
            let mut out = vec![];
            write_long(value, &mut out);
            assert_eq!(out, bytes, "{value}");
        }
    }
}
