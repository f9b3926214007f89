//! Writes logs that Java Flume opens: the way back. It needs no checkpoint; without one Flume reads the logs.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flume_core::Event;

use super::{
    log::{Meta, append_record},
    record::{Action, Record},
};

/// Flume's own logs have at most 1.5 GiB.
const LOG_BYTES: u64 = 1 << 30;
/// Events of a transaction.
const BATCH_EVENTS: usize = 1000;
/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes events as a `dataDir` of Java Flume.
pub struct JavaWriter {
    directory: PathBuf,
    log_bytes: u64,
    log: Option<OpenLog>,
    next_log: u32,
    order: i64,
    transaction: i64,
    /// Events of the transaction that is not committed.
    open: usize,
}

struct OpenLog {
    file: File,
    buffer: Vec<u8>,
    bytes: u64,
}

impl JavaWriter {
    /// Writes into a directory, which is made, and must be empty.
    pub fn create(directory: &Path) -> io::Result<Self> {
        Self::with_logs_of(directory, LOG_BYTES)
    }

    fn with_logs_of(directory: &Path, log_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        if fs::read_dir(directory)?.next().is_some() {
            return Err(io::Error::other(format!(
                "{} is not empty; name a new directory",
                directory.display()
            )));
        }
        Ok(JavaWriter {
            directory: directory.into(),
            log_bytes,
            log: None,
            next_log: 1,
            order: 0,
            transaction: 1,
            open: 0,
        })
    }

    /// Writes an event.
    pub fn put(&mut self, event: Event) -> io::Result<()> {
        self.append(Action::Put(event))?;
        self.open += 1;
        if self.open == BATCH_EVENTS || self.log_is_full() {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub fn finish(mut self) -> io::Result<()> {
        if self.open > 0 {
            self.commit()?;
        }
        self.end_log()?;
        File::open(&self.directory)?.sync_all()?;
        match self.directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        self.append(Action::CommitPuts)?;
        self.transaction += 1;
        self.open = 0;
        // Between transactions, so that none stands in two logs.
        if self.log_is_full() {
            self.end_log()?;
        }
        Ok(())
    }

    fn log_is_full(&self) -> bool {
        let full = |log: &OpenLog| log.bytes >= self.log_bytes;
        self.log.as_ref().is_some_and(full)
    }

    fn append(&mut self, action: Action) -> io::Result<()> {
        self.order += 1;
        let record = Record {
            transaction: self.transaction,
            order: self.order,
            action,
        };
        if self.log.is_none() {
            self.log = Some(self.begin_log()?);
        }
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let before = log.buffer.len();
        append_record(&record, &mut log.buffer);
        log.bytes += (log.buffer.len() - before) as u64;
        if log.buffer.len() >= BUFFER_BYTES {
            log.file.write_all(&log.buffer)?;
            log.buffer.clear();
        }
        Ok(())
    }

    fn begin_log(&mut self) -> io::Result<OpenLog> {
        let id = self.next_log;
        self.next_log += 1;
        let path = self.directory.join(format!("log-{id}"));
        let mut meta = File::create_new(path.with_extension("meta"))?;
        meta.write_all(&Meta::new(id).encode_file())?;
        meta.sync_all()?;
        let file = File::create_new(path)?;
        Ok(OpenLog {
            file,
            buffer: vec![],
            bytes: 0,
        })
    }

    fn end_log(&mut self) -> io::Result<()> {
        let Some(mut log) = self.log.take() else {
            return Ok(());
        };
        log.file.write_all(&log.buffer)?;
        log.file.sync_all()
    }
}
