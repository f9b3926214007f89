//! Memory for a frame that is being read.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a frame holds of its source's budget. It grows as bytes come, because a claim to be large is cheap and bytes are
/// not.
///
/// Frames that hold a part of the budget and wait for more of it would wait for each other, and a frame beyond the
/// whole budget would wait for itself. Therefore one frame at a time may exceed the budget (the overdraft). That frame
/// never waits again, so it comes to its end and gives everything back. All frames together hold at most the budget and
/// one more frame.
pub struct FrameReservation {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    overdraft: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    held_bytes: usize,
    overdrawn: Option<OwnedSemaphorePermit>,
}

impl FrameReservation {
    /// `overdraft` has one permit, `budget` has `budget_bytes` of them.
    pub(crate) fn new(
        budget: Arc<Semaphore>,
        budget_bytes: usize,
        overdraft: Arc<Semaphore>,
    ) -> Self {
        FrameReservation {
            budget,
            budget_bytes,
            overdraft,
            held: None,
            held_bytes: 0,
            overdrawn: None,
        }
    }

    /// Waits until the frame may hold so many bytes. A wait can be given up: what is held already stays.
    pub async fn grow_to(&mut self, bytes: usize) {
        if bytes <= self.held_bytes || self.overdrawn.is_some() {
            return;
        }
        let more = bytes - self.held_bytes;
        let fits = bytes <= self.budget_bytes;
        let permits = u32::try_from(more).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            Ok(more) = self.budget.clone().acquire_many_owned(permits), if fits => {
                match &mut self.held {
                    Some(held) => held.merge(more),
                    None => self.held = Some(more),
                }
                self.held_bytes = bytes;
            }
            Ok(overdrawn) = self.overdraft.clone().acquire_owned() => {
                self.overdrawn = Some(overdrawn);
            }
        }
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.held = None;
        self.held_bytes = 0;
        self.overdrawn = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    struct Budget(Arc<Semaphore>, Arc<Semaphore>);

    impl Budget {
        fn frame(&self) -> FrameReservation {
            FrameReservation::new(self.0.clone(), 100, self.1.clone())
        }
    }

    fn budget() -> Budget {
        Budget(Arc::new(Semaphore::new(100)), Arc::new(Semaphore::new(1)))
    }

    async fn grows(frame: &mut FrameReservation, bytes: usize) -> bool {
        timeout(Duration::from_secs(1), frame.grow_to(bytes))
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_beyond_the_budget_does_not_wait_for_itself() {
        let budget = budget();
        let mut frame = budget.frame();
        for bytes in [40, 80, 120, 1000] {
            assert!(grows(&mut frame, bytes).await, "{bytes}");
        }
        let mut other = budget.frame();
        assert!(grows(&mut other, 20).await, "the rest of the budget");
        assert!(!grows(&mut other, 30).await);
        frame.release();
        assert!(grows(&mut other, 100).await);
        assert_eq!(budget.0.available_permits(), 0);
        drop(other);
        assert_eq!(budget.0.available_permits(), 100);
        assert_eq!(budget.1.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_do_not_wait_for_each_other() {
        let budget = budget();
        let mut frames: Vec<_> = (0..4).map(|_| budget.frame()).collect();
        for frame in &mut frames {
            assert!(grows(frame, 25).await);
        }
        let growing = frames.into_iter().map(|mut frame| async move {
            frame.grow_to(90).await;
            // Read to its end, and answered.
            tokio::time::sleep(Duration::from_millis(10)).await;
        });
        let all: Vec<_> = growing.map(tokio::spawn).collect();
        for frame in all {
            timeout(Duration::from_secs(1), frame)
                .await
                .expect("no frame waits for ever")
                .expect("no panic");
        }
        assert_eq!(budget.0.available_permits(), 100);
    }
}
