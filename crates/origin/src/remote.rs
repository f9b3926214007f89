//! A document that another machine has. A thread of its own asks for it, so a server that hangs does not hold up the
//! agent.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

/// How long the first answer may take: a connection, and an answer on it.
const FIRST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a reload that somebody asked for waits for the server.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses after work that panicked, at first and at most.
const PANIC_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Tells the thread to ask at once. It is closed when nobody wants the document any longer.
pub(crate) type Asked = mpsc::UnboundedReceiver<()>;

/// A document that another machine has, as it was when it was last asked for.
pub struct RemoteDocument {
    uri: String,
    shared: Arc<Shared>,
    /// Wakes the thread. Dropping it ends the thread.
    ask: mpsc::UnboundedSender<()>,
    read: bool,
}

/// What a document shares with the thread that asks for it.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<RemoteState>,
    answered: Condvar,
}

#[derive(Default)]
struct RemoteState {
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
    /// The document could not be asked for.
    pub(crate) fn failed(&self, problem: String) {
        let mut state = self.lock();
        state.problem = Some(problem);
        state.attempts += 1;
        self.answered.notify_all();
    }

    /// The document is as it was.
    pub(crate) fn unchanged(&self) {
        self.done(|_| {});
    }

    /// The document is this.
    pub(crate) fn received(&self, body: Vec<u8>) {
        self.done(|state| {
            if state.body.as_ref() != Some(&body) {
                state.body = Some(body);
                state.version += 1;
            }
        });
    }

    fn done(&self, change: impl FnOnce(&mut RemoteState)) {
        let mut state = self.lock();
        change(&mut state);
        state.problem = None;
        state.attempts += 1;
        self.answered.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, RemoteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteDocument {
    /// A document that a thread of its own asks for. `work` gets what it shares with the document, and a receiver that
    /// tells when to ask again; it ends when the receiver is closed. If it panics, that is told, and it begins again.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        uri: String,
        thread: &str,
        work: impl FnMut(&Arc<Shared>, &mut Asked) + Send + 'static,
    ) -> Result<RemoteDocument, String> {
        let shared = Arc::<Shared>::default();
        let (ask, asked) = mpsc::unbounded_channel();
        let of_thread = shared.clone();
        let shown = uri.clone();
        thread::Builder::new()
            .name(thread.into())
            .spawn(move || work_on(&shown, &of_thread, asked, work))
            .map_err(|error| format!("{uri}: failed to start a thread: {error}"))?;
        Ok(RemoteDocument {
            uri,
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
        let (version, body) = self.fetch()?;
        self.shared.lock().seen = version;
        Ok(body)
    }

    /// The same, and a document that has changed still counts as changed.
    ///
    /// # Errors
    /// The server does not have it, or did not answer.
    pub fn peek(&mut self) -> Result<Vec<u8>, String> {
        self.fetch().map(|(_, body)| body)
    }

    /// The document with its version.
    fn fetch(&mut self) -> Result<(u64, Vec<u8>), String> {
        let limit = if self.read {
            RELOAD_TIMEOUT
        } else {
            FIRST_TIMEOUT
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
        let found = match (&state.body, &state.problem) {
            (Some(body), _) => Ok((state.version, body.clone())),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err(format!("{}: no answer within {limit:?}", self.uri)),
        };
        drop(state);
        self.read = found.is_ok();
        found
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, RemoteState>,
        deadline: Instant,
    ) -> MutexGuard<'a, RemoteState> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.shared.answered.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Works until nobody wants the document any longer. What a server sends must not end that.
fn work_on(
    shown: &str,
    shared: &Arc<Shared>,
    mut asked: Asked,
    mut work: impl FnMut(&Arc<Shared>, &mut Asked),
) {
    let mut pause = PANIC_PAUSES[0];
    while catch_unwind(AssertUnwindSafe(|| work(shared, &mut asked))).is_err() {
        shared.failed(format!(
            "{shown}: the client failed at what the server sent; trying again in {pause:?}"
        ));
        thread::sleep(pause);
        if asked.is_closed() {
            return;
        }
        pause = (pause * 2).min(PANIC_PAUSES[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_the_work_begins_again() {
        let mut attempts = 0;
        let document = RemoteDocument::start("u".into(), "test", move |shared, asked| {
            attempts += 1;
            assert!(attempts > 1, "as a parser of a foreign crate may");
            // The first read must have heard of the panic.
            asked.blocking_recv();
            shared.received(b"x".to_vec());
            asked.blocking_recv();
        });
        let mut document = document.unwrap();
        let error = document.read().unwrap_err();
        assert!(error.starts_with("u: the client failed"), "{error}");
        document.ask.send(()).unwrap();
        while !document.changed() {
            thread::yield_now();
        }
        assert_eq!(document.read().unwrap(), b"x");
    }
}
