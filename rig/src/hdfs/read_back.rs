//! Every file type, codec, write format and Avro serializer, read back by Hadoop's and Avro's own classes in one JVM,
//! and compared event by event; each file once as it is finished, and once as a flush left it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use flume_core::{Context, Event};
use flume_hdfs::formats::{Codec, Format, FormatConfig};
use flume_testkit::parts;

use crate::{
    agents::{install, install_java, java_dir, scratch, target},
    report::Report,
};

/// The hdfs sink's formats, read back by Hadoop's and Avro's own classes.
pub fn show(report: &mut Report) -> Result<()> {
    let outcome = run()?;
    for wrong in &outcome.wrong {
        println!("{wrong}");
    }
    let all = outcome.right + outcome.wrong.len();
    let item = "files that Hadoop and Avro read as written";
    report.row(
        item,
        outcome.right,
        &format!("{all}, by event"),
        outcome.wrong.is_empty(),
    );
    Ok(())
}

/// Files that were read as they should, and those that were not, with the reason.
struct Outcome {
    /// How many files came back event by event.
    pub right: usize,
    /// Title and reason.
    pub wrong: Vec<String>,
}

/// A file to be read, and the lines that are to be printed of it.
struct Case {
    title: String,
    path: PathBuf,
    expected: String,
}

/// Writes everything, has it read, compares.
fn run() -> Result<Outcome> {
    let dir = tempfile::tempdir_in(scratch()?)?;
    let mut cases = vec![];
    for (number, properties) in properties().iter().enumerate() {
        write(properties, &dir.path().join(number.to_string()), &mut cases)?;
    }
    let printed = read(cases.iter().map(|case| case.path.as_path()))?;
    let mut outcome = Outcome {
        right: 0,
        wrong: vec![],
    };
    for case in cases {
        match printed.get(&case.path) {
            Some(lines) if *lines == case.expected => outcome.right += 1,
            found => outcome.wrong.push(format!(
                "{}: {}",
                case.title,
                difference(&case.expected, found)
            )),
        }
    }
    Ok(outcome)
}

const AVRO_BODY: &str = "org.apache.flume.sink.hdfs.AvroEventSerializer$Builder";
const AVRO_CODECS: [&str; 5] = ["null", "deflate", "snappy", "bzip2", "zstandard"];

fn properties() -> Vec<String> {
    let mut all = vec!["hdfs.fileType = DataStream".to_string()];
    for codec in Codec::ALL {
        all.push(format!(
            "hdfs.fileType = CompressedStream\nhdfs.codeC = {}",
            codec.class()
        ));
    }
    for codec in ["None"]
        .into_iter()
        .chain(Codec::ALL.iter().map(|codec| codec.class()))
    {
        for write_format in ["Writable", "Text"] {
            all.push(format!(
                "hdfs.codeC = {codec}\nhdfs.writeFormat = {write_format}"
            ));
        }
    }
    for codec in AVRO_CODECS {
        for serializer in ["avro_event", AVRO_BODY] {
            all.push(format!(
                "hdfs.fileType = DataStream\nserializer = {serializer}\nserializer.compressionCodec = {codec}"
            ));
        }
    }
    all.push("hdfs.fileType = CompressedStream\nhdfs.codeC = gzip\nserializer = avro_event".into());
    all
}

/// Writes the file of these properties twice: whole, and as its second flush left it.
fn write(properties: &str, path: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let (config, problems) =
        parts::read::<FormatConfig>(&flume_components::REGISTRY, "a1.sinks.k1", properties);
    let config = config.ok_or_else(|| anyhow!("{problems:?}"))?;
    let format = config.format()?;
    let mut serializer = format.start(&Context::new("a1.sinks.k1", &["c1"]))?;
    let batches = batches(properties.contains(AVRO_BODY));
    let mut out = vec![];
    let mut written = vec![];
    serializer.begin(&mut out);
    for (number, batch) in batches.iter().enumerate() {
        for event in batch {
            serializer
                .write(event, &mut out)
                .map_err(|reason| anyhow!(reason))?;
        }
        serializer.flush(&mut out);
        written.extend_from_slice(batch);
        if number == 1 {
            cases.push(case(properties, "-flushed", &format, path, &out, &written)?);
        }
    }
    serializer.end(&mut out);
    cases.push(case(properties, "", &format, path, &out, &written)?);
    Ok(())
}

fn case(
    properties: &str,
    stage: &str,
    format: &Format,
    path: &Path,
    bytes: &[u8],
    events: &[Event],
) -> Result<Case> {
    let path = PathBuf::from(format!("{}{stage}{}", path.display(), format.extension()));
    fs::write(&path, bytes)?;
    let title = format!("{}{stage}", properties.replace('\n', ", "));
    Ok(Case {
        title,
        path,
        expected: expected(properties, events),
    })
}

/// Bodies of all sorts; for the serializer of Avro values, values of its schema.
fn batches(avro: bool) -> Vec<Vec<Event>> {
    if avro {
        let schema = r#"{"type":"record","name":"Line","fields":[{"name":"number","type":"int"}]}"#;
        let value = |number: i64| {
            let mut body = vec![];
            flume_wire::avro::write_long(number, &mut body);
            event(body, &[("flume.avro.schema.literal", schema)])
        };
        return vec![
            vec![value(0), value(-1)],
            (0..5000).map(value).collect(),
            vec![value(i64::from(i32::MAX))],
        ];
    }
    let noise = |length: u64| -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(length);
        (0..length).map(|_| random.u8(..)).collect()
    };
    let stamp = |number: i64, body: Vec<u8>| {
        event(body, &[("timestamp", &number.to_string()), ("host", "h1")])
    };
    let few = vec![
        stamp(1_700_000_000_000, b"hello".into()),
        stamp(-1, vec![]),
        stamp(i64::MIN, noise(500)),
    ];
    let many = (0..5000)
        .map(|number| stamp(number, format!("line {number}").into()))
        .collect();
    let large = [300_000, 400_000].map(|length| stamp(i64::MAX, noise(length)));
    let last = vec![stamp(1, vec![b'a'; 600_000]), stamp(2, b"\xff\xfe".into())];
    vec![few, many, large.into(), last]
}

fn event(body: Vec<u8>, headers: &[(&'static str, &str)]) -> Event {
    let mut event = Event::from(body);
    for (name, value) in headers {
        event.headers.set((*name).into(), value.to_string().into());
    }
    event
}

/// What the reader prints of these events in a file with these properties.
fn expected(properties: &str, events: &[Event]) -> String {
    let value = |key: &str| {
        properties
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
    };
    let mut lines = String::new();
    if let Some(serializer) = value("serializer") {
        let _ = writeln!(
            lines,
            "{}",
            value("serializer.compressionCodec").unwrap_or("null")
        );
        for (number, event) in events.iter().enumerate() {
            let _ = match serializer {
                "avro_event" => writeln!(lines, "{} {}", java_map(event), hex(&event.body)),
                _ => writeln!(
                    lines,
                    "{{\"number\": {}}}",
                    line_number(number, events.len())
                ),
            };
        }
    } else if value("hdfs.fileType").is_some() {
        let bodies: Vec<u8> = events
            .iter()
            .flat_map(|event| [&event.body[..], b"\n"].concat())
            .collect();
        let _ = writeln!(lines, "{}", hex(&bodies));
    } else {
        let class = if value("hdfs.writeFormat") == Some("Text") {
            "Text"
        } else {
            "BytesWritable"
        };
        let _ = match value("hdfs.codeC") {
            Some("None") | None => writeln!(lines, "org.apache.hadoop.io.{class} none NONE"),
            Some(codec) => writeln!(lines, "org.apache.hadoop.io.{class} {codec} BLOCK"),
        };
        for event in events {
            let key = event
                .headers
                .get("timestamp")
                .map(|key| key.to_string())
                .unwrap_or_default();
            let _ = writeln!(lines, "{key} {}", hex(&event.body));
        }
    }
    lines
}

/// The numbers of the Avro values, in order.
fn line_number(place: usize, of: usize) -> i64 {
    match place {
        0 => 0,
        1 => -1,
        _ if of > 5002 && place == of - 1 => i64::from(i32::MAX),
        _ => place as i64 - 2,
    }
}

fn java_map(event: &Event) -> String {
    let pairs: Vec<_> = event
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            digits.push(char::from_digit(u32::from(half), 16).unwrap_or_default());
        }
    }
    digits
}

/// What the reader prints of each file: the lines after its name.
pub fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<BTreeMap<PathBuf, String>> {
    install_java()?;
    let classes = target().join("java-hadoop");
    install("java-hadoop", &[&classes, &java_dir()])?;
    let mut java = Command::new("java")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error")
        .arg("-cp")
        .arg(format!(
            "{}:{}/lib/*",
            classes.display(),
            java_dir().display()
        ))
        .arg("ReadBack")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start java")?;
    let names: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    java.stdin
        .take()
        .context("no input")?
        .write_all(names.join("\n").as_bytes())?;
    let output = java.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the reader of Hadoop's files ended with {}",
        output.status
    );
    let mut files = BTreeMap::new();
    for part in String::from_utf8(output.stdout)?.split("FILE ").skip(1) {
        let (name, lines) = part.split_once('\n').context("a name without lines")?;
        files.insert(PathBuf::from(name), lines.to_string());
    }
    Ok(files)
}

fn difference(expected: &str, found: Option<&String>) -> String {
    let Some(found) = found else {
        return "it was not read".into();
    };
    let short = |line: Option<&str>| {
        line.map(|line| line.chars().take(200).collect::<String>())
            .unwrap_or_default()
    };
    let place = expected
        .lines()
        .zip(found.lines())
        .take_while(|(expected, found)| expected == found)
        .count();
    let expected = short(expected.lines().nth(place));
    let found = short(found.lines().nth(place));
    format!("line {place}: expected `{expected}`, found `{found}`")
}
