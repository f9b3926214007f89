//! Events per second, CPU and memory beside Java Flume, in turn, with the same configuration files.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    agents::{Maker, Running, configuration, install_java, scratch},
    file_channel, netcat,
    report::Report,
};

/// What is measured.
struct Flow {
    name: &'static str,
    configuration: &'static str,
    batch: usize,
    /// Lines that the configuration ends with.
    more: &'static str,
    /// Sources, each with a header `bucket` of its own; 0: those of the configuration.
    sources: usize,
    /// Clients that send lines; 0: the configuration has a source of its own.
    clients: usize,
    /// Whether Java Flume can run it.
    peer: bool,
    claims: Claims,
}

/// What is claimed of a flow beside Java Flume.
#[derive(Clone, Copy)]
pub struct Claims {
    /// At least so many times its events per second.
    pub rate: f64,
    /// At most this part of its CPU seconds per event; nothing is said of it where there is none.
    pub cpu: Option<f64>,
    /// At most this part of its memory.
    pub memory: f64,
}

const LIGHT: Claims = Claims {
    rate: 5.0,
    cpu: None,
    memory: 0.1,
};
/// The memory is that of a hundred thousand events with headers, which the channel holds, and of open files.
const MANY: Claims = Claims {
    rate: 10.0,
    cpu: Some(1.0 / 15.0),
    memory: 0.25,
};
/// Java Flume takes 31 CPU seconds per million events at batch 100, and 24 at 1000; 1.5 are enough here.
const DURABLE: Claims = Claims {
    rate: 12.0,
    cpu: Some(1.0 / 16.0),
    memory: 0.25,
};
const DURABLE_LARGE: Claims = Claims {
    rate: 40.0,
    ..DURABLE
};
const FILES: Claims = Claims {
    rate: 20.0,
    cpu: Some(1.0 / 15.0),
    memory: 0.1,
};

/// A flow of this kind has what it does not name otherwise.
const FLOW: Flow = Flow {
    name: "",
    configuration: "",
    batch: 1000,
    more: "",
    sources: 0,
    clients: 0,
    peer: true,
    claims: LIGHT,
};

const FLOWS: &[Flow] = &[
    Flow {
        name: "memory, batch 100",
        configuration: "memory.conf",
        batch: 100,
        ..FLOW
    },
    Flow {
        name: "memory, batch 1000",
        configuration: "memory.conf",
        ..FLOW
    },
    Flow {
        name: "memory, batch 100, fresh bodies",
        configuration: "fresh.conf",
        batch: 100,
        peer: false,
        ..FLOW
    },
    Flow {
        name: "memory, batch 1000, fresh bodies",
        configuration: "fresh.conf",
        peer: false,
        ..FLOW
    },
    Flow {
        name: "file_roll, batch 100",
        configuration: "file_roll.conf",
        batch: 100,
        ..FLOW
    },
    Flow {
        name: "file_roll, batch 1000",
        configuration: "file_roll.conf",
        ..FLOW
    },
    Flow {
        name: "file, batch 100",
        configuration: "file_channel.conf",
        batch: 100,
        claims: DURABLE,
        ..FLOW
    },
    Flow {
        name: "file, batch 1000",
        configuration: "file_channel.conf",
        claims: DURABLE_LARGE,
        ..FLOW
    },
    Flow {
        name: "file, 8 sources, batch 100",
        configuration: "file_channel_producers.conf",
        batch: 100,
        claims: DURABLE,
        ..FLOW
    },
    Flow {
        name: "file, encrypted, batch 100",
        configuration: "file_channel_encrypted.conf",
        batch: 100,
        claims: DURABLE,
        ..FLOW
    },
    Flow {
        name: "netcat, 1 client",
        configuration: "netcat.conf",
        batch: 0,
        clients: 1,
        ..FLOW
    },
    Flow {
        name: "netcat, 16 clients",
        configuration: "netcat.conf",
        batch: 0,
        clients: 16,
        ..FLOW
    },
    Flow {
        name: "hdfs, DataStream",
        configuration: "hdfs_bench.conf",
        more: DATA,
        claims: FILES,
        ..FLOW
    },
    Flow {
        name: "hdfs, SequenceFile",
        configuration: "hdfs_bench.conf",
        more: SEQUENCE,
        claims: FILES,
        ..FLOW
    },
    Flow {
        name: "hdfs, gzip",
        configuration: "hdfs_bench.conf",
        more: GZIP,
        claims: Claims {
            rate: 10.0,
            memory: 0.15,
            ..FILES
        },
        ..FLOW
    },
    Flow {
        name: "hdfs, DataStream, 100",
        configuration: "hdfs_bench.conf",
        more: DATA,
        sources: 100,
        claims: MANY,
        ..FLOW
    },
    Flow {
        name: "hdfs, SequenceFile, 100",
        configuration: "hdfs_bench.conf",
        more: SEQUENCE,
        sources: 100,
        claims: MANY,
        ..FLOW
    },
    Flow {
        name: "hdfs, gzip, 100",
        configuration: "hdfs_bench.conf",
        more: GZIP,
        sources: 100,
        claims: MANY,
        ..FLOW
    },
];

const DATA: &str = "a1.sinks.k1.hdfs.fileType = DataStream\n";
const SEQUENCE: &str = "a1.sinks.k1.hdfs.fileType = SequenceFile\n";
const GZIP: &str = "a1.sinks.k1.hdfs.fileType = CompressedStream\na1.sinks.k1.hdfs.codeC = gzip\n";

/// How long and how often.
pub struct Effort {
    /// Runs of each agent per flow.
    pub rounds: usize,
    /// Not counted, at the start of each run: a JVM compiles meanwhile.
    pub warm_up: Duration,
    /// Counted.
    pub measured: Duration,
}

/// Figures to publish.
pub const FULL: Effort = Effort {
    rounds: 3,
    warm_up: Duration::from_secs(5),
    measured: Duration::from_secs(6),
};
/// A first look.
pub const SHORT: Effort = Effort {
    rounds: 1,
    warm_up: Duration::from_secs(2),
    measured: Duration::from_secs(2),
};

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Events that left the channel, per second.
    pub rate: f64,
    /// CPU seconds per million of them.
    pub cpu: f64,
    /// Greatest resident memory, MiB.
    pub rss: f64,
}

/// Medians of both, and the ratios.
pub struct Row {
    pub name: &'static str,
    pub claims: Claims,
    pub ours: Figures,
    pub java: Option<Figures>,
}

/// Judges each flow against what is claimed of it.
pub fn show(report: &mut Report, effort: &Effort) -> Result<()> {
    for row in run(effort)? {
        let Some(java) = row.java else { continue };
        let name = row.name;
        let claims = row.claims;
        report.at_least(
            &format!("{name}: events/s against Java"),
            row.ours.rate / java.rate,
            claims.rate,
        );
        if let Some(most) = claims.cpu {
            report.at_most(
                &format!("{name}: CPU per event against Java"),
                row.ours.cpu / java.cpu,
                most,
            );
        }
        report.at_most(
            &format!("{name}: memory against Java"),
            row.ours.rss / java.rss,
            claims.memory,
        );
    }
    let (ours, _) = start_up(5)?;
    report.at_most("exec to open port, ms", ours, 50.0);
    Ok(())
}

/// Two flows that are printed, not judged: the machine may be busy.
pub fn slice(_: &mut Report) -> Result<()> {
    run_some(&SHORT, &["memory, batch 100", "netcat, 1 client"]).map(drop)
}

/// All flows, the start, and the file channel beside the machine's own ceiling; not judged.
pub fn everything() -> Result<()> {
    run(&FULL)?;
    let (ours, java) = start_up(5)?;
    println!("exec to open port: {ours:.0} ms, Java {java:.0} ms");
    file_channel::bench(&scratch()?)
}

/// Measures everything and prints a row each.
fn run(effort: &Effort) -> Result<Vec<Row>> {
    run_some(
        effort,
        &FLOWS.iter().map(|flow| flow.name).collect::<Vec<_>>(),
    )
}

/// Measures the named flows.
pub fn run_some(effort: &Effort, names: &[&str]) -> Result<Vec<Row>> {
    install_java()?;
    println!(
        "{:34}{:>12}{:>12}{:>8}{:>10}{:>10}{:>8}{:>8}{:>8}",
        "flow", "events/s", "Java", "ratio", "CPU s/M", "Java", "RSS MiB", "Java", "ratio"
    );
    let mut rows = vec![];
    for flow in FLOWS.iter().filter(|flow| names.contains(&flow.name)) {
        let row = measure(flow, effort)?;
        let Row {
            name, ours, java, ..
        } = &row;
        match java {
            Some(java) => println!(
                "{name:34}{:12.0}{:12.0}{:8.1}{:10.2}{:10.2}{:8.0}{:8.0}{:8.2}",
                ours.rate,
                java.rate,
                ours.rate / java.rate,
                ours.cpu,
                java.cpu,
                ours.rss,
                java.rss,
                ours.rss / java.rss
            ),
            None => println!(
                "{name:34}{:12.0}{:>12}{:>8}{:10.2}{:>10}{:8.0}",
                ours.rate, "-", "-", ours.cpu, "-", ours.rss
            ),
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Milliseconds from exec to open port: ours, Java's; medians.
fn start_up(rounds: usize) -> Result<(f64, f64)> {
    let text = configuration("netcat.conf")?;
    let mut times = [vec![], vec![]];
    for _ in 0..rounds {
        for (maker, times) in [Maker::Ours, Maker::Java].into_iter().zip(&mut times) {
            times.push(Running::start(maker, &text)?.wait_for_port()?.as_secs_f64() * 1e3);
        }
    }
    let [ours, java] = times;
    Ok((median(ours), median(java)))
}

fn measure(flow: &Flow, effort: &Effort) -> Result<Row> {
    let mut ours = vec![];
    let mut java = vec![];
    for _ in 0..effort.rounds {
        ours.push(once(Maker::Ours, flow, effort)?);
        if flow.peer {
            java.push(once(Maker::Java, flow, effort)?);
        }
    }
    Ok(Row {
        name: flow.name,
        claims: flow.claims,
        ours: medians(&ours),
        java: flow.peer.then(|| medians(&java)),
    })
}

impl Flow {
    fn text(&self) -> Result<String> {
        let text = configuration(self.configuration)? + self.more;
        let text = text.replace("@BATCH@", &self.batch.to_string());
        Ok(with_sources(&text, self.sources, self.batch))
    }
}

/// The same with so many sources for one, each of which writes its name into the header `bucket`; 0: as it is.
pub fn with_sources(text: &str, sources: usize, batch: usize) -> String {
    if sources == 0 {
        return text.into();
    }
    let own: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("a1.sources.r1."))
        .collect();
    let names: Vec<_> = (1..=sources).map(|number| format!("r{number}")).collect();
    let mut many = format!("{text}\na1.sources = {}\n", names.join(" "));
    for name in names {
        many.extend(own.iter().map(|line| line.replacen("r1", &name, 1) + "\n"));
        many += &format!(
            "a1.sources.{name}.batchSize = {}\n",
            (batch / sources).max(1)
        );
        many += &format!(
            "a1.sources.{name}.interceptors = i\na1.sources.{name}.interceptors.i.type = static\n"
        );
        many += &format!(
            "a1.sources.{name}.interceptors.i.key = bucket\na1.sources.{name}.interceptors.i.value = {name}\n"
        );
    }
    many
}

fn once(maker: Maker, flow: &Flow, effort: &Effort) -> Result<Figures> {
    let text = flow.text()?;
    let mut agent = Running::start(maker, &text)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut helpers = vec![cleaner(&agent.dir().join("files"), stop.clone())];
    if flow.clients > 0 {
        agent.wait_for_port()?;
        helpers.extend((0..flow.clients).flat_map(|_| netcat::load(agent.port, stop.clone())));
    }
    let delivered = |agent: &mut Running| agent.metric("CHANNEL.c1", "EventTakeSuccessCount");
    delivered(&mut agent)?;
    thread::sleep(effort.warm_up);
    let events = delivered(&mut agent)?;
    let usage = agent.usage()?;
    let start = Instant::now();
    thread::sleep(effort.measured);
    let events = delivered(&mut agent)? - events;
    let elapsed = start.elapsed().as_secs_f64();
    let used = agent.usage()?;
    stop.store(true, Relaxed);
    drop(agent);
    helpers.into_iter().for_each(|helper| drop(helper.join()));
    Ok(Figures {
        rate: events as f64 / elapsed,
        cpu: (used.cpu - usage.cpu) / events as f64 * 1e6,
        rss: used.peak_mib,
    })
}

/// Removes files that a sink has finished, or a minute would fill the disk.
fn cleaner(files: &Path, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let files = files.to_path_buf();
    thread::spawn(move || {
        while !stop.load(Relaxed) {
            clean(&files);
            thread::sleep(Duration::from_millis(200));
        }
    })
}

/// Leaves the newest file of each directory, and those of the hdfs sink that are not finished.
fn clean(directory: &Path) {
    let mut found = vec![];
    for path in fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        let name = path.to_string_lossy();
        if path.is_dir() {
            clean(&path);
        } else if !name.ends_with(".tmp") && !name.ends_with(".tmp.crc") {
            found.push(path);
        }
    }
    found.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
    found.pop();
    found.iter().for_each(|path| drop(fs::remove_file(path)));
}

fn medians(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
    Figures {
        rate: of(|run| run.rate),
        cpu: of(|run| run.cpu),
        rss: of(|run| run.rss),
    }
}

/// The middle one.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
