//! The commit of a batch inside a producer's transaction.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{Consumer, ConsumerGroupMetadata},
    error::KafkaError,
};

use super::{IntakeBatch, IntakeError, Shared, pool::Partition, pump::GroupMember};

/// How long a batch waits for an older one of another sink. The transaction is open meanwhile.
const OLDER_BATCH_WAIT: Duration = Duration::from_secs(20);
/// How long the name of the cluster is waited for.
const CLUSTER_LIMIT: Duration = Duration::from_secs(10);

/// Whether a transaction that failed may have been committed all the same.
#[derive(Debug)]
pub(crate) enum Uncommitted {
    /// It was not.
    No(KafkaError),
    /// The answer did not come.
    Unknown(KafkaError),
}

/// Why a transaction cannot take the offsets of a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JointError {
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(
        "a batch that another sink took earlier is still open; give a channel with transactions one sink"
    )]
    OlderBatch,
    #[error("the channel's cluster does not say who it is")]
    ClusterUnknown,
    #[error(transparent)]
    Transaction(#[from] KafkaError),
}

impl IntakeBatch {
    /// The cluster that it was read from.
    pub(crate) fn cluster(&self) -> Result<String, JointError> {
        let member = self.shared.member().ok_or(IntakeError::Closed)?;
        let cluster = member.client().fetch_cluster_id(CLUSTER_LIMIT);
        cluster.ok_or(JointError::ClusterUnknown)
    }

    /// Whether the offsets that a new member is given are those of transactions that have ended, and no older ones.
    pub(crate) fn reads_committed(&self) -> bool {
        self.shared.reads_committed.load(Relaxed)
    }

    /// Settles the batch by a transaction that takes its offsets: `commit` sends them to it and ends it. If it fails, the
    /// batch goes back. Blocks.
    ///
    /// The group's generation is read before the ownership is checked. So it is the one in which the records were read,
    /// or a later one in which their partitions stayed here; the broker refuses any other.
    pub(crate) fn commit_within(
        mut self,
        commit: impl FnOnce(&TopicPartitionList, &ConsumerGroupMetadata) -> Result<(), Uncommitted>,
    ) -> Result<(), JointError> {
        let shared = self.shared.clone();
        let member = shared.member().ok_or(IntakeError::Closed)?;
        let group = member.group_metadata().ok_or(IntakeError::Closed)?;
        // The thread that closes the consumer waits until it has it alone.
        drop(member);
        shared.wait_for_older(&self)?;
        // A plain commit of an older offset must not come behind this one.
        let _turn = shared.committing.lock();
        let offsets = shared.offsets_with(&self)?.ok_or(JointError::OlderBatch)?;
        let began = Instant::now();
        let outcome = commit(&shared.offset_list(&offsets)?, &group);
        let took = began.elapsed();
        shared.metrics.commit_time.observe(took);
        shared.metrics.commit_millis.add(took.as_millis() as usize);
        match outcome {
            Ok(()) => {}
            Err(Uncommitted::No(error)) => {
                shared.refused(&offsets, &error);
                return Err(error.into());
            }
            Err(Uncommitted::Unknown(error)) => {
                shared.refused(&offsets, &error);
                shared.forget_all(&error);
                return Err(error.into());
            }
        }
        let positions = std::mem::take(&mut self.positions);
        let mut inner = shared.pool.lock();
        // A partition that went meanwhile went with these offsets.
        let _ = inner.pool.settle(&positions);
        inner.pool.committed(&offsets);
        drop(inner);
        shared.changed.notify_all();
        Ok(())
    }
}

impl Shared {
    fn member(&self) -> Option<Arc<GroupMember>> {
        self.member.get()?.upgrade()
    }

    /// Nobody knows whether a batch was committed, so only the group's offsets say where to go on: whoever takes next
    /// joins the group anew.
    fn forget_all(&self, error: &KafkaError) {
        let mut inner = self.pool.lock();
        let assigned: Vec<_> = inner.pool.assigned().cloned().collect();
        for partition in &assigned {
            inner.pool.revoke(partition);
        }
        inner.broken = Some(format!(
            "it is not known whether a transaction was committed: {error}"
        ));
        drop(inner);
        self.arrived.notify_waiters();
    }

    fn offsets_with(
        &self,
        batch: &IntakeBatch,
    ) -> Result<Option<Vec<(Partition, i64)>>, JointError> {
        let offsets = self.pool.lock().pool.after_settling(&batch.positions);
        offsets.map_err(|late| {
            self.metrics.repeated.add(late);
            IntakeError::Late(late).into()
        })
    }

    /// Batches of several sinks are committed in the order of their records.
    fn wait_for_older(&self, batch: &IntakeBatch) -> Result<(), JointError> {
        let deadline = Instant::now() + OLDER_BATCH_WAIT;
        let mut inner = self.pool.lock();
        while matches!(inner.pool.after_settling(&batch.positions), Ok(None)) {
            if inner.closing || self.changed.wait_until(&mut inner, deadline).timed_out() {
                return Err(JointError::OlderBatch);
            }
        }
        Ok(())
    }
}
