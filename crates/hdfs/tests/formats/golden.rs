//! Files that Flume's own writers wrote over Hadoop's own classes (`rig/java-hadoop/Golden.java` says how): read by the
//! reader of these tests, and written anew.

use flume_core::Event;
use flume_hdfs::formats::Codec;

use super::{
    event, file_of, format,
    reader::{decode, sequence_file},
};

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The last body is longer than a block of Snappy or LZ4 in the compressed files, and short in the others.
fn golden_batches(last: usize) -> Vec<Vec<Event>> {
    let few = vec![
        event(1_700_000_000_000, "hello"),
        event(-1, ""),
        event(0, b"\xff\xfe\x00\n".to_vec()),
    ];
    let many = (0..200)
        .map(|number| event(number, format!("line {number}")))
        .collect();
    let large = [52_000, 52_000, last].map(|length| event(i64::MAX, vec![b'a'; length]));
    vec![few, many, large.into()]
}

fn ours(properties: &str, batches: &[Vec<Event>]) -> Vec<u8> {
    let slices: Vec<_> = batches.iter().map(Vec::as_slice).collect();
    file_of(&format(properties), &slices).pop().expect("a file")
}

fn name(codec: Codec) -> &'static str {
    let simple = codec.class().rsplit('.').next().expect("a name");
    simple.strip_suffix("Codec").expect("a codec")
}

/// Those that Hadoop has without its native library.
fn codecs() -> impl Iterator<Item = Codec> {
    Codec::ALL
        .iter()
        .copied()
        .filter(|codec| *codec != Codec::Zstd)
}

/// The sync marker is random; it ends the header.
fn with_marker(bytes: &[u8], header: usize, marker: &[u8]) -> Vec<u8> {
    let old = &bytes[header - 16..header];
    let mut out = vec![];
    let mut at = 0;
    while at < bytes.len() {
        let found = bytes[at..].starts_with(old);
        out.extend_from_slice(if found { marker } else { &bytes[at..=at] });
        at += if found { 16 } else { 1 };
    }
    out
}

#[test]
fn records_are_written_byte_by_byte_as_by_hadoop() {
    for (write_format, header) in [("Writable", 0x5f), ("Text", 0x56)] {
        let golden = golden(&format!("{write_format}.seq"));
        let ours = ours(
            &format!("hdfs.writeFormat = {write_format}"),
            &golden_batches(1000),
        );
        assert!(
            with_marker(&golden, header, &ours[header - 16..header]) == ours,
            "{write_format}"
        );
        let file = sequence_file(&golden, None);
        assert_eq!(file.syncs, 4, "one a flush, and one after 100 KiB");
    }
}

#[test]
fn blocks_are_those_of_hadoop_apart_from_how_well_they_are_compressed() {
    let batches = golden_batches(300_000);
    for codec in codecs() {
        let golden = sequence_file(&golden(&format!("{}.seq", name(codec))), Some(codec));
        let ours = sequence_file(
            &ours(&format!("hdfs.codeC = {}", codec.class()), &batches),
            Some(codec),
        );
        assert_eq!(golden.codec_class, ours.codec_class);
        assert_eq!(golden.value_class, ours.value_class);
        assert!(golden.records == ours.records, "{codec:?}");
        assert_eq!((golden.records.len(), golden.syncs), (206, 3), "{codec:?}");
        assert_eq!(ours.syncs, 3, "{codec:?}");
    }
}

#[test]
fn streams_decode_to_the_same() {
    let batches = golden_batches(300_000);
    let bodies: Vec<u8> = batches
        .iter()
        .flatten()
        .flat_map(|event| [&event.body[..], b"\n"].concat())
        .collect();
    for codec in codecs() {
        let golden = golden(&format!("{}.stream", name(codec)));
        let ours = ours(
            &format!(
                "hdfs.fileType = CompressedStream\nhdfs.codeC = {}",
                codec.class()
            ),
            &batches,
        );
        assert!(decode(codec, &golden) == bodies, "Flume's, {codec:?}");
        assert!(decode(codec, &ours) == bodies, "ours, {codec:?}");
    }
}
