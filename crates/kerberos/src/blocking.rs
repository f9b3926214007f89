//! Calls that nobody can end: name services, KDCs.

use std::{thread, time::Duration};

use tokio::sync::{Semaphore, oneshot};

/// Threads that are left behind at most, in the whole process.
const MAX_LEFT_BEHIND_THREADS: usize = 32;
static THREADS: Semaphore = Semaphore::const_new(MAX_LEFT_BEHIND_THREADS);

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
pub async fn on_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stuck> {
    let permit = THREADS.try_acquire().map_err(|_| Stuck::Full)?;
    let (to, result) = oneshot::channel();
    let run = move || {
        let _permit = permit;
        // Nobody may be waiting any more.
        let _ = to.send(work());
    };
    thread::Builder::new()
        .name("kerberos".into())
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
        let second = Duration::from_secs(1);
        assert_eq!(on_thread(second, || 7).await, Ok(7));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        assert_eq!(
            on_thread(Duration::from_millis(5), move || wait.recv()).await,
            Err(Stuck::Late)
        );
        release.send(()).unwrap();
        assert_eq!(
            on_thread(second, || panic!("on purpose")).await,
            Err::<(), _>(Stuck::Failed)
        );
    }
}
