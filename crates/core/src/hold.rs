//! For sources that cannot ask for anything again: what the channels refuse is held and put again.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    BackOff, ChannelError, Event, PutError, SourceContext,
    metrics::{Counter, Metrics},
    with_causes,
};

const RETRY: BackOff = BackOff::doubling(Duration::from_secs(1), Duration::from_secs(5));
/// How long puts may still take together once the source is to stop.
const LAST_PUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts batches until the channels take them. Meanwhile the source reads nothing, so that what feeds it waits.
#[derive(Clone)]
pub struct Hold {
    lost: Counter,
    /// Until when puts may wait, once a stop was requested.
    last_moment: Option<Instant>,
}

impl Hold {
    /// Counts what is lost for good as `EventLostCount`.
    pub fn new(metrics: &Metrics) -> Self {
        Hold {
            lost: metrics.counter("EventLostCount"),
            last_moment: None,
        }
    }

    /// Returns when the batch is in the channels. Two kinds of events are lost, logged and counted: one that can never
    /// fit, and those that the channels do not take in time after a stop was requested.
    pub async fn put(&mut self, cx: &SourceContext, batch: Vec<Event>) {
        let mut back_off = RETRY;
        loop {
            let too_late = async {
                cx.stop.requested().await;
                let last_moment = self
                    .last_moment
                    .get_or_insert_with(|| Instant::now() + LAST_PUT_TIMEOUT);
                sleep_until(*last_moment).await;
            };
            let outcome = tokio::select! {
                biased;
                outcome = cx.out.put(batch.clone()) => outcome,
                () = too_late => return self.lose(batch.len(), "the source has to stop"),
            };
            match outcome {
                Ok(()) => return cx.state.running(),
                Err(
                    error @ PutError::Channel {
                        source: ChannelError::TooLarge { .. },
                        ..
                    },
                ) => {
                    return self.put_singly(cx, batch, &error).await;
                }
                Err(error) if cx.stop.is_requested() => {
                    return self.lose(batch.len(), with_causes(&error));
                }
                Err(error) => cx.pause_after(&error, &mut back_off).await,
            }
        }
    }

    /// The same for a batch that its sender sends again: what will not be stored is an error, and nothing is lost.
    ///
    /// # Errors
    /// The batch can never fit, or a stop was requested and the channels do not take it in time.
    pub async fn store(&mut self, cx: &SourceContext, batch: Vec<Event>) -> Result<(), PutError> {
        let mut back_off = RETRY;
        loop {
            let put = cx.out.put(batch.clone());
            let outcome = if cx.stop.is_requested() {
                put.await
            } else {
                tokio::select! {
                    biased;
                    outcome = put => outcome,
                    () = cx.stop.requested() => continue,
                }
            };
            let is_final = matches!(
                &outcome,
                Err(PutError::Channel {
                    source: ChannelError::TooLarge { .. },
                    ..
                })
            );
            match outcome {
                Ok(()) => {
                    cx.state.running();
                    return Ok(());
                }
                Err(error) if is_final || cx.stop.is_requested() => {
                    cx.refused(&error);
                    return Err(error);
                }
                Err(error) => cx.pause_after(&error, &mut back_off).await,
            }
        }
    }

    async fn put_singly(&mut self, cx: &SourceContext, batch: Vec<Event>, error: &PutError) {
        if batch.len() == 1 {
            return self.lose(1, with_causes(error));
        }
        for event in batch {
            Box::pin(self.put(cx, vec![event])).await;
        }
    }

    fn lose(&self, events: usize, reason: impl Display) {
        self.lost.add(events);
        tracing::error!("{events} events are lost: {reason}");
    }
}
