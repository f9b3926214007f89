//! Every call within a time limit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;

use super::{FileSystem, FsError, FsErrorKind, OpenFile};

/// A file system whose calls end.
struct Bounded {
    fs: Arc<dyn FileSystem>,
    limit: Duration,
}

struct BoundedFile {
    file: Box<dyn OpenFile>,
    limit: Duration,
}

/// The same file system, whose calls end: one that takes longer than `limit` has failed, and may still happen. Zero: no
/// limit.
pub fn bounded(fs: Arc<dyn FileSystem>, limit: Duration) -> Arc<dyn FileSystem> {
    if limit.is_zero() {
        fs
    } else {
        Arc::new(Bounded { fs, limit })
    }
}

async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, FsError>>,
) -> Result<T, FsError> {
    let late = |_| {
        FsError::at(FsErrorKind::Retry, doing)(format!(
            "no answer within {limit:?} (hdfs.callTimeout)"
        ))
    };
    timeout(limit, call).await.map_err(late)?
}

#[async_trait]
impl FileSystem for Bounded {
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        let file = within(self.limit, &format!("create {path}"), self.fs.create(path)).await?;
        Ok(Box::new(BoundedFile {
            file,
            limit: self.limit,
        }))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        within(
            self.limit,
            &format!("rename {from}"),
            self.fs.rename(from, to),
        )
        .await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        within(self.limit, &format!("look at {path}"), self.fs.length(path)).await
    }

    async fn recover_lease(&self, path: &str, keep: Option<u64>) -> Result<bool, FsError> {
        within(
            self.limit,
            &format!("recover the lease of {path}"),
            self.fs.recover_lease(path, keep),
        )
        .await
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        within(self.limit, &format!("read {path}"), self.fs.read(path)).await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        within(self.limit, &format!("remove {path}"), self.fs.remove(path)).await
    }

    fn location(&self) -> String {
        self.fs.location()
    }

    fn home(&self) -> String {
        self.fs.home()
    }

    fn replication(&self) -> usize {
        self.fs.replication()
    }
}

#[async_trait]
impl OpenFile for BoundedFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError> {
        within(self.limit, "write", self.file.write(bytes)).await
    }

    async fn hflush(&mut self) -> Result<(), FsError> {
        within(self.limit, "flush", self.file.hflush()).await
    }

    async fn hsync(&mut self) -> Result<(), FsError> {
        within(self.limit, "sync", self.file.hsync()).await
    }

    async fn close(&mut self) -> Result<(), FsError> {
        within(self.limit, "close", self.file.close()).await
    }

    async fn abort(self: Box<Self>) {
        if timeout(self.limit, self.file.abort()).await.is_err() {
            tracing::warn!("a file could not be given up within {:?}", self.limit);
        }
    }

    fn flushed_length(&self) -> Option<u64> {
        self.file.flushed_length()
    }

    fn live_replicas(&self) -> Option<usize> {
        self.file.live_replicas()
    }
}
