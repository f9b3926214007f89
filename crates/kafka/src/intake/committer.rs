//! The thread that commits: one commit at a time, of all that was delivered meanwhile.

use std::{
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{Shared, pool::Partition, pump::GroupMember};

/// The pause after a commit that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

pub(super) fn spawn(consumer: Arc<GroupMember>, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("kafka-commit".into());
    thread.spawn(move || {
        let mut not_before = Instant::now();
        loop {
            {
                let mut inner = shared.pool.lock();
                let is_due = |inner: &super::Inner| {
                    inner.pool.is_commit_due() || inner.wanted > shared.commits.borrow().ended
                };
                while !inner.closing && (!is_due(&inner) || Instant::now() < not_before) {
                    if is_due(&inner) {
                        shared.changed.wait_until(&mut inner, not_before);
                    } else {
                        shared.changed.wait(&mut inner);
                    }
                }
                // The last commit is the pump's, when it leaves the group.
                if inner.closing {
                    return;
                }
            }
            if shared.commit(&consumer, false).is_err() {
                not_before = Instant::now() + RETRY_PAUSE;
            }
        }
    })
}

impl Shared {
    /// Commits what was delivered and waits for the broker. Those who wait for a commit hear of it. `for_good`: it is
    /// the last before partitions go; otherwise a commit that a rebalance got in the way of is repeated, and nobody
    /// hears of it.
    pub(super) fn commit(&self, consumer: &GroupMember, for_good: bool) -> KafkaResult<()> {
        let _turn = self.committing.lock();
        let (offsets, number) = {
            let mut inner = self.pool.lock();
            let number = inner.next_commit;
            inner.next_commit += 1;
            (inner.pool.to_commit(), number)
        };
        let outcome = if offsets.is_empty() {
            Ok(())
        } else {
            self.commit_offsets(consumer, &offsets)
        };
        if !for_good && outcome.as_ref().is_err_and(is_passing) {
            return outcome;
        }
        if let Err(error) = &outcome {
            self.refused(&offsets, error);
        }
        self.commits.send_modify(|commits| {
            commits.ended = number;
            match &outcome {
                Ok(()) => commits.succeeded = number,
                Err(error) => commits.error = error.to_string(),
            }
        });
        outcome
    }

    fn commit_offsets(
        &self,
        consumer: &GroupMember,
        offsets: &[(Partition, i64)],
    ) -> KafkaResult<()> {
        let list = self.offset_list(offsets)?;
        let began = Instant::now();
        let outcome = consumer.commit(&list, CommitMode::Sync);
        let took = began.elapsed();
        self.metrics.commit_time.observe(took);
        self.metrics.commit_millis.add(took.as_millis() as usize);
        if outcome.is_ok() {
            self.pool.lock().pool.committed(offsets);
        }
        outcome
    }

    /// The offsets as the client takes them.
    pub(super) fn offset_list(
        &self,
        offsets: &[(Partition, i64)],
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let mut element = list.add_partition(&partition.topic, partition.number);
            element.set_offset(Offset::Offset(*offset))?;
            element.set_metadata(&*self.name);
        }
        Ok(list)
    }

    pub(super) fn refused(&self, offsets: &[(Partition, i64)], error: &KafkaError) {
        self.metrics.commit_failures.add(1);
        let texts: Vec<_> = offsets
            .iter()
            .map(|(partition, offset)| format!("{partition} at {offset}"))
            .collect();
        tracing::warn!(
            "{}: the group did not take the offsets {}: {error}",
            self.name,
            texts.join(", ")
        );
    }
}

/// The group is between two generations: the commit may be taken a moment later.
fn is_passing(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::RebalanceInProgress)
}
