//! An open file as the sink holds it: a handle to the task that writes it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{ClientCore, driver};
use crate::{
    fs::{FsError, FsErrorKind, OpenFile},
    namenode::messages::FileStatus,
    writer::WriteFailure,
};

/// Bytes of a file that may wait for acknowledgement before the next write.
const MAX_UNACKNOWLEDGED_BYTES: u64 = 5 << 20;

/// What the handle asks of the task.
pub(super) enum FileCommand {
    Write(Bytes),
    Flush {
        sync: bool,
        reply: oneshot::Sender<Result<(), WriteFailure>>,
    },
    Close {
        reply: oneshot::Sender<Result<(), WriteFailure>>,
    },
}

/// What the task shows.
#[derive(Default)]
pub(super) struct FileProgress {
    /// Bytes that every DataNode has.
    pub(super) acknowledged: AtomicU64,
    /// DataNodes that take what is written.
    pub(super) live_nodes: AtomicUsize,
    /// Why it ended.
    pub(super) failure: Mutex<Option<WriteFailure>>,
    /// Something of this has changed.
    pub(super) moved: Notify,
}

pub(super) struct HdfsFile {
    path: String,
    commands: mpsc::UnboundedSender<FileCommand>,
    progress: Arc<FileProgress>,
    written: u64,
    /// Bytes that a flush has returned for.
    flushed: u64,
}

impl HdfsFile {
    pub(super) fn start(core: Arc<ClientCore>, path: &str, status: &FileStatus) -> HdfsFile {
        let (commands, queue) = mpsc::unbounded_channel();
        let progress = Arc::new(FileProgress::default());
        progress.live_nodes.store(core.write.replication, SeqCst);
        driver::start(core, path.to_string(), status, queue, progress.clone());
        HdfsFile {
            path: path.into(),
            commands,
            progress,
            written: 0,
            flushed: 0,
        }
    }

    fn failed(&self, word: &str) -> FsError {
        let failure = self.progress.failure.lock().clone();
        let failure = failure.unwrap_or_else(|| WriteFailure {
            kind: FsErrorKind::Gone,
            text: "it was given up after an earlier failure".into(),
        });
        FsError::at(failure.kind, format!("{word} {}", self.path))(failure.text)
    }

    fn send(&self, word: &str, command: FileCommand) -> Result<(), FsError> {
        self.commands.send(command).map_err(|_| self.failed(word))
    }

    async fn ask(
        &self,
        word: &str,
        command: impl FnOnce(oneshot::Sender<Result<(), WriteFailure>>) -> FileCommand,
    ) -> Result<(), FsError> {
        let (reply, answer) = oneshot::channel();
        self.send(word, command(reply))?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(FsError::at(failure.kind, format!("{word} {}", self.path))(
                failure.text,
            )),
            Err(_) => Err(self.failed(word)),
        }
    }

    async fn flush(&mut self, sync: bool) -> Result<(), FsError> {
        let word = if sync { "sync" } else { "flush" };
        self.ask(word, |reply| FileCommand::Flush { sync, reply })
            .await?;
        self.flushed = self.written;
        Ok(())
    }
}

#[async_trait]
impl OpenFile for HdfsFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError> {
        loop {
            let moved = self.progress.moved.notified();
            let acknowledged = self.progress.acknowledged.load(SeqCst);
            if self.commands.is_closed() {
                return Err(self.failed("write"));
            }
            if self.written.saturating_sub(acknowledged) <= MAX_UNACKNOWLEDGED_BYTES {
                break;
            }
            moved.await;
        }
        self.written += bytes.len() as u64;
        self.send("write", FileCommand::Write(bytes))
    }

    async fn hflush(&mut self) -> Result<(), FsError> {
        self.flush(false).await
    }

    async fn hsync(&mut self) -> Result<(), FsError> {
        self.flush(true).await
    }

    async fn close(&mut self) -> Result<(), FsError> {
        self.ask("close", |reply| FileCommand::Close { reply })
            .await?;
        self.flushed = self.written;
        Ok(())
    }

    /// The task hangs up as soon as its handle is gone.
    async fn abort(self: Box<Self>) {
        let progress = self.progress.clone();
        drop(self);
        // Until the task has ended it may still send.
        loop {
            let moved = progress.moved.notified();
            if progress.failure.lock().is_some() {
                return;
            }
            moved.await;
        }
    }

    fn live_replicas(&self) -> Option<usize> {
        Some(self.progress.live_nodes.load(SeqCst))
    }

    fn flushed_length(&self) -> Option<u64> {
        Some(self.flushed)
    }
}
