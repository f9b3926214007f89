//! The narrow seam between the sink and a file system. Everything a file system does for the sink is here, so that
//! a client can be replaced, and every fault injected, without touching the sink.

mod bounded;
mod connect;
mod hdfs;
mod local;
mod mounts;

use async_trait::async_trait;
use bytes::Bytes;

pub use bounded::bounded;
pub use connect::{Url, connect};
pub use local::LocalFileSystem;

pub use crate::admission::{Cluster, Destination};

/// A file system, as one user sees it. Paths are absolute and without scheme: `/logs/2026/FlumeData.1`.
///
/// A call that is dropped half way may still happen later: after a time-out the caller assumes nothing.
#[async_trait]
pub trait FileSystem: Send + Sync {
    /// Creates a file, and its parents where missing. Never overwrites: [`FsErrorKind::Exists`]. After a refusal for
    /// permissions, a quota or the name there is no file; after another failure there may be one.
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError>;

    /// Renames; never overwrites: [`FsErrorKind::Exists`]. A missing source is [`FsErrorKind::Gone`].
    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError>;

    /// Bytes of a closed file; `None`: there is nothing of that name. Of an open file HDFS counts what the NameNode has been
    /// told, which may be less than what readers see.
    async fn length(&self, path: &str) -> Result<Option<u64>, FsError>;

    /// Asks that a file left open by a writer that is gone be closed. `keep`: bytes that were flushed, where that is known;
    /// what is behind them is cut off. `true` once it is so: until then ask again.
    async fn recover_lease(&self, path: &str, keep: Option<u64>) -> Result<bool, FsError>;

    /// The whole content of a small file: a schema.
    async fn read(&self, path: &str) -> Result<Bytes, FsError>;

    /// Removes a file; one that is not there is no error.
    async fn remove(&self, path: &str) -> Result<(), FsError>;

    /// Where this is, and as whom: `hdfs://nn:8020 as alice`.
    fn location(&self) -> String {
        "file:".into()
    }

    /// Where a path without leading slash begins: `/user/flume`.
    fn home(&self) -> String {
        "/".into()
    }

    /// Replicas that a file is created with; 1 where there are none.
    fn replication(&self) -> usize {
        1
    }
}

/// A file being written. After an error, or a call that was dropped half way, only `abort` is left.
#[async_trait]
pub trait OpenFile: Send {
    /// Appends. One call per batch: a client may encrypt and acknowledge each call by itself.
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError>;

    /// `Ok`: new readers see every byte written, and the death of this process loses none. On HDFS the bytes are in
    /// the memory of every DataNode of the pipeline.
    async fn hflush(&mut self) -> Result<(), FsError>;

    /// `Ok`: besides, every byte written is on disk.
    async fn hsync(&mut self) -> Result<(), FsError>;

    /// `Ok`: the file is complete and closed for good, as the file system itself says.
    async fn close(&mut self) -> Result<(), FsError>;

    /// Gives the file up without asking anybody. The caller recovers the lease afterwards, with
    /// [`OpenFile::flushed_length`]: what was written and not flushed may be in the file until then.
    async fn abort(self: Box<Self>);

    /// Bytes that a flush has made safe, for [`FileSystem::recover_lease`]; `None`: the file system knows by itself.
    fn flushed_length(&self) -> Option<u64> {
        None
    }

    /// DataNodes that still take what is written; `None` where that is not known.
    fn live_replicas(&self) -> Option<usize> {
        None
    }
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("failed to {context}")]
pub struct FsError {
    /// What can be done about it.
    pub kind: FsErrorKind,
    /// What was being done, with the path: "create /logs/x.tmp".
    pub context: String,
    /// Why.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What can be done about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FsErrorKind {
    /// It may work later: an unreachable server, safe mode, a time-out.
    Retry,
    /// This user may not do it here; others, or elsewhere, may.
    Permission,
    /// A limit of names or space is reached here.
    Quota,
    /// The file is not there, is not ours any more, or its writer is dead.
    Gone,
    /// There is a file of that name already.
    Exists,
    /// No file can have such a name here: it is too long, or has characters that are not allowed.
    Name,
    /// This file system does not do it.
    Unsupported,
}

impl FsErrorKind {
    /// Whether the file system looked at the call, said no, and did nothing.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            FsErrorKind::Permission | FsErrorKind::Quota | FsErrorKind::Name
        )
    }
}

impl FsError {
    /// For `map_err`: `.map_err(FsError::at(FsErrorKind::Retry, "create /x"))`.
    pub fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        kind: FsErrorKind,
        doing: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        move |cause| FsError {
            kind,
            context: doing.into(),
            cause: cause.into(),
        }
    }
}
