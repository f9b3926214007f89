//! Events per second of CPU, on one core, of every file type and codec: 500 bytes each, a flush after every 1000.
//!
//! `cargo run --release -p flume-hdfs --example format_speed`

#![expect(clippy::print_stdout, reason = "it prints")]

use flume_core::{Context, Event};
use flume_hdfs::formats::{Codec, FormatConfig};
use flume_testkit::parts;

const EVENT_BYTES: usize = 500;
const BATCH: usize = 1000;
/// CPU time of each measurement, in ticks of a hundredth of a second.
const TICKS: u64 = 100;

fn main() {
    let events = events();
    println!("{:42} {:>12} {:>9} {:>6}", "", "events/s", "MB/s", "ratio");
    let codecs = || Codec::ALL.iter().map(|codec| codec.class());
    let mut all = vec![
        "hdfs.fileType = DataStream".to_string(),
        "hdfs.writeFormat = Text".into(),
    ];
    all.push("hdfs.codeC = None".into());
    all.push("hdfs.fileType = DataStream\nserializer = avro_event".into());
    all.extend(
        codecs().map(|class| format!("hdfs.fileType = CompressedStream\nhdfs.codeC = {class}")),
    );
    all.extend(codecs().map(|class| format!("hdfs.codeC = {class}")));
    for properties in all {
        let (rate, ratio) = measure(&properties, &events);
        let title = properties
            .replace("hdfs.", "")
            .replace("org.apache.hadoop.io.compress.", "");
        let title = title.replace('\n', ", ").replace(" = ", "=");
        let megabytes = rate * EVENT_BYTES as f64 / 1e6;
        println!("{title:42} {rate:>12.0} {megabytes:>9.1} {ratio:>6.2}");
    }
}

/// Lines of a web server's log, which compress as such do.
fn events() -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut event = || {
        let mut line = String::new();
        while line.len() < EVENT_BYTES {
            line += &format!(
                "10.{}.{}.{} - - [14/Nov/2023:22:13:{:02} +0000] \"GET /shop/item/{} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0\" ",
                random.u8(..),
                random.u8(..),
                random.u8(..),
                random.u8(..60),
                random.u32(..100_000),
                random.u16(..)
            );
        }
        line.truncate(EVENT_BYTES);
        let mut event = Event::from(line);
        event
            .headers
            .set("timestamp".into(), "1700000000000".into());
        event
    };
    (0..BATCH).map(|_| event()).collect()
}

/// Events per second of CPU, and raw bytes for each one written.
fn measure(properties: &str, events: &[Event]) -> (f64, f64) {
    let (config, wrong) =
        parts::read::<FormatConfig>(&flume_components::REGISTRY, "a1.sinks.k1", properties);
    let config = config.unwrap_or_else(|| panic!("{wrong:?}"));
    let format = config.format();
    let format = format.unwrap_or_else(|error| panic!("{error}"));
    let mut serializer = format
        .start(&Context::new("a1.sinks.k1", &["c1"]))
        .unwrap_or_else(|error| panic!("{error}"));
    let mut out = vec![];
    let mut count = 0;
    let mut written = 0;
    let start = cpu();
    serializer.begin(&mut out);
    loop {
        for event in events {
            serializer
                .write(event, &mut out)
                .unwrap_or_else(|reason| panic!("{reason}"));
        }
        serializer.flush(&mut out);
        written += out.len();
        out.clear();
        count += events.len();
        let ticks = cpu() - start;
        if ticks >= TICKS {
            let seconds = ticks as f64 / 100.0;
            return (
                count as f64 / seconds,
                (count * EVENT_BYTES) as f64 / written as f64,
            );
        }
    }
}

/// CPU of this process so far, in ticks: fields 14 and 15 of its line.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(11)
        .take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
