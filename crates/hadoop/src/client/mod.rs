//! The client of HDFS: one for each cluster and user, shared by all sinks of the process that have both.
//!
//! It has a runtime of its own, one connection to each NameNode, one lease renewer, and one task for each open file. What
//! a failing DataNode teaches one file, all files know ([`suspects`]).

mod calls;
mod data;
mod driver;
mod file;
mod lease;
mod read;
mod suspects;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Weak, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use flume_kerberos::Identity;
use parking_lot::Mutex;
use prost::Message;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    time::Instant,
};

use self::{data::KeyCache, lease::Leases, suspects::Suspects};
use crate::{
    conf::{ClientSettings, NameNode},
    fs::{FileSystem, FsError, FsErrorKind, OpenFile},
    namenode::{
        NameNodes,
        exceptions::{fs_error, kind},
        messages::{
            BooleanResponse, CREATE_FLAG, CreateRequest, DeleteRequest, FileStatus,
            FileStatusResponse, PathRequest, Permission, RecoverLeaseRequest, RenameRequest,
            SHOULD_REPLICATE_FLAG, SYMLINK_TYPE, TruncateRequest,
        },
    },
    rpc::RpcError,
    writer::WriteSettings,
    xfer::socket::DataSettings,
};

/// Threads of a client at most: encryption for a hundred files uses some, waiting for them uses none.
const MAX_THREADS: usize = 4;
/// Pipelines that are set up at the same time at most.
const MAX_SET_UPS: usize = 32;
/// A call without limit ends after this, too.
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// What a client is made for, and as whom. Equal ones share a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientOptions {
    /// `hdfs://host:port` or `hdfs://nameservice`.
    pub url: String,
    /// Its NameNodes.
    pub namenodes: Vec<NameNode>,
    /// What Hadoop's configuration says.
    pub settings: ClientSettings,
    /// As whom; `_HOST` is resolved.
    pub identity: Identity,
    /// Whose files these are, by short name.
    pub user: String,
    /// The longest that a call may take; zero: for ever. The real cause is told shortly before.
    pub call_limit: Duration,
}

impl ClientOptions {
    /// Where relative paths begin.
    pub fn home(&self) -> String {
        let prefix = self.settings.home_prefix.trim_end_matches('/');
        format!("{prefix}/{}", self.user)
    }

    /// The limit within which a call tells why it did not succeed.
    fn patience(&self) -> Duration {
        if self.call_limit.is_zero() {
            NO_LIMIT
        } else {
            self.call_limit - (self.call_limit / 10).min(Duration::from_secs(1))
        }
    }
}

/// The shared client of these options. Nothing is asked yet.
///
/// # Errors
/// The system has no threads for it.
pub fn open(options: ClientOptions) -> Result<Arc<dyn FileSystem>, FsError> {
    static CLIENTS: LazyLock<Mutex<HashMap<ClientOptions, Weak<HdfsClient>>>> =
        LazyLock::new(Mutex::default);
    let mut clients = CLIENTS.lock();
    clients.retain(|_, client| client.strong_count() > 0);
    if let Some(client) = clients.get(&options).and_then(Weak::upgrade) {
        return Ok(client);
    }
    let core = ClientCore::start(options.clone())?;
    let client = Arc::new(HdfsClient { core });
    clients.insert(options, Arc::downgrade(&client));
    Ok(client)
}

struct HdfsClient {
    core: Arc<ClientCore>,
}

/// What the files of a client share. It lives as long as one of them does.
pub(crate) struct ClientCore {
    options: ClientOptions,
    threads: ClientThreads,
    namenodes: NameNodes,
    /// Who holds the leases.
    name: String,
    /// Who recovers them: under another name, so that the old writer is fenced off.
    recovery_name: String,
    leases: Leases,
    suspects: Suspects,
    set_ups: Semaphore,
    keys: KeyCache,
    write: WriteSettings,
    data: DataSettings,
    next_file: AtomicU64,
}

/// The runtime; it ends without waiting, for a thread may stand in a login.
struct ClientThreads(Option<Runtime>);

impl Drop for ClientThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl ClientCore {
    fn start(options: ClientOptions) -> Result<Arc<ClientCore>, FsError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.min(MAX_THREADS))
            .thread_name(format!("hdfs-{}", options.user))
            .enable_all()
            .build();
        let doing = format!("connect to {}", options.url);
        let runtime = runtime.map_err(FsError::at(FsErrorKind::Retry, doing))?;
        let settings = &options.settings;
        let bytes_per_checksum = settings.bytes_per_checksum;
        let chunk_bytes = bytes_per_checksum + crate::xfer::packet::CHECKSUM_BYTES;
        let room = settings
            .packet_bytes
            .saturating_sub(crate::xfer::packet::MAX_HEAD_BYTES);
        let write = WriteSettings {
            block_bytes: settings.block_size,
            packet_data_bytes: (room / chunk_bytes).max(1) * bytes_per_checksum,
            bytes_per_checksum,
            checksum: settings.checksum,
            replication: settings.replication as usize,
            replace_nodes: settings.replace_nodes,
            patience: options.patience(),
        };
        let data = DataSettings {
            kerberos: settings.kerberos || options.identity.login.is_some(),
            protection: settings.data_protection.clone(),
            aes: settings.data_aes,
            use_host_name: settings.use_host_name,
        };
        let name = format!("flume_{:032x}", fastrand::u128(..));
        let core = Arc::new(ClientCore {
            namenodes: NameNodes::new(
                options.namenodes.clone(),
                options.identity.clone(),
                options.settings.clone(),
                runtime.handle().clone(),
            ),
            recovery_name: format!("{name}_recovery"),
            name,
            leases: Leases::default(),
            suspects: Suspects::default(),
            set_ups: Semaphore::new(MAX_SET_UPS),
            keys: KeyCache::default(),
            write,
            data,
            next_file: AtomicU64::new(0),
            threads: ClientThreads(Some(runtime)),
            options,
        });
        if let Some(runtime) = &core.threads.0 {
            runtime.spawn(lease::renew(Arc::downgrade(&core)));
        }
        Ok(core)
    }

    /// When a call that begins now has failed.
    fn deadline(&self) -> Instant {
        Instant::now() + self.write.patience
    }

    async fn ask<M: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<M, RpcError> {
        self.namenodes.call(method, request, self.deadline()).await
    }

    /// The same; an error says what was being done.
    async fn call<M: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
        doing: impl Into<String>,
    ) -> Result<M, FsError> {
        let called = self.ask(method, request).await;
        called.map_err(|error| fs_error(doing, error))
    }

    async fn status(&self, path: &str) -> Result<Option<FileStatus>, FsError> {
        let request = PathRequest { path: path.into() };
        let answer: FileStatusResponse = self
            .call("getFileInfo", &request, format!("look at {path}"))
            .await?;
        Ok(answer.status)
    }

    async fn delete(&self, path: &str) -> Result<(), FsError> {
        let request = DeleteRequest {
            path: path.into(),
            recursive: false,
        };
        let _: BooleanResponse = self
            .call("delete", &request, format!("remove {path}"))
            .await?;
        Ok(())
    }

    /// Creates the file, and refuses what it cannot write.
    async fn create(&self, path: &str) -> Result<FileStatus, FsError> {
        let doing = || format!("create {path}");
        let request = CreateRequest {
            path: path.into(),
            masked: Permission {
                mode: 0o666 & !self.options.settings.umask,
            },
            client_name: self.name.clone(),
            flags: CREATE_FLAG | SHOULD_REPLICATE_FLAG,
            create_parent: true,
            replication: self.options.settings.replication,
            block_size: self.write.block_bytes,
            unmasked: Some(Permission { mode: 0o666 }),
        };
        let created: FileStatusResponse = self.call("create", &request, doing()).await?;
        let status = created.status.unwrap_or_default();
        let coded = status
            .erasure_coding
            .as_ref()
            .is_some_and(|policy| !policy.is_empty());
        let unfit = if coded {
            "the NameNode made it erasure coded, and such files cannot be flushed"
        } else if status.file_type == SYMLINK_TYPE {
            "it is a symbolic link"
        } else {
            return Ok(status);
        };
        self.delete(path).await?;
        Err(FsError::at(FsErrorKind::Unsupported, doing())(unfit))
    }

    /// Cuts a closed file down to what was flushed. `false`: that takes a while.
    async fn cut(&self, path: &str, keep: u64) -> Result<bool, FsError> {
        let length = self.status(path).await?.map_or(0, |status| status.length);
        if length <= keep {
            return Ok(true);
        }
        let request = TruncateRequest {
            path: path.into(),
            new_length: keep,
            client_name: self.recovery_name.clone(),
        };
        let doing = format!("cut {path} to {keep} bytes");
        let cut: Result<BooleanResponse, RpcError> = self.ask("truncate", &request).await;
        match cut {
            Ok(cut) => Ok(cut.result == Some(true)),
            Err(error) if kind(&error) == FsErrorKind::Unsupported => {
                let rest = length - keep;
                tracing::warn!(
                    "{path} keeps {rest} bytes that come again, for the cluster does not truncate: {error}"
                );
                Ok(true)
            }
            Err(error) => Err(fs_error(doing, error)),
        }
    }
}

#[async_trait]
impl FileSystem for HdfsClient {
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        let status = self.core.create(path).await?;
        Ok(Box::new(file::HdfsFile::start(
            self.core.clone(),
            path,
            &status,
        )))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        let request = RenameRequest {
            from: from.into(),
            to: to.into(),
            overwrite: false,
        };
        let _: BooleanResponse = self
            .core
            .call("rename2", &request, format!("rename {from} to {to}"))
            .await?;
        Ok(())
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        Ok(self.core.status(path).await?.map(|status| status.length))
    }

    async fn recover_lease(&self, path: &str, keep: Option<u64>) -> Result<bool, FsError> {
        let request = RecoverLeaseRequest {
            path: path.into(),
            client_name: self.core.recovery_name.clone(),
        };
        let doing = format!("recover the lease of {path}");
        let recovered: Result<BooleanResponse, FsError> =
            self.core.call("recoverLease", &request, doing).await;
        match recovered {
            Ok(recovered) if recovered.result != Some(true) => Ok(false),
            // Its last block is being recovered already, or cut.
            Err(error) if error.kind == FsErrorKind::Exists => Ok(false),
            Err(error) => Err(error),
            Ok(_) => match keep {
                Some(keep) => self.core.cut(path, keep).await,
                None => Ok(true),
            },
        }
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        // The client's own threads serve connections: the caller's may end.
        read::read(&self.core, path).await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        self.core.delete(path).await
    }

    fn location(&self) -> String {
        format!("{} as {}", self.core.options.url, self.core.options.user)
    }

    fn home(&self) -> String {
        self.core.options.home()
    }

    fn replication(&self) -> usize {
        self.core.write.replication
    }
}
