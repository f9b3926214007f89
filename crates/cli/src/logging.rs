//! Log lines in Flume's patterns, to the console or to a file that rolls, as `-Dflume.root.logger` says.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use flume_core::secrets::masked;
use jiff::Zoned;
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, layer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::console;

/// A log file rolls at this size, as Flume's.
const ROLL_BYTES: u64 = 100 << 20;
/// Rolled files that are kept: 1 GB in all, as Flume's.
const KEPT: usize = 10;

/// Flume's two layouts.
#[derive(Clone, Copy)]
enum Layout {
    /// `%d (%t) [%p - %l] %m%n`
    Console,
    /// `%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] (%C.%M:%L) %x - %m%n`
    File,
}

/// Starts logging. `flume.root.logger=LEVEL,appender`: `console` goes to standard error, `LOGFILE` (or any other
/// appender of Flume's) to `flume.log.file` in `flume.log.dir`. Without it: INFO to the console.
pub(crate) fn start(properties: &BTreeMap<String, String>) -> io::Result<()> {
    let root = properties
        .get("flume.root.logger")
        .map_or("INFO,console", String::as_str);
    let mut words = root.split(',').map(str::trim);
    let level = words.next().map_or(LevelFilter::INFO, level);
    let appenders: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let (consoles, files): (Vec<_>, Vec<_>) = appenders
        .into_iter()
        .partition(|word| word.eq_ignore_ascii_case("console"));
    let to_console = !consoles.is_empty() || files.is_empty();
    let console = to_console.then(|| {
        layer()
            .event_format(Layout::Console)
            .with_writer(console::writer)
    });
    let file = if files.is_empty() {
        None
    } else {
        let get = |key: &str, default: &str| {
            properties
                .get(key)
                .cloned()
                .unwrap_or_else(|| default.into())
        };
        let path =
            Path::new(&get("flume.log.dir", "./logs")).join(get("flume.log.file", "flume.log"));
        Some(
            layer()
                .event_format(Layout::File)
                .with_writer(Mutex::new(RollingFile::open(path)?)),
        )
    };
    tracing_subscriber::registry()
        .with(level)
        .with(console)
        .with(file)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// log4j's levels; what it does not know counts as DEBUG there, and as INFO here.
fn level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "OFF" => LevelFilter::OFF,
        "FATAL" | "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "DEBUG" => LevelFilter::DEBUG,
        "TRACE" | "ALL" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    }
}

impl<S, N> FormatEvent<S, N> for Layout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Zoned::now().with_time_zone(flume_java::defaults::time_zone());
        let meta = event.metadata();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("?");
        let line = meta.line().unwrap_or(0);
        let level = match *meta.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        match self {
            Layout::Console => {
                let date = now.strftime("%Y-%m-%d %H:%M:%S,%3f");
                let file = meta
                    .file()
                    .map_or("?", |path| path.rsplit('/').next().unwrap_or(path));
                write!(
                    out,
                    "{date} ({thread}) [{level} - {}({file}:{line})] ",
                    meta.target()
                )?;
            }
            Layout::File => {
                let date = now.strftime("%d %b %Y %H:%M:%S,%3f");
                write!(
                    out,
                    "{date} {level:5} [{thread}] ({}:{line})  - ",
                    meta.target()
                )?;
            }
        }
        let mut message = String::new();
        cx.field_format()
            .format_fields(Writer::new(&mut message), event)?;
        writeln!(out, "{}", one_line(&masked(&message)))
    }
}

/// A message as one line of the log: what came with an event must not look like another line.
fn one_line(message: &str) -> Cow<'_, str> {
    let forges = |c: char| c.is_control() && c != '\t';
    if !message.contains(forges) {
        return Cow::Borrowed(message);
    }
    let mut line = String::with_capacity(message.len() + 8);
    for c in message.chars() {
        if forges(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    Cow::Owned(line)
}

/// A file that is renamed to `NAME.1` when it is full; the oldest of ten goes.
struct RollingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl RollingFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(RollingFile { path, file, bytes })
    }

    fn roll(&mut self) -> io::Result<()> {
        let numbered = |number: usize| self.path.with_added_extension(number.to_string());
        for number in (1..KEPT).rev() {
            if numbered(number).exists() {
                fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        *self = RollingFile::open(self.path.clone())?;
        Ok(())
    }
}

impl Write for RollingFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.bytes >= ROLL_BYTES {
            self.roll()?;
        }
        let written = self.file.write(text)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("plain\twords é"), "plain\twords é");
        assert_eq!(
            one_line("/x\n2026-01-01 (main) [ERROR - forged]\r\u{1b}[2J\u{85}"),
            "/x\\n2026-01-01 (main) [ERROR - forged]\\r\\u{1b}[2J\\u{85}"
        );
    }
}
