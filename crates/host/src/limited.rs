//! Calls that nobody can end: name services, key distribution centres, a file system that hangs. Each runs on a thread
//! of its own, which is left behind when the call takes too long.

use std::{thread, time::Duration};

use tokio::sync::{Semaphore, oneshot};

/// Most threads that may be left behind in the whole process.
const MAX_THREADS: usize = 32;
static THREADS: Semaphore = Semaphore::const_new(MAX_THREADS);
/// The same for calls that a stranger can make slow. Nothing else waits for them.
const MAX_PEER_THREADS: usize = 16;
static PEER_THREADS: Semaphore = Semaphore::const_new(MAX_PEER_THREADS);

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It did not end in time. Its thread is left behind, and ends when the call does.
    Late,
    /// Too many threads were left behind already.
    Full,
    /// It panicked, or the system has no thread for it.
    Failed,
}

/// Runs `work` on a thread of its own, for at most `limit`.
///
/// # Errors
/// See [`Stuck`].
pub async fn on_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stuck> {
    on_one_of(&THREADS, limit, work).await
}

/// The same for a call whose duration a stranger decides, such as the look-up of a peer's name.
///
/// # Errors
/// See [`Stuck`].
pub async fn on_peer_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stuck> {
    on_one_of(&PEER_THREADS, limit, work).await
}

async fn on_one_of<T: Send + 'static>(
    threads: &'static Semaphore,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stuck> {
    let permit = threads.try_acquire().map_err(|_| Stuck::Full)?;
    let (to, result) = oneshot::channel();
    let run = move || {
        let _permit = permit;
        // Nobody may be waiting any more.
        let _ = to.send(work());
    };
    thread::Builder::new()
        .name("limited".into())
        .spawn(run)
        .map_err(|_| Stuck::Failed)?;
    match tokio::time::timeout(limit, result).await {
        Err(_) => Err(Stuck::Late),
        Ok(result) => result.map_err(|_| Stuck::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_does_not_end_is_left_behind() {
        let minute = Duration::from_secs(60);
        assert_eq!(on_thread(minute, || 7).await, Ok(7));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        assert_eq!(
            on_thread(Duration::from_millis(5), move || wait.recv()).await,
            Err(Stuck::Late)
        );
        release.send(()).unwrap();
        assert_eq!(
            on_thread(minute, || panic!("on purpose")).await,
            Err::<(), _>(Stuck::Failed)
        );
    }
}
