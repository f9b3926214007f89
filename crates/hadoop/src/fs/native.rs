//! HDFS by the `hdfs-native` client, whose types stay inside this file.
//!
//! What it lacks is made up for here, or said: it knows no `hflush`, so that is an `hsync`, which is stronger and
//! slower; it has no time limits of its own, and a call may hang for ever or panic. Every call therefore runs as a
//! task on threads of the client's own, where logins may block as well. A call that its caller gives up is aborted,
//! and the next one starts with new connections; files that are open keep theirs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use flume_kerberos::gss::TicketCache;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions, file::FileWriter};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
};

use super::{FileSystem, FsError, FsErrorKind, OpenFile};
use flume_kerberos::Login;

/// A schema is no larger.
const MOST_READ_BYTES: usize = 16 << 20;
/// One thread may stand in a login while the other serves open files.
const THREADS: usize = 2;
/// How often each NameNode is asked before a call has failed, unless the configuration says so: together with the
/// client's pauses a quarter of a minute, within the sink's default time limit, so that the cause is told.
const ATTEMPTS: usize = 4;

/// What a client is made for, and as whom. Equal ones share a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// `hdfs://host:port` or `hdfs://nameservice`.
    pub url: String,
    /// All of Hadoop's settings: the client looks for no files.
    pub settings: BTreeMap<String, String>,
    /// `dfs.replication`: replicas of new files.
    pub replication: u32,
    /// `dfs.blocksize`: bytes of a block of new files.
    pub block_size_bytes: u64,
    /// `fs.permissions.umask-mode`: permission bits that new files lack.
    pub umask: u32,
    /// Who logs in; `None`: Kerberos uses the tickets of this process' user.
    pub login: Option<Login>,
    /// Whose files these are, by short name: the impersonated user, or the one who is logged in.
    pub user: String,
    /// Whether `user` is impersonated.
    pub impersonates: bool,
}

impl Options {
    /// Where relative paths begin.
    pub(super) fn home(&self) -> String {
        let prefix = self
            .settings
            .get("dfs.user.home.dir.prefix")
            .map_or("/user", String::as_str);
        format!("{}/{}", prefix.trim_end_matches('/'), self.user)
    }
}

/// The shared client of these options. Nothing is asked yet.
pub fn open(options: Options) -> Arc<dyn FileSystem> {
    static CLIENTS: LazyLock<Mutex<HashMap<Options, Weak<Native>>>> = LazyLock::new(Mutex::default);
    let mut clients = CLIENTS.lock();
    clients.retain(|_, client| client.strong_count() > 0);
    if let Some(client) = clients.get(&options).and_then(Weak::upgrade) {
        return client;
    }
    let client = Arc::new(Native {
        seat: Arc::default(),
        options: options.clone(),
    });
    clients.insert(options, Arc::downgrade(&client));
    client
}

struct Native {
    options: Options,
    seat: Arc<Seat>,
}

/// The session that new calls use; empty after one was given up.
#[derive(Default)]
struct Seat(Mutex<Option<Arc<Session>>>);

/// Connections and the threads that serve them. It lives as long as a file of it does.
struct Session {
    client: Client,
    threads: Threads,
}

struct Threads(Option<Runtime>);

struct NativeFile {
    path: String,
    /// Gone after an error, and while a call is under way.
    writer: Option<FileWriter>,
    session: Arc<Session>,
    seat: Arc<Seat>,
}

/// A task that ends with its caller's interest in it.
struct Call<'a> {
    task: AbortHandle,
    session: &'a Arc<Session>,
    seat: &'a Seat,
    done: bool,
}

impl Threads {
    /// `kept` is dropped after the last thread has ended, and with it every task.
    fn start(user: &str, kept: impl Send + Sync + 'static) -> std::io::Result<Threads> {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name(format!("hdfs-{user}"))
            .on_thread_stop(move || {
                let _ = &kept;
            })
            .enable_all()
            .build()
            .map(|runtime| Threads(Some(runtime)))
    }
}

impl Drop for Threads {
    /// Without waiting: a thread may stand in a login, and nobody may block here.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.task.abort();
            self.seat.give_up(self.session);
        }
    }
}

impl Seat {
    fn give_up(&self, session: &Arc<Session>) {
        self.0
            .lock()
            .take_if(|current| Arc::ptr_eq(current, session));
    }
}

impl Session {
    fn start(options: &Options) -> Result<Session, FsError> {
        let doing = || format!("connect to {}", options.url);
        let cache = options.login.is_some().then(TicketCache::new).transpose();
        let cache = cache.map_err(FsError::at(FsErrorKind::Retry, doing()))?;
        let cache_name = cache.as_ref().map(|cache| cache.name().to_string());
        let threads = Threads::start(&options.user, cache);
        let threads = threads.map_err(FsError::at(FsErrorKind::Retry, doing()))?;
        let handle = threads.0.as_ref().map(|runtime| runtime.handle().clone());
        let mut builder = ClientBuilder::new()
            .with_url(&options.url)
            // A directory that is given is the only one looked into.
            .with_config_dir("/nonexistent")
            .with_config(settings(options));
        if let Some(handle) = handle {
            builder = builder.with_io_runtime(handle);
        }
        if let (Some(Login { principal, keytab }), Some(cache)) = (&options.login, cache_name) {
            let keytab = keytab.to_string_lossy();
            builder = builder
                .with_kerberos_principal(principal)
                .with_kerberos_keytab(keytab);
            builder = builder.with_kerberos_cache(cache);
        }
        let tempted = std::env::var_os("HADOOP_PROXY_USER").is_some();
        if let Some(user) = stated_user(options, tempted) {
            builder = builder.with_user(user);
        }
        let client = builder.build().map_err(|error| failed(doing(), error))?;
        Ok(Session { client, threads })
    }

    /// Runs a call as a task: its panic is an error of this call alone.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        seat: &Seat,
        doing: &str,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, FsError> {
        let Some(runtime) = &self.threads.0 else {
            return Err(FsError::at(FsErrorKind::Retry, doing)(
                "the client has ended",
            ));
        };
        let task = runtime.spawn(call);
        let mut call = Call {
            task: task.abort_handle(),
            session: self,
            seat,
            done: false,
        };
        let result = task.await;
        call.done = true;
        result.map_err(|error| {
            seat.give_up(self);
            FsError::at(FsErrorKind::Retry, doing)(format!("the client of HDFS failed: {error}"))
        })
    }
}

fn is_secure(options: &Options) -> bool {
    options
        .settings
        .get("hadoop.security.authentication")
        .is_some_and(|word| word != "simple")
}

/// Who the client is told that it is, or acts for; `None`: whoever the tickets say. `tempted`: left to itself it would
/// follow `HADOOP_PROXY_USER`. Then a principal is stated in full, as Hadoop's own client does: to the NameNode any other
/// name is an impersonation.
fn stated_user(options: &Options, tempted: bool) -> Option<&str> {
    match &options.login {
        _ if options.impersonates => Some(&options.user),
        Some(login) => tempted.then_some(login.principal.as_str()),
        None if is_secure(options) => None,
        None => Some(&options.user),
    }
}

/// The configuration as this client wants it.
fn settings(options: &Options) -> BTreeMap<String, String> {
    let mut settings = options.settings.clone();
    if options.login.is_some() {
        // As in Flume, a principal alone turns Kerberos on.
        settings.insert("hadoop.security.authentication".into(), "kerberos".into());
    }
    let service = options.url.trim_start_matches("hdfs://");
    let namenodes = settings
        .get(&format!("dfs.ha.namenodes.{service}"))
        .map_or(1, |list| list.split(',').count());
    let attempts = (ATTEMPTS * namenodes).to_string();
    settings
        .entry("dfs.client.failover.max.attempts".into())
        .or_insert(attempts);
    settings
}

impl Native {
    fn session(&self) -> Result<Arc<Session>, FsError> {
        let mut seat = self.seat.0.lock();
        if let Some(session) = &*seat {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::start(&self.options)?);
        *seat = Some(session.clone());
        Ok(session)
    }

    async fn call<T: Send + 'static, F>(
        &self,
        doing: String,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, FsError>
    where
        F: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let session = self.session()?;
        let result = session
            .run(&self.seat, &doing, call(session.client.clone()))
            .await?;
        result.map_err(|error| failed(doing, error))
    }

    async fn file<F>(
        &self,
        doing: String,
        path: String,
        call: impl FnOnce(Client) -> F,
    ) -> Result<Box<dyn OpenFile>, FsError>
    where
        F: Future<Output = Result<FileWriter, HdfsError>> + Send + 'static,
    {
        let session = self.session()?;
        let result = session
            .run(&self.seat, &doing, call(session.client.clone()))
            .await?;
        let writer = Some(result.map_err(|error| failed(doing, error))?);
        Ok(Box::new(NativeFile {
            path,
            writer,
            session,
            seat: self.seat.clone(),
        }))
    }
}

#[async_trait]
impl FileSystem for Native {
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        let options = WriteOptions::default()
            .overwrite(false)
            .create_parent(true)
            .replication(self.options.replication)
            .block_size(self.options.block_size_bytes)
            .permission(0o666 & !self.options.umask);
        let path = path.to_string();
        let call = {
            let path = path.clone();
            |client: Client| async move { client.create(&path, options).await }
        };
        self.file(format!("create {path}"), path, call).await
    }

    async fn append(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        let path = path.to_string();
        let call = {
            let path = path.clone();
            |client: Client| async move { client.append(&path).await }
        };
        let opened = self.file(format!("append to {path}"), path, call).await;
        // Here it is the lease of another writer that exists already.
        opened.map_err(|error| match error.kind {
            FsErrorKind::Exists => FsError {
                kind: FsErrorKind::Gone,
                ..error
            },
            _ => error,
        })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        let from = from.to_string();
        let to = to.to_string();
        let doing = format!("rename {from} to {to}");
        self.call(doing, |client| async move {
            client.rename(&from, &to, false).await
        })
        .await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        let path = path.to_string();
        self.call(format!("look at {path}"), |client| async move {
            match client.get_file_info(&path).await {
                Ok(status) => Ok(Some(status.length as u64)),
                Err(HdfsError::FileNotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn recover_lease(&self, path: &str) -> Result<bool, FsError> {
        let path = path.to_string();
        let doing = format!("recover the lease of {path}");
        self.call(
            doing,
            |client| async move { client.recover_lease(&path).await },
        )
        .await
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        let path = path.to_string();
        self.call(format!("read {path}"), |client| async move {
            let reader = client.read(&path).await?;
            let length = reader.file_length();
            if length > MOST_READ_BYTES {
                return Err(HdfsError::UnsupportedFeature(format!(
                    "{length} bytes are more than {MOST_READ_BYTES}"
                )));
            }
            reader.read_range(0, length).await
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        let path = path.to_string();
        self.call(format!("remove {path}"), |client| async move {
            client.delete(&path, false).await.map(drop)
        })
        .await
    }

    fn home(&self) -> String {
        self.options.home()
    }

    fn replication(&self) -> usize {
        self.options.replication as usize
    }
}

impl NativeFile {
    /// Lends the writer to a call. After an error, and after a call that was given up, it is gone.
    async fn step<F>(
        &mut self,
        word: &str,
        step: impl FnOnce(FileWriter) -> F,
    ) -> Result<(), FsError>
    where
        F: Future<Output = (FileWriter, Result<(), HdfsError>)> + Send + 'static,
    {
        let doing = format!("{word} {}", self.path);
        let Some(writer) = self.writer.take() else {
            return Err(FsError::at(FsErrorKind::Gone, doing)(
                "it was given up after an earlier failure",
            ));
        };
        let (writer, result) = self.session.run(&self.seat, &doing, step(writer)).await?;
        result.map_err(|error| failed(doing, error))?;
        self.writer = Some(writer);
        Ok(())
    }
}

#[async_trait]
impl OpenFile for NativeFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), FsError> {
        let step = |mut writer: FileWriter| async move {
            let result = writer.write_bytes(bytes).await.map(drop);
            (writer, result)
        };
        self.step("write", step).await
    }

    /// An `hsync`: this client knows nothing weaker.
    async fn hflush(&mut self) -> Result<(), FsError> {
        self.hsync().await
    }

    async fn hsync(&mut self) -> Result<(), FsError> {
        let step = |mut writer: FileWriter| async move {
            let result = writer.hsync().await;
            (writer, result)
        };
        self.step("sync", step).await
    }

    async fn close(&mut self) -> Result<(), FsError> {
        let step = |mut writer: FileWriter| async move {
            let result = writer.close().await;
            (writer, result)
        };
        self.step("close", step).await
    }

    /// The lease is not renewed any more.
    async fn abort(self: Box<Self>) {}
}

fn failed(doing: String, error: HdfsError) -> FsError {
    let kind = kind(&error);
    match error {
        // The server's own words, which begin with the class in any case.
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            FsError::at(kind, doing)(said(&class, &text))
        }
        error => FsError::at(kind, doing)(error),
    }
}

/// The first line of an exception; the stack that follows it is the server's.
fn said(class: &str, text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    format!("{}: {text}", simple_name(class))
}

fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

fn kind(error: &HdfsError) -> FsErrorKind {
    match error {
        HdfsError::AlreadyExists(_) => FsErrorKind::Exists,
        HdfsError::FileNotFound(_) | HdfsError::BlocksNotFound(_) => FsErrorKind::Gone,
        HdfsError::IsADirectoryError(_) => FsErrorKind::Permission,
        HdfsError::InvalidPath(_) => FsErrorKind::Name,
        HdfsError::InvalidArgument(_)
        | HdfsError::UrlParseError(_)
        | HdfsError::UnsupportedErasureCodingPolicy(_)
        | HdfsError::UnsupportedFeature(_) => FsErrorKind::Unsupported,
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _) => {
            kind_of_class(simple_name(class))
        }
        _ => FsErrorKind::Retry,
    }
}

/// What can be done about an exception of the NameNode's, by the name of its class.
fn kind_of_class(class: &str) -> FsErrorKind {
    match class {
        "AccessControlException" | "AuthorizationException" | "ParentNotDirectoryException" => {
            FsErrorKind::Permission
        }
        "MaxDirectoryItemsExceededException" => FsErrorKind::Quota,
        "InvalidPathException" | "PathComponentTooLongException" => FsErrorKind::Name,
        "FileAlreadyExistsException" => FsErrorKind::Exists,
        "FileNotFoundException" | "LeaseExpiredException" => FsErrorKind::Gone,
        "UnsupportedOperationException" | "HadoopIllegalArgumentException" => {
            FsErrorKind::Unsupported
        }
        quota
            if quota.contains("QuotaExceeded") || quota.contains("QuotaByStorageTypeExceeded") =>
        {
            FsErrorKind::Quota
        }
        // Safe mode, a standby, a block that is not replicated yet, no DataNode to write to, and what is not known.
        _ => FsErrorKind::Retry,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn classes_of_the_namenode_tell_what_can_be_done() {
        for (class, kind) in [
            (
                "org.apache.hadoop.security.AccessControlException",
                FsErrorKind::Permission,
            ),
            (
                "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException",
                FsErrorKind::Quota,
            ),
            (
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                FsErrorKind::Quota,
            ),
            (
                "org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException",
                FsErrorKind::Name,
            ),
            (
                "org.apache.hadoop.fs.InvalidPathException",
                FsErrorKind::Name,
            ),
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                FsErrorKind::Retry,
            ),
            (
                "org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException",
                FsErrorKind::Gone,
            ),
            ("java.io.FileNotFoundException", FsErrorKind::Gone),
            ("java.io.IOException", FsErrorKind::Retry),
        ] {
            let error = failed(
                "create /x".into(),
                HdfsError::RPCError(class.into(), "text\n\tat stack".into()),
            );
            assert_eq!(error.kind, kind, "{class}");
            assert_eq!(
                error.cause.to_string(),
                format!("{}: text", simple_name(class))
            );
        }
        assert_eq!(
            kind(&HdfsError::AlreadyExists("/x".into())),
            FsErrorKind::Exists
        );
    }

    fn options(url: &str, setting: (&str, &str)) -> Options {
        Options {
            url: url.into(),
            settings: [(setting.0.to_string(), setting.1.to_string())].into(),
            replication: 1,
            block_size_bytes: 1 << 20,
            umask: 0o022,
            login: None,
            user: "alice".into(),
            impersonates: false,
        }
    }

    #[test]
    fn the_user_is_stated_unless_tickets_say_who_it_is() {
        let login = Login {
            principal: "flume/h@R".into(),
            keytab: "/k".into(),
        };
        for (authentication, login, impersonates, [expected, tempted]) in [
            ("simple", None, false, [Some("alice"); 2]),
            ("simple", None, true, [Some("alice"); 2]),
            ("kerberos", None, false, [None; 2]),
            ("kerberos", None, true, [Some("alice"); 2]),
            (
                "kerberos",
                Some(login.clone()),
                false,
                [None, Some("flume/h@R")],
            ),
            ("kerberos", Some(login.clone()), true, [Some("alice"); 2]),
            ("simple", Some(login), false, [None, Some("flume/h@R")]),
        ] {
            let some = options(
                "hdfs://nn",
                ("hadoop.security.authentication", authentication),
            );
            let options = Options {
                login,
                impersonates,
                ..some
            };
            assert_eq!(stated_user(&options, false), expected, "{options:?}");
            assert_eq!(stated_user(&options, true), tempted, "{options:?}");
        }
    }

    /// In the middle of a call, and dropped where futures run.
    #[tokio::test]
    async fn threads_end_without_anybody_waiting_and_what_they_need_goes_last() {
        struct Kept(std::sync::mpsc::Sender<()>);
        impl Drop for Kept {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (gone, wait) = std::sync::mpsc::channel();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let threads = Threads::start("alice", Kept(gone)).unwrap();
        let (entered, enter) = tokio::sync::oneshot::channel();
        threads.0.as_ref().unwrap().spawn(async move {
            let _ = entered.send(());
            let _ = stuck.recv();
        });
        enter.await.unwrap();
        let start = std::time::Instant::now();
        drop(threads);
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        assert!(
            wait.recv_timeout(Duration::from_millis(50)).is_err(),
            "a thread still needs it"
        );
        release.send(()).unwrap();
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test]
    async fn an_unreachable_namenode_is_worth_another_try() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let url = format!("hdfs://127.0.0.1:{port}");
        let options = options(&url, ("dfs.client.failover.max.attempts", "1"));
        let fs = open(options.clone());
        assert!(
            Arc::ptr_eq(&fs, &open(options)),
            "equal options share a client"
        );
        assert_eq!(fs.home(), "/user/alice");
        let error = fs.length("/x").await.expect_err("nobody listens");
        assert_eq!(error.kind, FsErrorKind::Retry, "{error:?}");
    }
}
