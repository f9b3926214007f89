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
    error::{KafkaError, KafkaResult},
};

use super::{
    Shared,
    pool::Partition,
    pump::GroupMember,
};

/// The pause after a commit that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn spawn(consumer: Arc<GroupMember>, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("kafka-commit".into());
    thread.spawn(move || {
        let mut not_before = Instant::now();
        loop {
            {
                let mut inner = shared.pool.lock();
                while !inner.closing && (!inner.pool.is_commit_due() || Instant::now() < not_before) {
                    if inner.pool.is_commit_due() {
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
            if shared.commit(&consumer).is_err() {
                not_before = Instant::now() + RETRY_PAUSE;
            }
        }
    })
}

impl Shared {
    /// Commits what was delivered and waits for the broker. Those who wait for a commit hear of it.
    pub(super) fn commit(&self, consumer: &impl Committing) -> KafkaResult<()> {
        let _turn = self.committing.lock();
        let (offsets, number) = {
            let mut inner = self.pool.lock();
            let number = inner.next_commit;
            inner.next_commit += 1;
            (inner.pool.to_commit(), number)
        };
        let outcome = if offsets.is_empty() { Ok(()) } else { self.commit_offsets(consumer, &offsets) };
        self.commits.send_modify(|commits| {
            commits.ended = number;
            match &outcome {
                Ok(()) => commits.succeeded = number,
                Err(error) => commits.error = error.to_string(),
            }
        });
        outcome
    }

    fn commit_offsets(&self, consumer: &impl Committing, offsets: &[(Partition, i64)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let mut element = list.add_partition(&partition.topic, partition.number);
            element.set_offset(Offset::Offset(*offset))?;
            element.set_metadata(&*self.name);
        }
        let began = Instant::now();
        let outcome = consumer.commit_now(&list).and_then(|()| first_refusal(&list));
        let took = began.elapsed();
        self.metrics.commit_time.observe(took);
        self.metrics.commit_millis.add(took.as_millis() as usize);
        match &outcome {
            Ok(()) => self.pool.lock().pool.committed(offsets),
            Err(error) => {
                self.metrics.commit_failures.add(1);
                let texts: Vec<_> =
                    offsets.iter().map(|(partition, offset)| format!("{partition} at {offset}")).collect();
                tracing::warn!("{}: the group did not take the offsets {}: {error}", self.name, texts.join(", "));
            }
        }
        outcome
    }
}

/// What commits and waits.
pub(super) trait Committing {
    fn commit_now(&self, list: &TopicPartitionList) -> KafkaResult<()>;
}

impl Committing for GroupMember {
    fn commit_now(&self, list: &TopicPartitionList) -> KafkaResult<()> {
        self.commit(list, CommitMode::Sync)
    }
}

/// A commit may be taken for some partitions and refused for others.
fn first_refusal(list: &TopicPartitionList) -> Result<(), KafkaError> {
    list.elements().iter().try_for_each(|element| element.error())
}
