//! `flume-ng avro-client`: sends lines to a source, as Flume's command does.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use flume_client::{Event, FlumeClient, Headers, PeerSettings};
use flume_conf::properties;
use serde_json::{Value, json};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    progress::Progress,
};

/// Flume's batch size without `--rpcProps`.
const DEFAULT_BATCH_LINES: usize = 5;
/// Lines that are read ahead.
const MAX_WAITING_LINES: usize = 1000;
/// How often the checkpoint is written while lines flow.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// What a file of `--dirname` is called when it was sent.
const SENT_SUFFIX: &str = ".COMPLETED";

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (client, batch_lines) = client(args)?;
    if args.has("filename") && args.has("dirname") {
        return Err(Failure::Usage(
            "--filename and --dirname exclude each other".into(),
        ));
    }
    let headers = match args.get("headerFile") {
        None => Headers::default(),
        Some(path) => (read_properties(Path::new(path))?.into_iter())
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    let checkpoint = Checkpoint::open(args.get("checkpoint").map(PathBuf::from))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sender = LineSender {
        client,
        batch_lines,
        headers,
        checkpoint,
        sent: 0,
        progress: Progress::new("sent"),
    };
    let outcome = runtime.block_on(sender.send_all(args));
    sender.checkpoint.write()?;
    let sent = sender.sent;
    drop(sender);
    outcome.with_context(|| format!("{sent} lines were sent before"))?;
    print(&format!("{sent} lines sent\n"))
}

/// The client, and the lines of a batch.
fn client(args: &Args) -> Result<(FlumeClient, usize), Failure> {
    if let Some(path) = args.get("rpcProps") {
        let properties = read_properties(Path::new(path))?;
        let (client, doubts) = FlumeClient::from_properties(&properties)?;
        for doubt in doubts {
            eprintln!("flume-ng: {path}: {doubt}");
        }
        let size = properties.get("batch-size");
        let size = size.and_then(|size| size.trim().parse().ok());
        return Ok((client, size.filter(|size| *size > 0).unwrap_or(100)));
    }
    let (Some(host), Some(port)) = (args.get("host"), args.get("port")) else {
        let text = "avro-client needs --host and --port, or --rpcProps";
        return Err(Failure::Usage(text.into()));
    };
    let port = port.parse();
    let port = port.map_err(|_| Failure::Usage("--port is a number from 1 to 65535".into()))?;
    let client = FlumeClient::peer(PeerSettings::avro(host, port));
    Ok((client, DEFAULT_BATCH_LINES))
}

fn read_properties(path: &Path) -> Result<BTreeMap<String, String>, anyhow::Error> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| format!("failed to read {name}"))?;
    let file = name.as_str().into();
    let (text, _) = properties::decode(&file, &bytes);
    let parsed = properties::parse(&file, &text);
    let entries = parsed.entries.into_iter();
    Ok(entries.map(|entry| (entry.key, entry.value)).collect())
}

/// Where a later run goes on: the file under way, and how many of its bytes were acknowledged.
struct Checkpoint {
    path: Option<PathBuf>,
    file: String,
    offset: u64,
    written: Instant,
    is_new: bool,
}

impl Checkpoint {
    fn open(path: Option<PathBuf>) -> Result<Self, anyhow::Error> {
        let mut checkpoint = Checkpoint {
            path,
            file: String::new(),
            offset: 0,
            written: Instant::now(),
            is_new: false,
        };
        let Some(path) = &checkpoint.path else {
            return Ok(checkpoint);
        };
        let name = path.display();
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(checkpoint),
            Err(error) => Err(error).with_context(|| format!("failed to read {name}")),
            Ok(bytes) => {
                let wrong = || anyhow!("{name} is not a checkpoint of this command");
                let json: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
                checkpoint.file = json["file"].as_str().ok_or_else(wrong)?.into();
                checkpoint.offset = json["offset"].as_u64().ok_or_else(wrong)?;
                Ok(checkpoint)
            }
        }
    }

    /// Where to begin in a file.
    fn begin(&mut self, file: &Path) -> u64 {
        let file = file.display().to_string();
        if self.file != file {
            self.file = file;
            self.offset = 0;
        }
        self.offset
    }

    /// So many more bytes were acknowledged.
    fn advance(&mut self, bytes: u64) -> Result<(), anyhow::Error> {
        self.offset += bytes;
        self.is_new = true;
        if self.written.elapsed() >= CHECKPOINT_INTERVAL {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), anyhow::Error> {
        let Some(path) = self.path.as_ref().filter(|_| self.is_new) else {
            return Ok(());
        };
        let json = json!({ "file": self.file, "offset": self.offset }).to_string();
        let replaced = flume_host::replace::replace(path, json.as_bytes(), 0o644);
        replaced.with_context(|| format!("failed to write {}", path.display()))?;
        self.written = Instant::now();
        self.is_new = false;
        Ok(())
    }
}

struct LineSender {
    client: FlumeClient,
    batch_lines: usize,
    headers: Headers,
    checkpoint: Checkpoint,
    sent: u64,
    progress: Progress,
}

impl LineSender {
    async fn send_all(&mut self, args: &Args) -> Result<(), anyhow::Error> {
        if let Some(directory) = args.get("dirname") {
            return self.send_directory(Path::new(directory)).await;
        }
        match args.get("filename") {
            Some(file) => self.send_file(Path::new(file)).await,
            None => self.send_lines(Box::new(BufReader::new(io::stdin()))).await,
        }
    }

    /// Every file that was not sent yet, the oldest first. A file that was sent is renamed.
    async fn send_directory(&mut self, directory: &Path) -> Result<(), anyhow::Error> {
        let mut files = vec![];
        let entries = fs::read_dir(directory);
        let entries = entries.with_context(|| format!("failed to read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata()?;
            if metadata.is_file() && !name.starts_with('.') && !name.ends_with(SENT_SUFFIX) {
                files.push((metadata.modified()?, entry.path()));
            }
        }
        files.sort();
        for (_, file) in files {
            self.send_file(&file).await?;
            let mut sent = file.clone().into_os_string();
            sent.push(SENT_SUFFIX);
            let sent = PathBuf::from(sent);
            if sent.exists() {
                bail!(
                    "{} was sent, and {} is there already",
                    file.display(),
                    sent.display()
                );
            }
            fs::rename(&file, &sent)
                .with_context(|| format!("failed to rename {}", file.display()))?;
        }
        Ok(())
    }

    async fn send_file(&mut self, path: &Path) -> Result<(), anyhow::Error> {
        let doing = || format!("failed to read {}", path.display());
        let mut file = fs::File::open(path).with_context(doing)?;
        let begin = self.checkpoint.begin(path);
        file.seek(SeekFrom::Start(begin)).with_context(doing)?;
        self.send_lines(Box::new(BufReader::new(file))).await
    }

    /// Sends what is there in batches, and does not wait for a batch to fill.
    async fn send_lines(&mut self, reader: Box<dyn BufRead + Send>) -> Result<(), anyhow::Error> {
        let lines = read_ahead(reader);
        loop {
            let mut events = vec![];
            let mut bytes = 0;
            let mut next = lines.recv().ok();
            let mut is_last = next.is_none();
            while let Some(line) = next.take() {
                let line = line?;
                bytes += line.len() as u64;
                events.push(self.event(line));
                if events.len() == self.batch_lines {
                    break;
                }
                match lines.try_recv() {
                    Ok(line) => next = Some(line),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => is_last = true,
                }
            }
            if !events.is_empty() {
                self.client.append_batch(&events).await?;
                self.sent += events.len() as u64;
                self.progress.count(self.sent, "lines");
                self.checkpoint.advance(bytes)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// A line without its end.
    fn event(&self, mut line: Vec<u8>) -> Event {
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        Event {
            headers: self.headers.clone(),
            body: line.into(),
        }
    }
}

/// Reads lines, each with its end, on a thread of its own.
fn read_ahead(mut reader: Box<dyn BufRead + Send>) -> Receiver<io::Result<Vec<u8>>> {
    let (lines, received) = sync_channel(MAX_WAITING_LINES);
    thread::spawn(move || {
        loop {
            let mut line = vec![];
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) if lines.send(Ok(line)).is_err() => return,
                Ok(_) => {}
                Err(error) => {
                    let _ = lines.send(Err(error));
                    return;
                }
            }
        }
    });
    received
}
