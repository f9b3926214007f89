//! The hdfs sink beside Flume's: the same configuration and events, then the same directories, the same names up to the
//! counter, and the same contents, as Hadoop's own classes read them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    agents::{Maker, Running, install_java, root},
    hdfs::read_back,
    report::Report,
};

/// What is compared on every change.
pub const SLICE: &[&str] = &["defaults", "stream-snappy", "zone-berlin"];

/// Moments, in milliseconds: changes of the clocks in Berlin, New York, on Lord Howe and in Samoa, which left out a
/// day, each with the millisecond before; and moments that are far away.
const INSTANTS: &[i64] = &[
    1_711_846_799_999,
    1_711_846_800_000,
    1_729_989_000_000,
    1_729_990_799_999,
    1_729_990_800_000,
    1_729_992_600_000,
    1_710_053_999_999,
    1_710_054_000_000,
    1_730_611_800_000,
    1_730_613_599_999,
    1_730_613_600_000,
    1_712_415_599_999,
    1_712_415_600_000,
    1_728_142_199_999,
    1_728_142_200_000,
    1_325_239_199_999,
    1_325_239_200_000,
    1_325_250_000_000,
    0,
    -1,
    951_782_399_000,
    951_782_400_000,
    1_735_689_599_000,
    4_102_444_800_000,
    -1_500_000_000_000,
];

const LINES: usize = 95;

/// Configurations that run at the same time: starting a JVM is most of it.
const AT_ONCE: usize = 3;

/// Lines from a file, from empty to long, with the same headers.
const LINES_SOURCE: &str = "\
a1.sources = r1
a1.sources.r1.type = exec
a1.sources.r1.command = cat @DIR@/lines
a1.sources.r1.channels = c1
a1.sources.r1.interceptors = i1 i2 i3
a1.sources.r1.interceptors.i1.type = static
a1.sources.r1.interceptors.i1.key = timestamp
a1.sources.r1.interceptors.i1.value = 1700000000000
a1.sources.r1.interceptors.i2.type = static
a1.sources.r1.interceptors.i2.key = host
a1.sources.r1.interceptors.i2.value = web-1.example
a1.sources.r1.interceptors.i3.type = static
a1.sources.r1.interceptors.i3.key = app
a1.sources.r1.interceptors.i3.value = shop/basket
";

/// Lines of eight bytes, and the schema of such.
const FIXED_SOURCE: &str = "\
a1.sources = r1
a1.sources.r1.type = exec
a1.sources.r1.command = cat @DIR@/fixed
a1.sources.r1.channels = c1
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = static
a1.sources.r1.interceptors.i1.key = flume.avro.schema.literal
a1.sources.r1.interceptors.i1.value = {\"type\":\"fixed\",\"name\":\"Eight\",\"size\":8}
";

/// Files by their names up to the counter, in the order of the counters.
type Files = BTreeMap<String, Vec<PathBuf>>;

/// All that a run left behind.
struct Tree {
    files: Files,
    /// Held until it has been read.
    _agent: Running,
}

/// The same configurations and events under both: directories, names and contents.
pub fn show(report: &mut Report, names: Option<&[&str]>) -> Result<()> {
    for one in run(names)? {
        let item = format!("hdfs {}: files as Flume's", one.name);
        report.row(
            &item,
            one.files,
            "names, contents",
            one.difference.is_none(),
        );
        if let Some(difference) = one.difference {
            println!("{difference}");
        }
    }
    Ok(())
}

/// One configuration's result: its name, and what differs.
struct Compared {
    /// The configuration's name.
    name: String,
    /// Files that Flume wrote.
    files: usize,
    /// The first difference; `None` is as it should be.
    difference: Option<String>,
}

/// Runs the named configurations, or all of them, under both.
fn run(names: Option<&[&str]>) -> Result<Vec<Compared>> {
    install_java()?;
    let wanted = |name: &String| names.is_none_or(|names| names.contains(&&name[..]));
    let mut pairs = vec![];
    for some in configurations()?
        .into_iter()
        .filter(wanted)
        .collect::<Vec<_>>()
        .chunks(AT_ONCE)
    {
        pairs.extend(run_some(some)?);
    }
    ensure!(
        !pairs.is_empty(),
        "there is no configuration of these names"
    );
    let trees = pairs.iter().filter_map(|(_, _, trees)| trees.as_ref().ok());
    let files = trees
        .flat_map(|(java, ours)| java.files.values().chain(ours.files.values()))
        .flatten();
    let contents = read_back::read(files.map(PathBuf::as_path))?;
    let compared = pairs.iter().map(|(name, text, trees)| {
        let name = name.clone();
        match trees {
            Err(error) => {
                let reason: Vec<_> = format!("{error:#}")
                    .lines()
                    .take(8)
                    .map(String::from)
                    .collect();
                Compared {
                    name,
                    files: 0,
                    difference: Some(reason.join("\n")),
                }
            }
            Ok((java, ours)) => Compared {
                name,
                files: java.files.values().map(Vec::len).sum(),
                difference: difference(text, &java.files, &ours.files, &contents).err(),
            },
        }
    });
    Ok(compared.collect())
}

/// A configuration's name and text, and what both write with it.
type Pair = (String, String, Result<(Tree, Tree)>);

fn run_some(names: &[String]) -> Result<Vec<Pair>> {
    let text = |name: &String| {
        Ok((
            name.clone(),
            fs::read_to_string(directory().join(format!("{name}.conf")))?,
        ))
    };
    let texts = names.iter().map(text).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let running: Vec<_> = texts
            .iter()
            .map(|(_, text)| scope.spawn(|| both(text)))
            .collect();
        let trees = running
            .into_iter()
            .map(|trees| trees.join().map_err(|_| anyhow!("a panic")));
        let trees = trees.collect::<Result<Vec<_>>>()?;
        Ok(texts
            .iter()
            .cloned()
            .zip(trees)
            .map(|((name, text), trees)| (name, text, trees))
            .collect())
    })
}

/// What Flume and this program write, at the same time.
fn both(text: &str) -> Result<(Tree, Tree)> {
    let one = |maker| tree(maker, text).with_context(|| format!("{maker:?}"));
    std::thread::scope(|scope| {
        let java = scope.spawn(|| one(Maker::Java));
        let ours = one(Maker::Ours);
        let java = java.join().map_err(|_| anyhow!("a panic"))?;
        Ok((java?, ours?))
    })
}

fn directory() -> PathBuf {
    root().join("rig/configs/hdfs")
}

fn configurations() -> Result<Vec<String>> {
    let names = fs::read_dir(directory())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Result<Vec<String>> = names.collect();
    let mut names: Vec<_> = names?
        .iter()
        .filter_map(|name| name.strip_suffix(".conf"))
        .map(String::from)
        .collect();
    names.sort();
    Ok(names)
}

/// An agent with this configuration, run until it has written all events, and stopped.
fn tree(maker: Maker, text: &str) -> Result<Tree> {
    let (source, events) = match text {
        _ if text.contains("@LINES@") => (LINES_SOURCE.to_string(), LINES),
        _ if text.contains("@FIXED@") => (FIXED_SOURCE.to_string(), LINES),
        _ => {
            // Flume rounds no time before 1970.
            let rounded = text.contains("hdfs.round = true");
            let instants: Vec<_> = INSTANTS
                .iter()
                .copied()
                .filter(|instant| !rounded || *instant > 0)
                .collect();
            (sources_of(&instants), instants.len())
        }
    };
    let channel = "a1.channels = c1\na1.channels.c1.type = memory\na1.channels.c1.capacity = 1000\na1.sinks = k1\n";
    let text = ["@LINES@", "@FIXED@", "@INSTANTS@"]
        .iter()
        .fold(text.to_string(), |text, token| text.replace(token, &source));
    let mut agent = Running::prepare(maker, &format!("{channel}{text}"), |dir| {
        fs::write(dir.join("lines"), lines())?;
        fs::write(
            dir.join("fixed"),
            (0..LINES)
                .map(|number| format!("line{number:04}\n"))
                .collect::<String>(),
        )
    })?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", events as u64)?;
    agent.stop()?;
    let mut files = BTreeMap::new();
    let base = agent.dir().join("files");
    collect(&base, &base, &mut files)?;
    for numbered in files.values_mut() {
        numbered.sort();
    }
    Ok(Tree {
        files,
        _agent: agent,
    })
}

/// A source for each instant, which gives one event.
fn sources_of(instants: &[i64]) -> String {
    let mut text = String::from("a1.sources =");
    for number in 0..instants.len() {
        text += &format!(" r{number}");
    }
    for (number, instant) in instants.iter().enumerate() {
        let source = format!("\na1.sources.r{number}");
        text += &format!(
            "{source}.type = exec{source}.command = echo {instant}{source}.channels = c1{source}.interceptors = i1\
             {source}.interceptors.i1.type = static{source}.interceptors.i1.key = timestamp\
             {source}.interceptors.i1.value = {instant}"
        );
    }
    text + "\n"
}

fn lines() -> String {
    let line = |number: usize| match number % 5 {
        0 => format!("line {number}\n"),
        1 => "\n".into(),
        2 => format!("äöü {number} €\n"),
        3 => format!("{number} {}\n", "long ".repeat(number)),
        _ => format!("\t{number}\n"),
    };
    (0..LINES).map(line).collect()
}

/// Files below a directory, by their names up to the counter. Flume leaves checksums beside files of `file:`.
fn collect(base: &Path, at: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(base, &path, files)?;
            continue;
        }
        let name = path.strip_prefix(base)?.to_string_lossy().into_owned();
        if !name.ends_with(".crc") {
            files.entry(without_counter(&name)).or_default().push(path);
        }
    }
    Ok(())
}

/// The counter is the time at which the bucket was made, in milliseconds: 13 digits between dots, or at the end.
fn without_counter(name: &str) -> String {
    let (directory, name) = name
        .rsplit_once('/')
        .map_or(("", name), |(directory, name)| (directory, name));
    let is_counter =
        |part: &&str| part.len() == 13 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = name
        .split('.')
        .map(|part| if is_counter(&part) { "#" } else { part })
        .collect();
    format!("{directory}/{}", parts.join("."))
}

fn difference(
    text: &str,
    java: &Files,
    ours: &Files,
    contents: &BTreeMap<PathBuf, String>,
) -> Result<(), String> {
    let names = |files: &Files| -> Vec<String> {
        files
            .iter()
            .map(|(name, files)| format!("{name} × {}", files.len()))
            .collect()
    };
    let javas = names(java);
    let our = names(ours);
    if javas != our {
        let only = |some: &[String], others: &[String]| -> Vec<String> {
            some.iter()
                .filter(|name| !others.contains(name))
                .take(5)
                .cloned()
                .collect()
        };
        return Err(format!(
            "names: Flume {:?}, here {:?}",
            only(&javas, &our),
            only(&our, &javas)
        ));
    }
    // Events of several sources come in any order.
    let sorted = text.contains("@INSTANTS@");
    for (name, files) in java {
        for (place, (java, ours)) in files.iter().zip(&ours[name]).enumerate() {
            let of = |path: &PathBuf| {
                lines_of(
                    contents.get(path).map(String::as_str).unwrap_or_default(),
                    sorted,
                )
            };
            let java = of(java);
            let ours = of(ours);
            let unread = java.is_empty() || java.iter().any(|line| line.starts_with("FAILED"));
            if unread || java != ours {
                return Err(format!(
                    "{name}, file {place}: Flume {}, here {}",
                    short(&java),
                    short(&ours)
                ));
            }
        }
    }
    Ok(())
}

/// The lines that were printed of a file; a stream is split into its own lines where their order does not matter.
fn lines_of(printed: &str, sorted: bool) -> Vec<String> {
    let mut lines: Vec<String> = if sorted {
        printed
            .trim_end()
            .split_inclusive("0a")
            .map(String::from)
            .collect()
    } else {
        printed.lines().map(String::from).collect()
    };
    if sorted {
        lines.sort();
    }
    lines
}

fn short(lines: &[String]) -> String {
    let text: String = lines.join(" | ").chars().take(300).collect();
    format!("{} lines `{text}`", lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_up_to_the_counter() {
        assert_eq!(without_counter("a/x.1700000000000.gz"), "a/x.#.gz");
        assert_eq!(
            without_counter("1700000000000/x.170000000000.gz"),
            "1700000000000/x.170000000000.gz"
        );
        assert_eq!(without_counter("F.1700000000000"), "/F.#");
    }

    #[test]
    fn what_differs_is_found() {
        let files = |names: &[(&str, &str)]| -> Files {
            names
                .iter()
                .map(|(name, path)| (name.to_string(), vec![path.into()]))
                .collect()
        };
        let contents: BTreeMap<PathBuf, String> = [
            ("j", "310a320a\n"),
            ("o", "320a310a\n"),
            ("empty", ""),
            ("same", "310a320a\n"),
        ]
        .map(|(path, text)| (path.into(), text.into()))
        .into();
        let found = |text: &str, java: &[(&str, &str)], ours: &[(&str, &str)]| {
            difference(text, &files(java), &files(ours), &contents)
                .err()
                .unwrap_or_default()
        };
        assert_eq!(found("", &[("a", "j")], &[("a", "same")]), "");
        assert!(found("", &[("a", "j")], &[("a", "o")]).contains("file 0"));
        assert_eq!(
            found("@INSTANTS@", &[("a", "j")], &[("a", "o")]),
            "",
            "in any order"
        );
        assert!(found("", &[("a", "j")], &[("b", "j")]).contains("names"));
        assert!(
            found("", &[("a", "empty")], &[("a", "empty")]).contains("0 lines"),
            "nothing is no agreement"
        );
    }
}
