//! As `tokio::time`, where no time passes: a wait ends at once, or never.

use std::{
    future::{Future, poll_fn},
    ops::Add,
    pin::pin,
    task::Poll,
    time::Duration,
};

#[derive(Clone, Copy)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Instant(Duration::ZERO)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

pub(crate) struct Elapsed;

pub(crate) async fn timeout<T>(
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending if patience.is_zero() => Poll::Ready(Err(Elapsed)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

pub(crate) async fn timeout_at<T>(
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    timeout(deadline.0, work).await
}
