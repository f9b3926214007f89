//! The local file system, and what is mounted there.
//!
//! A write on a local disk goes into memory, so it is made where it is called. All else, and writes over a network, go
//! to threads of their own, so that a time limit can leave them behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{FileSystem, FsError, FsErrorKind, OpenFile};

/// Calls at the same time: a thread each, so a hundred files that roll together do not need a hundred.
static MAX_LOCAL_CALLS: Semaphore = Semaphore::const_new(16);

/// Files of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFileSystem;

struct LocalFile {
    file: Arc<File>,
    path: PathBuf,
    /// Bytes written, and how many of them are flushed.
    written: u64,
    flushed: u64,
    /// Whether the directory entry is on disk.
    entered: bool,
    /// Whether a write may wait for a server.
    remote: bool,
}

/// File systems with a server, as `statfs` tells them: NFS, SMB, CIFS, SMB 2, FUSE, Ceph, Lustre, GPFS, 9P, AFS.
const REMOTE: &[u32] = &[
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x6573_5546,
    0x00C3_6400,
    0x0BD0_0BD0,
    0x4750_4653,
    0x0102_1997,
    0x5346_414F,
];

#[async_trait]
impl FileSystem for LocalFileSystem {
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        apart("create", path, |path| {
            let open = || OpenOptions::new().append(true).create_new(true).open(path);
            open().or_else(|error| match (error.kind(), path.parent()) {
                (ErrorKind::NotFound, Some(parent)) => {
                    fs::create_dir_all(parent).and_then(|()| open())
                }
                _ => Err(error),
            })
        })
        .await
        .map(|file| LocalFile::boxed(file, path, 0))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        let to = PathBuf::from(to);
        apart("rename", from, move |from| rename_new(from, &to)).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        apart("look at", path, |path| match fs::metadata(path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Nobody holds a lease here, and `abort` has cut what was not flushed.
    async fn recover_lease(&self, path: &str, _keep: Option<u64>) -> Result<bool, FsError> {
        apart("look at", path, |path| fs::metadata(path).map(|_| true)).await
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        apart("read", path, |path| fs::read(path).map(Bytes::from)).await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        apart("remove", path, |path| match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        })
        .await
    }

    fn home(&self) -> String {
        std::env::current_dir()
            .map_or_else(|_| "/".into(), |dir| dir.to_string_lossy().into_owned())
    }
}

#[async_trait]
impl OpenFile for LocalFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError> {
        let length = bytes.len() as u64;
        let file = self.file.clone();
        let write = move |_: &Path| (&*file).write_all(&bytes);
        if self.remote {
            apart("write to", &self.path, write).await?;
        } else {
            write(&self.path).map_err(|error| failed("write to", &self.path, error))?;
        }
        self.written += length;
        Ok(())
    }

    /// The operating system has the bytes already: they outlive this process, not a power failure.
    async fn hflush(&mut self) -> Result<(), FsError> {
        self.flushed = self.written;
        Ok(())
    }

    async fn hsync(&mut self) -> Result<(), FsError> {
        let file = self.file.clone();
        let entered = self.entered;
        apart("sync", &self.path, move |path| {
            file.sync_data()?;
            if !entered {
                // The directories may be as new as the file.
                for directory in path.ancestors().skip(1) {
                    File::open(directory)?.sync_all()?;
                }
            }
            Ok(())
        })
        .await?;
        (self.flushed, self.entered) = (self.written, true);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), FsError> {
        self.hflush().await
    }

    async fn abort(self: Box<Self>) {
        let LocalFile {
            file,
            path,
            written,
            flushed,
            ..
        } = *self;
        // A failed write may have left a part of itself, of a length that nobody counted.
        let taken_back = apart("truncate", &path, move |_| match file.metadata()?.len() {
            length if length > flushed => file.set_len(flushed),
            _ => Ok(()),
        })
        .await;
        if let Err(error) = taken_back {
            tracing::warn!("{} of {written} bytes are flushed: {error}", flushed);
        }
    }
}

impl LocalFile {
    fn boxed(file: File, path: &str, length: u64) -> Box<dyn OpenFile> {
        let remote =
            rustix::fs::fstatfs(&file).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u32)));
        let file = Arc::new(file);
        let path = PathBuf::from(path);
        Box::new(LocalFile {
            file,
            path,
            written: length,
            flushed: length,
            entered: false,
            remote,
        })
    }
}

/// Runs a call on a thread where it may wait.
async fn apart<T: Send + 'static>(
    doing: &'static str,
    path: impl AsRef<Path>,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, FsError> {
    let path = path.as_ref().to_path_buf();
    // A call that is left behind keeps its place until it comes back.
    let place = MAX_LOCAL_CALLS.acquire().await;
    let done = spawn_blocking(move || {
        let _place = place;
        call(&path).map_err(|error| failed(doing, &path, error))
    });
    done.await
        .unwrap_or_else(|error| Err(FsError::at(FsErrorKind::Retry, doing)(error)))
}

/// Renames unless there is something of the new name: in one step where the file system knows how, else by a link.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => Ok(done?),
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> FsError {
    let kind = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            FsErrorKind::Permission
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FsErrorKind::Quota,
        // The latter is a zero byte.
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => FsErrorKind::Name,
        ErrorKind::NotFound => FsErrorKind::Gone,
        ErrorKind::AlreadyExists => FsErrorKind::Exists,
        ErrorKind::Unsupported => FsErrorKind::Unsupported,
        _ => FsErrorKind::Retry,
    };
    FsError::at(kind, format!("{doing} {}", path.display()))(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_begins_with_its_directories_and_ends_with_what_was_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", dir.path().display());
        let fs = LocalFileSystem;
        let a = path("x/y/a");
        let b = path("x/y/b");
        let mut file = fs.create(&a).await.unwrap();
        assert_eq!(fs.create(&a).await.err().unwrap().kind, FsErrorKind::Exists);
        file.write("one".into()).await.unwrap();
        file.hsync().await.unwrap();
        file.write("two".into()).await.unwrap();
        file.abort().await;
        assert_eq!(fs.read(&a).await.unwrap(), "one");
        assert_eq!(fs.length(&a).await.unwrap(), Some(3));
        fs.rename(&a, &b).await.unwrap();
        assert_eq!(fs.rename(&a, &b).await.unwrap_err().kind, FsErrorKind::Gone);
        fs.create(&a).await.unwrap();
        assert_eq!(
            fs.rename(&a, &b).await.unwrap_err().kind,
            FsErrorKind::Exists
        );
        assert_eq!(
            (
                fs.length(&path("none")).await.unwrap(),
                fs.recover_lease(&b, None).await.unwrap()
            ),
            (None, true)
        );
        fs.remove(&b).await.unwrap();
        fs.remove(&b).await.unwrap();
        assert_eq!(
            fs.recover_lease(&b, None).await.unwrap_err().kind,
            FsErrorKind::Gone
        );
    }

    #[tokio::test]
    async fn a_write_over_a_network_does_not_hold_up_its_caller() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let file = Arc::new(File::create_new(&path).unwrap());
        let mut file = LocalFile {
            file,
            path: path.clone(),
            written: 0,
            flushed: 0,
            entered: false,
            remote: true,
        };
        file.write("one".into()).await.unwrap();
        file.close().await.unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "one");
    }

    #[tokio::test]
    async fn a_file_in_place_of_a_directory_is_this_paths_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = format!("{}/file/x", dir.path().display());
        fs::write(dir.path().join("file"), "").unwrap();
        let error = LocalFileSystem.create(&path).await.err().unwrap();
        assert_eq!(error.kind, FsErrorKind::Permission, "{error}");
    }
}
