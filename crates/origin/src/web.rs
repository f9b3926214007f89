//! A configuration on a web server. A thread of its own asks the server, so a server that hangs does not hold up the
//! agent.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flume_core::{Context, secrets::masked};
use flume_net::{
    http::{HeaderMap, StatusCode, Uri, header},
    http_client::{Fetched, HttpClient},
};

/// As Flume's, for connecting and for reading.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a reload that somebody asked for waits for the server.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 16 << 20;

/// A user with a password, for basic authentication.
#[derive(Clone)]
pub struct BasicLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A document on a web server, as it was when it was last asked for.
pub struct WebDocument {
    uri: String,
    shared: Arc<Shared>,
    /// Wakes the thread. Dropping it ends the thread.
    ask: mpsc::Sender<()>,
    read: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<WebState>,
    answered: Condvar,
}

#[derive(Default)]
struct WebState {
    body: Option<Vec<u8>>,
    /// Counts documents.
    version: u64,
    /// The version that was read last.
    seen: u64,
    /// Counts answers and failures.
    attempts: u64,
    /// Why the last attempt failed.
    problem: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WebState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WebDocument {
    /// Begins to ask for a document, at once and then after every `interval`; only when told to, if that is `None`.
    ///
    /// # Errors
    /// The address is wrong, or the system gives no thread.
    pub fn start(
        uri: &str,
        login: Option<&BasicLogin>,
        interval: Option<Duration>,
        cx: Context,
    ) -> Result<WebDocument, String> {
        let shown = masked(uri).into_owned();
        let parsed: Uri = uri.parse().map_err(|error| format!("{shown}: {error}"))?;
        let mut headers = HeaderMap::new();
        if let Some(BasicLogin { user, password }) = login {
            let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            let mut value: header::HeaderValue = value
                .parse()
                .map_err(|_| format!("{shown}: the login has line ends"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let shared = Arc::<Shared>::default();
        let (ask, asked) = mpsc::channel();
        let poller = Poller {
            uri: parsed,
            shown: shown.clone(),
            headers,
            shared: shared.clone(),
            cx,
        };
        thread::Builder::new()
            .name("conf-http".into())
            .spawn(move || poller.run(&asked, interval))
            .map_err(|error| format!("{shown}: failed to start a thread: {error}"))?;
        Ok(WebDocument {
            uri: shown,
            shared,
            ask,
            read: false,
        })
    }

    /// The address, without a password.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the server has another document than the one that was read last.
    pub fn changed(&self) -> bool {
        let state = self.shared.lock();
        state.version != state.seen
    }

    /// Why the last attempt to ask the server failed.
    pub fn problem(&self) -> Option<String> {
        self.shared.lock().problem.clone()
    }

    /// The document. Asks the server again unless it was found to have changed.
    ///
    /// # Errors
    /// The server does not have it, or did not answer.
    pub fn read(&mut self) -> Result<Vec<u8>, String> {
        let limit = if self.read {
            RELOAD_TIMEOUT
        } else {
            TIMEOUT * 2
        };
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        if self.read && state.version == state.seen {
            let before = state.attempts;
            // The thread ends only with this document.
            let _ = self.ask.send(());
            while state.attempts == before && Instant::now() < deadline {
                state = self.wait(state, deadline);
            }
            if let (true, Some(problem)) = (state.attempts != before, state.problem.clone()) {
                return Err(problem);
            }
            if state.attempts == before {
                return Err(format!("{}: no answer within {limit:?}", self.uri));
            }
        }
        while state.attempts == 0 && Instant::now() < deadline {
            state = self.wait(state, deadline);
        }
        state.seen = state.version;
        let found = match (&state.body, &state.problem) {
            (Some(body), _) => Ok(body.clone()),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err(format!("{}: no answer within {limit:?}", self.uri)),
        };
        drop(state);
        self.read = found.is_ok();
        found
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, WebState>,
        deadline: Instant,
    ) -> MutexGuard<'a, WebState> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.shared.answered.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Asks the server.
struct Poller {
    uri: Uri,
    shown: String,
    headers: HeaderMap,
    shared: Arc<Shared>,
    cx: Context,
}

impl Poller {
    fn run(mut self, asked: &mpsc::Receiver<()>, interval: Option<Duration>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.failed(format!("failed to start a runtime: {error}")),
        };
        loop {
            match runtime.block_on(self.ask()) {
                Ok(fetched) => self.answered(fetched),
                Err(error) => self.failed(error),
            }
            let next = match interval {
                Some(interval) => asked.recv_timeout(interval),
                None => asked.recv().map_err(Into::into),
            };
            if next == Err(mpsc::RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<Fetched, String> {
        let client = HttpClient {
            timeout: TIMEOUT,
            max_bytes: MAX_BYTES,
        };
        let fetched = client.get(&self.uri, &self.headers, &self.cx).await;
        fetched.map_err(|error| flume_core::with_causes(&error))
    }

    fn answered(&mut self, fetched: Fetched) {
        match fetched.status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return self.done(|_| {}),
            StatusCode::UNAUTHORIZED => {
                let text =
                    "the server wants another login (401); see --conf-user and --conf-password";
                return self.failed(text.into());
            }
            status => return self.failed(format!("the server answered {status}")),
        }
        // What the server says about this document is what it is asked about the next time.
        for (answer, question) in [
            (header::ETAG, header::IF_NONE_MATCH),
            (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
        ] {
            match fetched.headers.get(answer) {
                Some(value) => drop(self.headers.insert(question, value.clone())),
                None => drop(self.headers.remove(question)),
            }
        }
        let body = fetched.body.to_vec();
        self.done(|state| {
            if state.body.as_ref() != Some(&body) {
                state.body = Some(body);
                state.version += 1;
            }
        });
    }

    fn failed(&self, why: String) {
        let problem = format!("{}: {why}", self.shown);
        let mut state = self.shared.lock();
        state.problem = Some(problem);
        state.attempts += 1;
        self.shared.answered.notify_all();
    }

    fn done(&self, change: impl FnOnce(&mut WebState)) {
        let mut state = self.shared.lock();
        change(&mut state);
        state.problem = None;
        state.attempts += 1;
        self.shared.answered.notify_all();
    }
}
