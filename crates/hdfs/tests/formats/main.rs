//! What the files hold, read back with decoders that are not this project's where there are some.

mod golden;
mod reader;
mod streams;

use flume_core::{BuildError, Context, Event, EventSerializer};
use flume_hdfs::formats::{Format, FormatConfig};
use flume_testkit::parts::read;

fn try_format(text: &str) -> Result<Format, String> {
    let (config, problems) = read::<FormatConfig>(&flume_components::REGISTRY, "a1.sinks.k1", text);
    let config = config.ok_or_else(|| problems.join("\n"))?;
    assert!(problems.is_empty(), "{problems:?}");
    let format = config.format();
    format.map_err(|error: BuildError| error.to_string())
}

fn format(text: &str) -> Format {
    try_format(text).unwrap_or_else(|error| panic!("{error}"))
}

fn start(format: &Format) -> Box<dyn EventSerializer> {
    format
        .start(&Context::new("a1.sinks.k1", &["c1"]))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What a file holds after each of `batches`, as each flush leaves it, and at last after its end.
fn file_of(format: &Format, batches: &[&[Event]]) -> Vec<Vec<u8>> {
    let mut serializer = start(format);
    let mut out = vec![];
    serializer.begin(&mut out);
    let mut stages = vec![];
    for batch in batches {
        for event in *batch {
            serializer
                .write(event, &mut out)
                .unwrap_or_else(|reason| panic!("{reason}"));
        }
        serializer.flush(&mut out);
        stages.push(out.clone());
    }
    serializer.end(&mut out);
    stages.push(out);
    stages
}

fn event(timestamp: i64, body: impl Into<Vec<u8>>) -> Event {
    let mut event = Event::from(body.into());
    event
        .headers
        .set("timestamp".into(), timestamp.to_string().into());
    event
}

#[test]
fn properties_that_do_not_go_together_are_refused() {
    let refused = |text: &str, part: &str| {
        let error = try_format(text).err().unwrap_or_default();
        assert!(error.contains(part), "{text}: {error}");
    };
    refused(
        "hdfs.fileType = DataStream\nhdfs.codeC = gzip",
        "a DataStream is not compressed",
    );
    refused(
        "hdfs.fileType = CompressedStream",
        "needs a codec, one of `gzip`",
    );
    refused("hdfs.fileType = Parquet", "expected one of `SequenceFile`");
    refused("hdfs.codeC = lzop", "LZO");
    refused(
        "hdfs.writeFormat = com.example.Mine$Builder",
        "Java classes cannot be loaded",
    );
}

#[test]
fn extensions_are_those_of_the_codec() {
    let extension = |text: &str| format(text).extension();
    assert_eq!(extension(""), "");
    assert_eq!(
        extension("hdfs.codeC = org.apache.hadoop.io.compress.BZip2Codec"),
        ".bz2"
    );
    assert_eq!(
        extension("hdfs.fileType = compressedstream\nhdfs.codeC = DEFAULTCODEC"),
        ".deflate"
    );
    assert_eq!(extension("hdfs.fileType = datastream"), "");
}
