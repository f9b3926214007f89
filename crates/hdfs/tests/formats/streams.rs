//! Every file type with every codec: after each flush, everything so far is there.

use flume_core::Event;
use flume_hdfs::formats::Codec;

use super::{
    event, file_of, format,
    reader::{decode, sequence_file},
    start,
};

/// Bodies that compress well, badly, and not at all; short, empty, and longer than any buffer.
fn batches() -> Vec<Vec<Event>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = |length: usize| (0..length).map(|_| random.u8(..)).collect::<Vec<_>>();
    vec![
        vec![
            event(1_700_000_000_000, "hello"),
            event(-1, ""),
            event(0, b"\xff\xfe\x00\n".to_vec()),
        ],
        (0..5000)
            .map(|number| event(number, format!("line {number} of many that look alike")))
            .collect(),
        vec![],
        vec![
            event(i64::MIN, noise(300_000)),
            event(i64::MAX, noise(3)),
            event(1, vec![b'a'; 1_000_000]),
        ],
        (0..100).map(|number| event(number, noise(500))).collect(),
    ]
}

fn lines(batches: &[Vec<Event>]) -> Vec<u8> {
    let bodies = batches
        .iter()
        .flatten()
        .map(|event| [&event.body[..], b"\n"].concat());
    bodies.collect::<Vec<_>>().concat()
}

fn records(batches: &[Vec<Event>]) -> Vec<(i64, Vec<u8>)> {
    let key = |event: &Event| {
        event
            .headers
            .get("timestamp")
            .expect("a key")
            .parse()
            .expect("a number")
    };
    batches
        .iter()
        .flatten()
        .map(|event| (key(event), event.body.to_vec()))
        .collect()
}

#[test]
fn a_data_stream_is_what_the_serializer_writes() {
    let format = format("hdfs.fileType = DataStream");
    let batches = batches();
    let slices: Vec<_> = batches.iter().map(Vec::as_slice).collect();
    for (number, stage) in file_of(&format, &slices).iter().enumerate() {
        assert!(*stage == lines(&batches[..(number + 1).min(batches.len())]));
    }
}

#[test]
fn a_compressed_stream_can_be_read_after_each_flush() {
    let batches = batches();
    let slices: Vec<_> = batches.iter().map(Vec::as_slice).collect();
    for codec in Codec::ALL {
        let format = format(&format!(
            "hdfs.fileType = CompressedStream\nhdfs.codeC = {}",
            codec.class()
        ));
        let stages = file_of(&format, &slices);
        for (number, stage) in stages.iter().enumerate() {
            let expected = lines(&batches[..(number + 1).min(batches.len())]);
            assert!(
                decode(*codec, stage) == expected,
                "{codec:?}, stage {number}"
            );
        }
        assert_eq!(
            stages[1], stages[2],
            "{codec:?}: an empty batch writes nothing"
        );
        assert_eq!(
            stages[4], stages[5],
            "{codec:?}: nothing is left for the end"
        );
    }
}

#[test]
fn a_sequence_file_can_be_read_after_each_flush() {
    let batches = batches();
    let slices: Vec<_> = batches.iter().map(Vec::as_slice).collect();
    for codec in Codec::ALL.iter().copied().map(Some).chain([None]) {
        for (write_format, class) in [
            ("Writable", "org.apache.hadoop.io.BytesWritable"),
            ("Text", "org.apache.hadoop.io.Text"),
        ] {
            let class_of_codec = codec.map_or("None", Codec::class);
            let format = format(&format!(
                "hdfs.codeC = {class_of_codec}\nhdfs.writeFormat = {write_format}"
            ));
            for (number, stage) in file_of(&format, &slices).iter().enumerate() {
                let file = sequence_file(stage, codec);
                assert_eq!(file.value_class, class);
                assert_eq!(file.codec_class.as_deref(), codec.map(Codec::class));
                let expected = records(&batches[..(number + 1).min(batches.len())]);
                assert!(
                    file.records == expected,
                    "{codec:?} {write_format}, stage {number}"
                );
                assert!(file.syncs > number.min(1));
            }
        }
    }
}

#[test]
fn a_record_without_timestamp_has_the_time_of_writing() {
    let before = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_millis() as i64;
    let stages = file_of(&format(""), &[&[Event::from("a")]]);
    let (key, _) = sequence_file(&stages[1], None).records[0];
    assert!((before..before + 60_000).contains(&key));
}

#[test]
fn an_event_that_has_no_key_is_refused_and_leaves_the_file_alone() {
    for codec in ["None", "gzip"] {
        let mut serializer = start(&format(&format!("hdfs.codeC = {codec}")));
        let mut out = vec![];
        serializer.begin(&mut out);
        let before = out.clone();
        let mut wrong = event(1, "a");
        wrong.headers.set("timestamp".into(), "yesterday".into());
        let reason = serializer.write(&wrong, &mut out).expect_err("refused");
        assert!(reason.contains("`yesterday`"));
        serializer.end(&mut out);
        assert_eq!(before, out);
    }
}

#[test]
fn files_that_are_written_at_the_same_time_do_not_meet() {
    let batches = batches();
    for codec in Codec::ALL {
        for file_type in ["CompressedStream", "SequenceFile"] {
            let format = format(&format!(
                "hdfs.fileType = {file_type}\nhdfs.codeC = {}",
                codec.class()
            ));
            let mut files: Vec<_> = (0..20).map(|_| (start(&format), vec![], vec![])).collect();
            files
                .iter_mut()
                .for_each(|(serializer, out, _)| serializer.begin(out));
            for (number, event) in batches[1].iter().enumerate() {
                let (serializer, out, written) = &mut files[(number * 7 + number / 20) % 20];
                serializer.write(event, out).expect("written");
                written.push(event.clone());
                if number % 7 == 0 {
                    serializer.flush(out);
                }
            }
            for (mut serializer, mut out, written) in files {
                serializer.end(&mut out);
                let written = [written];
                match file_type {
                    "SequenceFile" => {
                        assert!(sequence_file(&out, Some(*codec)).records == records(&written))
                    }
                    _ => assert!(decode(*codec, &out) == lines(&written), "{codec:?}"),
                }
            }
        }
    }
}
