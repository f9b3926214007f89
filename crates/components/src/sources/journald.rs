//! `journald`: systemd's journal, through `journalctl`.

use std::{
    fs,
    io::{self, ErrorKind, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Event, Headers, Hold, Source, SourceContext,
    SourceError, Str,
    config::{Millis, Names, Scalar},
    metrics::Counter,
};
use flume_host::{environment::Environment, group::CommandGroup, home, replace::replace};
use flume_wire::journal::{JournalEntry, JournalStream};
use tokio::{
    io::AsyncReadExt,
    process::ChildStdout,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::exec::log_lines;
use crate::charset::Charset;

/// Most bytes read at once from the command.
const READ_BYTES: usize = 64 << 10;
/// A body up to this size is worth a copy of its own.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// A batch of so many bytes is put before it has its number of events.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// A cursor has some 150 bytes.
const MAX_CURSOR_BYTES: u64 = 4096;
const CURSOR_MODE: u32 = 0o644;
/// The field that says where an entry is.
const CURSOR_FIELD: &str = "__CURSOR";

/// Follows systemd's journal. The message of an entry becomes the body, other fields become headers under their names.
/// The header `timestamp` has the time in milliseconds since 1970.
///
/// It runs `journalctl`, and saves where it is after the channel's commit: after a crash entries may come twice, and none
/// is lost that the journal still has. The agent's user needs the right to read the journal (group `systemd-journal`).
/// Not a source of Flume.
#[derive(Clone, Config)]
pub(super) struct JournaldConfig {
    /// The program: a path, or a name that is looked for as a shell does.
    #[prop("command", default = "journalctl")]
    command: String,
    /// A directory with journals of another place than the system's.
    #[prop("directory")]
    directory: Option<PathBuf>,
    /// Which entries: `FIELD=VALUE`, separated by blanks, as `journalctl` takes them; values of one field are
    /// alternatives, and so is what stands on both sides of a `+`. Unset: all.
    #[prop("matches")]
    matches: Option<String>,
    /// Fields that become headers; `*`: all. A field that an entry does not have gives no header.
    #[prop(
        "fields",
        default = "_HOSTNAME SYSLOG_IDENTIFIER _SYSTEMD_UNIT _PID PRIORITY"
    )]
    fields: Names,
    /// The file in which the place in the journal is saved. Each source needs its own. Unset: `~/.flume/journald_cursor`.
    #[prop("cursorFile")]
    cursor_file: Option<PathBuf>,
    /// How often it is saved.
    #[prop("writePosInterval", default = 3000)]
    write_pos_interval: Millis,
    /// Whether a source without a saved place begins at the end of the journal.
    #[prop("skipToEnd", default = false)]
    skip_to_end: bool,
    /// Most events in one transaction.
    #[prop("batchSize", default = 100)]
    batch_size: NonZeroUsize,
    /// Most bytes of an entry. Fields that do not fit are left out; `FieldLeftOutCount` counts them.
    #[prop("maxEntryBytes", default = 16777216)]
    max_entry_bytes: NonZeroUsize,
}

pub(super) struct JournaldSource {
    config: JournaldConfig,
    name: String,
    hold: Hold,
    left_out: Counter,
    place: JournalPosition,
}

impl Component for JournaldSource {
    type Config = JournaldConfig;
    fn build(config: JournaldConfig, cx: &Context) -> Result<Self, BuildError> {
        if config.command.trim().is_empty() {
            return Err(BuildError::at("command", "must not be empty"));
        }
        let mut words = config
            .matches
            .iter()
            .flat_map(|text| text.split_whitespace());
        if let Some(word) = words.find(|word| !is_match(word)) {
            let text = format!("expected `FIELD=VALUE` or `+`, found `{word}`");
            return Err(BuildError::at("matches", text));
        }
        Ok(JournaldSource {
            place: JournalPosition {
                path: config.cursor_file(),
                cursor: None,
                saved: None,
                saved_at: Instant::now(),
                interval: config.write_pos_interval.0,
                save_failures: cx.metrics.counter("CursorSaveFail"),
            },
            config,
            name: cx.name.to_string(),
            hold: Hold::new(&cx.metrics),
            left_out: cx.metrics.counter("FieldLeftOutCount"),
        })
    }
}

/// Nothing that `journalctl` could take for an option.
fn is_match(word: &str) -> bool {
    let is_name = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    word == "+"
        || word
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(is_name))
}

impl JournaldConfig {
    fn cursor_file(&self) -> PathBuf {
        self.cursor_file.clone().unwrap_or_else(|| {
            let home = home::directory().unwrap_or_else(|| "/".into());
            home.join(".flume/journald_cursor")
        })
    }

    fn common_arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["--output=export".into(), "--quiet".into()];
        if let Some(directory) = &self.directory {
            arguments.push(format!("--directory={}", directory.display()));
        }
        arguments
    }

    fn arguments(&self, cursor: Option<&str>) -> Vec<String> {
        let mut arguments = self.common_arguments();
        if let Some(cursor) = cursor {
            arguments.push(format!("--after-cursor={cursor}"));
        }
        arguments.extend(["--no-tail".into(), "--follow".into()]);
        let matches = self.matches.iter().flat_map(|text| text.split_whitespace());
        arguments.extend(matches.map(String::from));
        arguments
    }

    fn event(&self, entry: JournalEntry) -> Event {
        let wants_all = self.fields.texts().any(|name| name == "*");
        let is_wanted = |name: &str| {
            !name.starts_with("__")
                && name != "MESSAGE"
                && (wants_all || self.fields.texts().any(|wanted| wanted == name))
        };
        let micros = entry.get("__REALTIME_TIMESTAMP").and_then(|micros| {
            let digits = str::from_utf8(micros).ok()?;
            digits.parse::<u64>().ok()
        });
        let time = micros.map(|micros| ("timestamp".into(), (micros / 1000).to_string().into()));
        let wanted = entry.fields.iter().filter(|(name, _)| is_wanted(name));
        let fields = wanted.map(|(name, value)| {
            let text = String::from_utf8_lossy(value).into_owned();
            (name.clone(), Str::from(text))
        });
        // Of equal names the last one counts: of a field with several values that is the first.
        let headers: Headers = fields.rev().chain(time).collect();
        let body = entry.get("MESSAGE").cloned().unwrap_or_default();
        let event = Event { headers, body };
        // The entry may have much larger fields, which would stay in memory with the event.
        if event.body.len() <= SMALL_BODY_BYTES {
            event.detached()
        } else {
            event
        }
    }
}

#[async_trait]
impl Source for JournaldSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        self.place.load().await?;
        if self.place.cursor.is_none() && self.config.skip_to_end {
            self.skip_to_end(cx).await?;
        }
        let arguments = self.config.arguments(self.place.cursor.as_deref());
        let (mut running, words) = self.start(&arguments)?;
        let Some(stdout) = running.stdout() else {
            return Ok(());
        };
        cx.ready(None);
        let outcome = self.follow(stdout, cx).await;
        self.place.save().await;
        running.terminate();
        let ended = running.end(true).await;
        drop(words);
        outcome?;
        if cx.stop.is_requested() {
            return Ok(());
        }
        let status = ended.map_err(SourceError::at(format!("end `{}`", self.config.command)))?;
        let text = format!("it ended with {status}; what it said is in the log");
        Err(SourceError::new(
            format!("run `{}`", self.config.command),
            text,
        ))
    }

    fn batch_size(&self) -> usize {
        self.config.batch_size.get()
    }

    fn may_set(&self, header: &str) -> bool {
        let mut fields = self.config.fields.texts();
        header == "timestamp" || fields.any(|name| name == "*" || name == header)
    }
}

impl JournaldSource {
    /// The running command, and what puts its words into the log.
    fn start(&self, arguments: &[String]) -> Result<(CommandGroup, AbortOnDrop), SourceError> {
        let command = &self.config.command;
        let mut running = CommandGroup::start(command, arguments, &Environment::minimal())
            .map_err(SourceError::at(format!("start `{command}`")))?;
        let charset = Charset::parse("UTF-8").map_err(SourceError::at("find UTF-8"))?;
        let words = log_lines(running.stderr(), Some(self.name.clone()), charset);
        Ok((running, AbortOnDrop(tokio::spawn(words))))
    }

    /// Saves the place of the journal's last entry, of whatever kind. What follows it comes from then on, even if the
    /// command ends before it has written an entry. An empty journal has no such place: all of it is to come.
    async fn skip_to_end(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let mut arguments = self.config.common_arguments();
        arguments.push("--lines=1".into());
        let (mut running, words) = self.start(&arguments)?;
        let mut stream = JournalStream::new(self.config.max_entry_bytes.get());
        let mut received = Vec::with_capacity(READ_BYTES);
        if let Some(mut stdout) = running.stdout() {
            let reading = async {
                while stdout.read_buf(&mut received).await? > 0 {
                    stream.feed(&received);
                    received.clear();
                }
                Ok::<_, io::Error>(())
            };
            tokio::select! {
                read = reading => read.map_err(SourceError::at("read the end of the journal"))?,
                () = cx.stop.requested() => {}
            }
        }
        let ended = running.end(true).await;
        drop(words);
        if cx.stop.is_requested() {
            return Ok(());
        }
        let doing = || format!("read the end of the journal with `{}`", self.config.command);
        let status = ended.map_err(SourceError::at(doing()))?;
        if !status.success() {
            return Err(SourceError::new(doing(), format!("it ended with {status}")));
        }
        let entry = stream.next_entry().map_err(SourceError::at(doing()))?;
        let place = entry.and_then(|entry| entry.get(CURSOR_FIELD).cloned());
        self.place.cursor = place.map(|place| String::from_utf8_lossy(&place).into_owned());
        self.place.save().await;
        Ok(())
    }

    /// Puts entries into the channels until the command closes its output, or a stop is requested.
    async fn follow(
        &mut self,
        mut stdout: ChildStdout,
        cx: &SourceContext,
    ) -> Result<(), SourceError> {
        let mut stream = JournalStream::new(self.config.max_entry_bytes.get());
        let mut received = Vec::with_capacity(READ_BYTES);
        loop {
            while self.put_next(&mut stream, cx).await? {}
            received.clear();
            let read = tokio::select! {
                biased;
                () = cx.stop.requested() => return Ok(()),
                () = sleep_until(self.place.due()), if self.place.is_unsaved() => {
                    self.place.save().await;
                    continue;
                }
                read = stdout.read_buf(&mut received) => {
                    read.map_err(SourceError::at("read the journal"))?
                }
            };
            if read == 0 {
                return Ok(());
            }
            stream.feed(&received);
        }
    }

    /// Puts the next batch, if there is one; `false`: there is none, or the agent stops before the channels take it.
    async fn put_next(
        &mut self,
        stream: &mut JournalStream,
        cx: &SourceContext,
    ) -> Result<bool, SourceError> {
        let mut events = vec![];
        let mut bytes = 0;
        let mut cursor = None;
        while events.len() < self.config.batch_size.get() && bytes < MAX_BATCH_BYTES {
            let entry = stream.next_entry();
            let Some(entry) = entry.map_err(SourceError::at("read the journal"))? else {
                break;
            };
            self.left_out.add(entry.left_out);
            let place = entry.get(CURSOR_FIELD);
            cursor = place
                .map(|place| String::from_utf8_lossy(place).into_owned())
                .or(cursor);
            let event = self.config.event(entry);
            bytes += event.size();
            events.push(event);
        }
        if events.is_empty() || !self.put(events, cx).await {
            return Ok(false);
        }
        self.place.cursor = cursor.or(self.place.cursor.take());
        // Without any place a new start would begin at the beginning of the journal.
        if self.place.saved.is_none() || self.place.due() <= Instant::now() {
            self.place.save().await;
        }
        Ok(true)
    }

    /// Whether the batch needs no more care.
    async fn put(&mut self, events: Vec<Event>, cx: &SourceContext) -> bool {
        if self.hold.store(cx, events.clone()).await.is_ok() {
            return true;
        }
        if cx.stop.is_requested() {
            return false;
        }
        // Some of it can never fit.
        self.hold.put(cx, events).await;
        !cx.stop.is_requested()
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Up to where the channels have the journal.
struct JournalPosition {
    path: PathBuf,
    cursor: Option<String>,
    saved: Option<String>,
    saved_at: Instant,
    interval: Duration,
    save_failures: Counter,
}

impl JournalPosition {
    /// Reads the file, unless the place is known from before.
    async fn load(&mut self) -> Result<(), SourceError> {
        if self.cursor.is_some() {
            return Ok(());
        }
        let path = self.path.clone();
        let read = spawn_blocking(move || read_cursor(&path)).await;
        let doing = format!("read the cursor in {}", self.path.display());
        let read = read.map_err(SourceError::at(doing.clone()))?;
        self.saved = read.map_err(SourceError::at(doing))?;
        self.cursor = self.saved.clone();
        Ok(())
    }

    fn is_unsaved(&self) -> bool {
        self.cursor != self.saved
    }

    fn due(&self) -> Instant {
        self.saved_at + self.interval
    }

    /// Saves the place, if it has changed. If that fails, the old one stays.
    async fn save(&mut self) {
        if !self.is_unsaved() {
            return;
        }
        let Some(cursor) = self.cursor.clone() else {
            return;
        };
        self.saved_at = Instant::now();
        let path = self.path.clone();
        let written = spawn_blocking(move || write_cursor(&path, &cursor)).await;
        match written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) => self.saved = self.cursor.clone(),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!("failed to save the cursor in {path}: {error}; the old one stays");
                self.save_failures.add(1);
            }
        }
    }
}

fn read_cursor(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_CURSOR_BYTES).read_to_string(&mut text)?;
    let cursor = text.trim();
    Ok((!cursor.is_empty()).then(|| cursor.into()))
}

fn write_cursor(path: &Path, cursor: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    replace(path, format!("{cursor}\n").as_bytes(), CURSOR_MODE).map(drop)
}
