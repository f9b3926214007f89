//! The control socket: one JSON request and one JSON answer per line, for the owner of the agent alone.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};

use crate::{
    board::Board,
    flow::FlowShape,
    log_levels,
    status::{ComponentReport, Detail, Status, report, status},
    tap::{self, TapRequest},
};

/// A longer request is not one of ours.
const MAX_REQUEST_BYTES: u64 = 4096;
/// Most conversations at a time; further ones wait.
const MAX_CONVERSATIONS: usize = 64;
/// How long a client may take for its request, and to read the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The pause before the socket is tried again while another agent has it.
const BIND_PAUSE: Duration = Duration::from_secs(3);
/// A longer answer is not one of ours.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// How long an agent may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A reload ends components first, and opens what may have much to read.
const RELOAD_TIME: Duration = Duration::from_secs(30 * 60);
const SOCKET_NAME: &str = "control.sock";

pub use crate::log_levels::{LogLevels, offer_log_levels};

/// What an agent can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum ControlRequest {
    /// How it is.
    Status,
    /// What is configured.
    Flow,
    /// All that is remembered of a component.
    Component {
        /// `source`, `channel` or `sink`.
        kind: String,
        /// Its short name.
        name: String,
    },
    /// To read its configuration again.
    Reload {
        /// Only to say what would change.
        #[serde(default)]
        dry_run: bool,
    },
    /// To show events as they pass, see [`TapLine`](crate::TapLine) for the answer.
    Tap(TapRequest),
    /// To show the levels of loggers, after setting one if a logger is named.
    LogLevel {
        /// The logger.
        #[serde(default)]
        logger: Option<String>,
        /// Its new level; without one, what is configured.
        #[serde(default)]
        level: Option<String>,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlAnswer {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Flow`.
    Flow(Box<FlowShape>),
    /// To `Component`.
    Component(Box<ComponentReport>),
    /// To `Reload`: what changed, or would.
    Changed(String),
    /// To `Reload`: what changed, and which components keep their old settings.
    Partly(String),
    /// To `LogLevel`: each logger with its level.
    LogLevels(BTreeMap<String, String>),
    /// Why not.
    Failed(String),
}

/// A reload on its way to the agent's loop.
pub struct ReloadRequest {
    /// Only say what would change.
    pub dry_run: bool,
    /// Where the answer goes.
    pub answer: oneshot::Sender<ControlAnswer>,
}

/// The socket of an agent, removed with it.
pub struct ControlSocket {
    path: PathBuf,
    /// Device and number of the file, once it is there: another agent's is left alone.
    bound: Arc<Mutex<Option<(u64, u64)>>>,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let bound = *self.bound.lock();
        let found = fs::metadata(&self.path).ok();
        if bound.is_some() && bound == found.map(|found| (found.dev(), found.ino())) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens in the agent's state directory as long as the result is kept. An agent that already listens there keeps its
/// socket; this one listens as soon as the other has ended.
pub async fn listen(
    state_dir: &Path,
    board: Board,
    reloads: mpsc::Sender<ReloadRequest>,
) -> ControlSocket {
    let socket = ControlSocket {
        path: state_dir.join(SOCKET_NAME),
        bound: Arc::default(),
    };
    if state_dir.as_os_str().is_empty() {
        return socket;
    }
    let first = bind(state_dir).await;
    let path = socket.path.clone();
    if let Err(error) = &first {
        tracing::warn!(
            "failed to open the control socket {}: {error}; `flume-ng status` will not work; retrying every \
             {BIND_PAUSE:?}",
            path.display()
        );
    }
    let directory = state_dir.to_path_buf();
    let bound = socket.bound.clone();
    tokio::spawn(async move {
        let mut next = first;
        let listener = loop {
            if let Ok(listener) = next {
                break listener;
            }
            sleep(BIND_PAUSE).await;
            next = bind(&directory).await;
            if next.is_ok() {
                tracing::info!("opened the control socket {}", path.display());
            }
        };
        *bound.lock() = fs::metadata(&path)
            .ok()
            .map(|found| (found.dev(), found.ino()));
        accept(listener, board, reloads).await;
    });
    socket
}

async fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    // Nobody else may connect, not even before the socket has its mode.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)?;
    let path = state_dir.join(SOCKET_NAME);
    if UnixStream::connect(&path).await.is_ok() {
        return Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another agent of this name is running",
        ));
    }
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, board: Board, reloads: mpsc::Sender<ReloadRequest>) {
    let room = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    loop {
        let permit = room.clone().acquire_owned().await;
        // There are no more file descriptors, say; then there will be some again.
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let board = board.clone();
        let reloads = reloads.clone();
        tokio::spawn(async move {
            let _held = permit;
            if let Err(error) = converse(stream, board, reloads).await {
                tracing::debug!("control connection ended: {error}");
            }
        });
    }
}

async fn converse(
    stream: UnixStream,
    board: Board,
    reloads: mpsc::Sender<ReloadRequest>,
) -> io::Result<()> {
    let peer = stream.peer_cred().ok();
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MAX_REQUEST_BYTES));
    within(REQUEST_TIMEOUT, read.read_line(&mut line)).await?;
    let answer = match serde_json::from_str(&line) {
        Err(error) => ControlAnswer::Failed(format!("not a request: {error}")),
        Ok(ControlRequest::Tap(request)) => {
            return tap::serve(read.into_inner().into_inner(), write, &board, &request).await;
        }
        Ok(ControlRequest::LogLevel { logger, level }) => {
            log_levels::answer(logger.as_deref(), level.as_deref(), peer)
        }
        Ok(ControlRequest::Status) => ControlAnswer::Status(Box::new(status(&board))),
        Ok(ControlRequest::Flow) => ControlAnswer::Flow(Box::new((*board.flow()).clone())),
        Ok(ControlRequest::Component { kind, name }) => {
            let report = report(&board, &kind, &name, Detail::Full);
            let report = report.map(|report| ControlAnswer::Component(Box::new(report)));
            report.unwrap_or_else(|| ControlAnswer::Failed(format!("there is no {kind} {name}")))
        }
        Ok(ControlRequest::Reload { dry_run }) => {
            let (sender, receiver) = oneshot::channel();
            let sent = reloads
                .send(ReloadRequest {
                    dry_run,
                    answer: sender,
                })
                .await
                .is_ok();
            let answer = if sent { receiver.await.ok() } else { None };
            answer.unwrap_or_else(|| ControlAnswer::Failed("the agent is stopping".into()))
        }
    };
    let text = serde_json::to_string(&answer)? + "\n";
    within(REQUEST_TIMEOUT, write.write_all(text.as_bytes())).await
}

/// Connects to an agent that runs as the owner of its directory, or as root: nobody else is believed.
pub(crate) async fn connect(state_dir: &Path, request: &ControlRequest) -> io::Result<UnixStream> {
    let connecting = UnixStream::connect(state_dir.join(SOCKET_NAME));
    let mut stream = within(ANSWER_TIME, connecting).await?;
    let owner = fs::metadata(state_dir)?.uid();
    let peer = stream.peer_cred()?.uid();
    if peer != owner && peer != 0 {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            format!("user {peer} answers there, but the directory belongs to user {owner}"),
        ));
    }
    stream
        .write_all((serde_json::to_string(request)? + "\n").as_bytes())
        .await?;
    Ok(stream)
}

/// Asks the agent whose state directory this is.
pub async fn ask(state_dir: &Path, request: &ControlRequest) -> io::Result<ControlAnswer> {
    let stream = connect(state_dir, request).await?;
    let time = match request {
        ControlRequest::Reload { .. } => RELOAD_TIME,
        _ => ANSWER_TIME,
    };
    let mut answer = String::new();
    let mut read = stream.take(MAX_ANSWER_BYTES + 1);
    within(time, read.read_to_string(&mut answer)).await?;
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"),
        ));
    }
    Ok(serde_json::from_str(&answer)?)
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(ErrorKind::TimedOut, format!("no answer within {time:?}"));
    tokio::time::timeout(time, work).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(answer: &'static str, repeat: usize) -> String {
        let name = format!("flume-control-{}-{repeat}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let asked = runtime.block_on(async {
            let listener = UnixListener::bind(directory.join(SOCKET_NAME)).unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                // A socket that is closed with something unread is reset.
                let _ = stream.read(&mut [0; 256]).await;
                for _ in 0..repeat {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
            ask(&directory, &ControlRequest::Status).await
        });
        fs::remove_dir_all(&directory).unwrap();
        asked.unwrap_err().to_string()
    }

    #[test]
    fn an_answer_has_a_limit_and_must_be_one() {
        let kilobytes = "                                                                ";
        let count = (MAX_ANSWER_BYTES as usize / kilobytes.len()) + 1;
        assert!(failure(kilobytes, count).contains("is longer than"));
        assert!(failure("x\n", 1).contains("expected value"));
    }

    #[test]
    fn a_wait_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let never = std::future::pending::<io::Result<()>>();
        let waited = runtime.block_on(within(Duration::from_millis(5), never));
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
