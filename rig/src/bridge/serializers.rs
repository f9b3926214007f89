//! A site's own serializer in the sinks of this program, beside Java Flume: the same files.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    agents::{Maker, Running, java_dir},
    flow::send_numbered,
    report::Report,
};

const LINES: u64 = 95;
/// Time for the last file to be closed, if somebody rolls by himself.
const SETTLE_TIME: Duration = Duration::from_millis(500);

const FLOW: &str = "\
a1.sources = r1
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = @PORT@
a1.sources.r1.channels = c1 c2
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.serializer = demo.NumberedSerializer$Builder
a1.sinks.k1.sink.serializer.name = rolled
a1.sinks.k1.channel = c1
a1.sinks.k2.type = hdfs
a1.sinks.k2.hdfs.path = file://@DIR@/hdfs
a1.sinks.k2.hdfs.fileType = DataStream
a1.sinks.k2.hdfs.rollInterval = 0
a1.sinks.k2.hdfs.rollSize = 0
a1.sinks.k2.hdfs.rollCount = 10
a1.sinks.k2.serializer = demo.NumberedSerializer$Builder
a1.sinks.k2.serializer.name = stored
a1.sinks.k2.channel = c2
";

pub(super) fn show(report: &mut Report, classes: &Path) -> Result<()> {
    let java = files(Maker::Java, classes).context("Java Flume")?;
    let ours = files(Maker::Ours, classes).context("ours")?;
    let count = java.len();
    if ours != java {
        println!("ours: {ours:?}\nJava: {java:?}");
    }
    let item = format!("Java serializer in file_roll and hdfs: {count} files, as Java Flume's");
    report.row(&item, ours == java, "true", count > 0 && ours == java);
    Ok(())
}

/// The content of all files, in the order of their names, which are times.
fn files(maker: Maker, classes: &Path) -> Result<Vec<String>> {
    let environment = match maker {
        Maker::Ours => ("FLUME_HOME", java_dir().display().to_string()),
        Maker::Java => ("FLUME_CLASSPATH", classes.display().to_string()),
    };
    let environment = [(environment.0.to_string(), environment.1)];
    let arguments = match maker {
        Maker::Ours => vec!["--classpath".to_string(), classes.display().to_string()],
        Maker::Java => vec![],
    };
    let mut agent = Running::start_as(maker, FLOW, &environment, &arguments)?;
    agent.wait_for_port()?;
    send_numbered(&format!("127.0.0.1:{}", agent.port()), 0..LINES)?;
    for sink in ["SINK.k1", "SINK.k2"] {
        agent.wait_for_count(sink, "EventDrainSuccessCount", LINES)?;
    }
    std::thread::sleep(SETTLE_TIME);
    agent.stop()?;
    let mut contents = vec![];
    for directory in ["files", "hdfs"] {
        let entries = fs::read_dir(agent.dir().join(directory))?.flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        // Hadoop writes checksums beside the files.
        paths.retain(|path| !path.to_string_lossy().ends_with(".crc"));
        paths.sort();
        for path in paths {
            contents.push(fs::read_to_string(path)?);
        }
    }
    Ok(contents)
}
