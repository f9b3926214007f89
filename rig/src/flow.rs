//! The flow that most demonstrations use, numbered lines into it, and the numbers that came out.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
};

use anyhow::{Context, Result, ensure};

/// netcat → memory → file_roll.
pub const FLOW: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 100
a1.sinks.k1.channel = c1
";

/// Sends numbered lines, reads an `OK` for each, and says how many came.
pub fn send_numbered(address: &str, numbers: std::ops::Range<u64>) -> Result<u64> {
    let stream = TcpStream::connect(address)?;
    let reader = BufReader::new(stream.try_clone()?);
    let count = numbers.end - numbers.start;
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        let mut stream = stream;
        let lines: String = numbers.map(|number| format!("{number}\n")).collect();
        stream.write_all(lines.as_bytes())
    });
    let mut acknowledged = 0;
    for line in reader.lines() {
        ensure!(line? == "OK", "a line was not acknowledged");
        acknowledged += 1;
        if acknowledged == count {
            break;
        }
    }
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(acknowledged)
}

/// The numbers in all files of a directory, in the order of their names.
pub fn numbers(directory: &Path) -> Result<Vec<u64>> {
    let mut files: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let mut numbers = vec![];
    for file in files {
        for line in fs::read_to_string(&file)?.lines() {
            numbers.push(
                line.parse()
                    .with_context(|| format!("{}: `{line}`", file.display()))?,
            );
        }
    }
    Ok(numbers)
}
