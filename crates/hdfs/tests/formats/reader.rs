//! Readers: codecs by the crates' own decoders, Hadoop's framing and SequenceFile by hand, in the order a reader of
//! theirs goes.

use std::io::Read;

use flume_hdfs::formats::Codec;

/// All members, streams or frames of `bytes`.
pub(crate) fn decode(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut raw = vec![];
    match codec {
        Codec::Gzip => drop(
            flate2::read::MultiGzDecoder::new(bytes)
                .read_to_end(&mut raw)
                .expect("gzip"),
        ),
        Codec::Bzip2 => drop(
            bzip2::read::MultiBzDecoder::new(bytes)
                .read_to_end(&mut raw)
                .expect("bzip2"),
        ),
        Codec::Zstd => drop(
            zstd::Decoder::new(bytes)
                .expect("zstd")
                .read_to_end(&mut raw)
                .expect("zstd"),
        ),
        Codec::Default | Codec::Deflate => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let mut stream = flate2::bufread::ZlibDecoder::new(rest);
                stream.read_to_end(&mut raw).expect("zlib");
                rest = stream.into_inner();
            }
        }
        Codec::Snappy => blocks(bytes, &mut raw, |chunk, _| {
            snap::raw::Decoder::new()
                .decompress_vec(chunk)
                .expect("snappy")
        }),
        Codec::Lz4 => blocks(bytes, &mut raw, |chunk, most| {
            lz4_flex::block::decompress(chunk, most).expect("lz4")
        }),
    }
    raw
}

/// Hadoop's block framing. Its decoders keep 256 KiB for a chunk, raw and compressed, and stop at an empty block, which
/// Hadoop itself writes after a long one at the end.
fn blocks(bytes: &[u8], raw: &mut Vec<u8>, decompress: impl Fn(&[u8], usize) -> Vec<u8>) {
    let mut bytes = Bytes(bytes);
    while !bytes.0.is_empty() {
        let end = raw.len() + bytes.u32() as usize;
        assert!(
            end > raw.len() || bytes.0.is_empty(),
            "an empty block ends a file"
        );
        while raw.len() < end {
            let length = bytes.u32() as usize;
            let chunk = decompress(bytes.take(length), end - raw.len());
            assert!(length <= 256 * 1024 && chunk.len() <= 256 * 1024);
            raw.extend_from_slice(&chunk);
        }
        assert_eq!(raw.len(), end);
    }
}

/// A SequenceFile, read from its start.
pub(crate) struct SequenceFile {
    pub(crate) value_class: String,
    pub(crate) codec_class: Option<String>,
    pub(crate) records: Vec<(i64, Vec<u8>)>,
    /// Sync markers after the header.
    pub(crate) syncs: usize,
}

/// `codec` is what the file is expected to be compressed with.
pub(crate) fn sequence_file(bytes: &[u8], codec: Option<Codec>) -> SequenceFile {
    let mut bytes = Bytes(bytes);
    assert_eq!(bytes.take(4), b"SEQ\x06");
    assert_eq!(bytes.text(), "org.apache.hadoop.io.LongWritable");
    let value_class = bytes.text();
    let compressed = [bytes.take(1)[0], bytes.take(1)[0]];
    assert_eq!(compressed, [u8::from(codec.is_some()); 2]);
    let codec_class = codec.map(|_| bytes.text());
    assert_eq!(bytes.u32(), 0, "metadata");
    let marker = bytes.take(16);
    let mut file = SequenceFile {
        value_class,
        codec_class,
        records: vec![],
        syncs: 0,
    };
    while !bytes.0.is_empty() {
        let length = bytes.u32();
        if length == u32::MAX {
            assert_eq!(bytes.take(16), marker);
            file.syncs += 1;
            let Some(codec) = codec else { continue };
            let count = bytes.vlong();
            let mut parts = [(); 4].map(|()| {
                let length = bytes.vlong() as usize;
                decode(codec, bytes.take(length))
            });
            let [mut key_lengths, mut keys, mut value_lengths, mut values] =
                parts.each_mut().map(|part| Bytes(part));
            for _ in 0..count {
                let key = key_lengths.vlong() as usize;
                let value = value_lengths.vlong() as usize;
                let record = (keys.take(key), values.take(value));
                file.records
                    .push(read_record(record.0, record.1, &file.value_class));
            }
            let rests = [key_lengths, keys, value_lengths, values].map(|part| part.0.len());
            assert_eq!(rests, [0; 4]);
        } else {
            assert!(codec.is_none(), "blocks begin with a sync marker");
            let mut record = Bytes(bytes.take_after_length(length));
            file.records
                .push(read_record(record.take(8), record.0, &file.value_class));
        }
    }
    file
}

fn read_record(key: &[u8], value: &[u8], class: &str) -> (i64, Vec<u8>) {
    let key = i64::from_be_bytes(key.try_into().expect("eight bytes"));
    let mut value = Bytes(value);
    let length = if class.ends_with("Text") {
        value.vlong() as usize
    } else {
        value.u32() as usize
    };
    assert_eq!(length, value.0.len());
    (key, value.0.to_vec())
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    /// The rest of a record of `length` bytes, after the length of its key.
    fn take_after_length(&mut self, length: u32) -> &'a [u8] {
        assert_eq!(self.u32(), 8, "the key's length");
        self.take(length as usize)
    }

    fn text(&mut self) -> String {
        let length = self.vlong() as usize;
        String::from_utf8(self.take(length).to_vec()).expect("UTF-8")
    }

    fn vlong(&mut self) -> i64 {
        let first = self.take(1)[0] as i8;
        let (length, negative) = match first {
            -112..=127 => return i64::from(first),
            -120..=-113 => (-112 - first, false),
            _ => (-120 - first, true),
        };
        let number = self
            .take(length as usize)
            .iter()
            .fold(0, |number, byte| number << 8 | i64::from(*byte));
        if negative { !number } else { number }
    }
}
