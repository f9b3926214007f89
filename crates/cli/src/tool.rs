//! `flume-ng tool`: what can be done to the directories of a file channel without an agent.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::anyhow;
use flume_core::{
    Config, Severity,
    props::{Props, Section, Setting},
};
use flume_file_channel::{
    encryption::{EncryptionConfig, Keys},
    inspect::{Contents, Outside, Verified},
    java::{JavaContents, writer::JavaWriter},
    lock::DirectoryLock,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    progress::{Extent, Progress},
    registry::REGISTRY,
};

const TOOLS: &str = "\
flume-ng tool channel inspect DIR...   what is in a file channel, also while an agent uses it
flume-ng tool channel verify DIR...    read all of it, and say what is damaged
flume-ng tool channel export NEW DIR... write its events into NEW, a dataDir of Java Flume
flume-ng tool FCINTEGRITYTOOL -l DIRS  the same for an agent that is stopped; put aside what is damaged

DIR is a checkpointDir, a dataDir, or a directory right above them. inspect knows the directories of Java Flume, too. A sealed channel needs its keys:
-Dencryption.keyProvider=JCEKSFILE and the other properties of the channel that begin so.";

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let words: Vec<_> = args.rest.iter().map(String::as_str).collect();
    match words[..] {
        [name] if name.eq_ignore_ascii_case("FCINTEGRITYTOOL") => repair(args),
        ["channel", "inspect", _, ..] => inspect(args, &directories(&args.rest[2..])),
        ["channel", "export", new, _, ..] => export(args, new, &directories(&args.rest[3..])),
        ["channel", "verify", _, ..] => verify(args, &directories(&args.rest[2..])),
        _ => Err(Failure::Usage(format!("the tools are\n{TOOLS}"))),
    }
}

fn directories(words: &[String]) -> Vec<PathBuf> {
    words.iter().map(PathBuf::from).collect()
}

fn inspect(args: &Args, directories: &[PathBuf]) -> Result<ExitCode, Failure> {
    let keys = keys(args)?;
    if let Some(java) = JavaContents::read(directories, keys.as_deref())? {
        return print(&java_report(args, &java)?);
    }
    let contents = Outside::read(directories, keys)?.contents()?;
    if args.wants_json()? {
        return print(&(to_json(&contents).to_string() + "\n"));
    }
    print(&to_text(&contents, Timestamp::now()))
}

fn java_report(args: &Args, java: &JavaContents) -> Result<String, Failure> {
    let JavaContents {
        events,
        logs,
        without_checkpoint,
        damage,
    } = java;
    if args.wants_json()? {
        let logs: Vec<_> = (logs.iter())
            .map(|it| json!({"path": it.path, "bytes": it.bytes, "events": it.events, "key": it.key_alias}))
            .collect();
        let damage: Vec<_> = (damage.iter())
            .map(|it| json!({"path": it.path, "offset": it.range.start, "bytes": it.range.end - it.range.start, "torn": it.torn}))
            .collect();
        let all = json!({
            "format": "java",
            "events": events,
            "logs": logs,
            "withoutCheckpoint": without_checkpoint,
            "damage": damage,
        });
        return Ok(all.to_string() + "\n");
    }
    let mut text = format!(
        "events      {events}, in a file channel of Java Flume; an agent takes them over when it starts\n"
    );
    text += &match without_checkpoint {
        None => "checkpoint  whole\n".to_string(),
        Some(why) => format!("checkpoint  does not count, the logs are read: {why}\n"),
    };
    text += &format!("logs        {}\n", logs.len());
    for it in logs {
        let key = it.key_alias.as_ref();
        let key = key.map_or(String::new(), |alias| format!(", key {alias}"));
        let path = it.path.display();
        text += &format!("  {path}: {} events, {} bytes{key}\n", it.events, it.bytes);
    }
    for it in damage {
        let what = if it.torn { "torn end" } else { "damaged" };
        let bytes = it.range.end - it.range.start;
        text += &format!(
            "{what}: {} at {}, {bytes} bytes\n",
            it.path.display(),
            it.range.start
        );
    }
    Ok(text)
}

/// The way back. The directories are locked, so that no agent delivers the same events.
fn export(args: &Args, new: &str, directories: &[PathBuf]) -> Result<ExitCode, Failure> {
    let keys = keys(args)?;
    let _locks = lock(&Outside::read(directories, keys.clone())?.directories())?;
    let outside = with_progress(Outside::read(directories, keys)?, "exported");
    let mut writer = JavaWriter::create(Path::new(new))?;
    let exported = outside.export(&mut |event| writer.put(event))?;
    writer.finish()?;
    let events = exported.events;
    print(&format!(
        "{events} events written to {new}, which Java Flume reads as dataDirs with a new checkpointDir.\n\
         They are still in this channel, too: do not start an agent on both.\n"
    ))?;
    match exported.damage.len() {
        0 => Ok(ExitCode::SUCCESS),
        parts => Err(anyhow!("{parts} damaged parts were left out").into()),
    }
}

fn lock<'a>(
    directories: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<Vec<DirectoryLock>, Failure> {
    let locks = directories.into_iter().map(|it| DirectoryLock::acquire(it));
    Ok(locks.collect::<Result<_, _>>()?)
}

fn verify(args: &Args, directories: &[PathBuf]) -> Result<ExitCode, Failure> {
    let outside = with_progress(Outside::read(directories, keys(args)?)?, "verified");
    report(args, &outside.verify()?)
}

fn with_progress(outside: Outside, done: &'static str) -> Outside {
    let progress = Progress::new(done);
    outside.telling(move |done, total| {
        let total = Some(total);
        progress.bytes(Extent { done, total });
    })
}

/// Flume's tool: on directories that no agent uses.
fn repair(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(class) = args.get("eventValidator") {
        let text = format!(
            "`{class}` is a Java class, which cannot be loaded; without it every event is valid"
        );
        return Err(Failure::Usage(text));
    }
    let Some(list) = args.get("dataDirs") else {
        return Err(Failure::Usage(format!("--dataDirs is required\n\n{TOOLS}")));
    };
    let names = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let directories: Vec<_> = names.map(PathBuf::from).collect();
    if let Some(missing) = directories.iter().find(|directory| !directory.is_dir()) {
        return Err(Failure::Usage(format!(
            "there is no directory {}",
            missing.display()
        )));
    }
    let _locks = lock(&directories)?;
    let outside = with_progress(Outside::read(&directories, keys(args)?)?, "verified");
    report(args, &outside.quarantine()?)
}

/// The keys that `-Dencryption.…` leads to.
fn keys(args: &Args) -> Result<Option<Arc<Keys>>, Failure> {
    let ours = args
        .properties
        .iter()
        .filter(|(key, _)| key.starts_with("encryption."));
    let settings = ours.map(|(key, value)| {
        (
            key.clone(),
            Setting {
                text: value.clone(),
                ..Setting::default()
            },
        )
    });
    let section = Section {
        name: "-D".into(),
        settings: settings.collect(),
        ..Section::default()
    };
    let mut props = Props::new(&REGISTRY, section);
    let config = EncryptionConfig::parse(&mut props);
    props.warn_unread(&EncryptionConfig::properties());
    let wrong = props
        .diagnostics
        .iter()
        .find(|found| found.severity() != Severity::Note);
    if let Some(wrong) = wrong {
        return Err(Failure::Usage(format!("{}: {}", wrong.key, wrong.text)));
    }
    let encryption = config.map(|config| config.build()).transpose();
    let encryption = encryption
        .map_err(|error| Failure::Usage(error.to_string()))?
        .flatten();
    Ok(encryption
        .map(|encryption| encryption.keys().map(Arc::new))
        .transpose()?)
}

fn report(args: &Args, verified: &Verified) -> Result<ExitCode, Failure> {
    let Verified {
        frames,
        events,
        bytes,
        sealed,
        damage,
    } = verified;
    if args.wants_json()? {
        let damage: Vec<_> = (damage.iter())
            .map(|it| json!({"path": it.path, "offset": it.offset, "bytes": it.length, "events": it.events, "why": it.why}))
            .collect();
        let all = json!({"frames": frames, "events": events, "bytes": bytes, "sealed": sealed, "damage": damage});
        print(&(all.to_string() + "\n"))?;
    } else {
        let mut text = format!("{frames} frames with {events} events read, {bytes} bytes\n");
        if *sealed > 0 {
            text += &format!(
                "{sealed} of them are sealed: without keys only their checksums were looked at\n"
            );
        }
        for it in damage {
            let place = format!(
                "{} at {}, {} bytes",
                it.path.display(),
                it.offset,
                it.length
            );
            text += &format!("damaged: {place}, {} events: {}\n", it.events, it.why);
        }
        print(&text)?;
    }
    if damage.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow!("{} damaged parts", damage.len()).into())
}

fn to_json(contents: &Contents) -> Value {
    let Contents {
        events,
        bytes,
        oldest,
        checkpoint,
        groups_behind,
        segments,
        ..
    } = contents;
    let time =
        |time: std::time::SystemTime| Timestamp::try_from(time).ok().map(|time| time.to_string());
    let segments: Vec<_> = (segments.iter())
        .map(|it| json!({"id": it.id, "path": it.path, "events": it.events, "used": it.used, "key": it.key_alias}))
        .collect();
    json!({
        "events": events,
        "bytes": bytes,
        "oldest": oldest.and_then(time),
        "checkpoint": checkpoint.map(|(number, made)| json!({"number": number, "time": time(made)})),
        "groupsBehindCheckpoint": groups_behind,
        "segments": segments,
        "spareSegments": contents.spares,
        "quarantinedFiles": contents.quarantined_files,
        "quarantinedBytes": contents.quarantined_bytes,
        "torn": contents.torn,
        "damaged": contents.damaged,
    })
}

fn to_text(contents: &Contents, now: Timestamp) -> String {
    let Contents {
        events,
        bytes,
        oldest,
        checkpoint,
        groups_behind,
        segments,
        spares,
        ..
    } = contents;
    let age = |time: std::time::SystemTime| {
        let since =
            Timestamp::try_from(time).map_or(SignedDuration::ZERO, |time| now.duration_since(time));
        format!("{:#}", SignedDuration::from_secs(since.as_secs().max(0)))
    };
    let oldest = oldest.map_or(String::new(), |time| {
        format!(", the oldest {} old", age(time))
    });
    let mut text = format!("events      {events} in {bytes} bytes{oldest}\n");
    text += &match checkpoint {
        Some((number, made)) => {
            format!(
                "checkpoint  number {number}, {} old, {groups_behind} groups behind it\n",
                age(*made)
            )
        }
        None => {
            "checkpoint  none here; name the checkpointDir, too, or consumed events may count\n"
                .into()
        }
    };
    text += &format!("segments    {} in use, {spares} spare\n", segments.len());
    for it in segments {
        let sealed = if it.key_alias.is_empty() {
            String::new()
        } else {
            format!(", key {}", it.key_alias)
        };
        text += &format!(
            "  {:8}  {}: {} events, {} bytes{sealed}\n",
            it.id,
            it.path.display(),
            it.events,
            it.used
        );
    }
    text += &format!(
        "quarantine  {} files, {} bytes\n",
        contents.quarantined_files, contents.quarantined_bytes
    );
    if contents.torn > 0 {
        text += &format!(
            "{} frames at the end are torn, or being written\n",
            contents.torn
        );
    }
    if contents.damaged > 0 {
        text += &format!(
            "{} headers behind the checkpoint are damaged\n",
            contents.damaged
        );
    }
    text
}
