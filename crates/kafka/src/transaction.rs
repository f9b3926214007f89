//! Batches in transactions of Kafka: nothing of a batch that failed is visible to readers of committed records.
//!
//! If the batch was read from a channel on the same cluster, its offsets go into the same transaction. Then a crash
//! between delivery and commit repeats nothing: exactly once.

use std::time::{Duration, Instant};

use flume_core::{
    Context,
    metrics::{Metrics, Text},
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer,
};

use crate::{
    intake::{IntakeBatch, JointError, Uncommitted},
    publisher::Publisher,
};

/// How long a commit is tried again whose outcome is not known.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);
/// How long one step of a transaction may take.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// What `status` says without transactions.
pub(crate) const AT_LEAST_ONCE: &str =
    "at least once: a batch that fails half way, or is interrupted before its commit, comes again";

/// A producer with a transactional id. At most one transaction is open. All of it blocks.
pub(crate) struct TransactionalPublisher {
    pub(crate) publisher: Publisher,
    id: String,
    open: bool,
}

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransactionError {
    #[error("another client uses the transactional id `{id}`: give each agent its own")]
    Fenced { id: String },
    #[error(transparent)]
    Step(KafkaError),
    #[error(transparent)]
    Joint(JointError),
}

/// The transactional id of a component: the configured one is shared by all agents that have the same file.
pub(crate) fn transactional_id(configured: &str, cx: &Context) -> String {
    let host = flume_host::names::own_name();
    format!("{configured}-{host}-{}", cx.name)
}

/// What `status` says about how often an event arrives.
pub(crate) fn guarantee(metrics: &Metrics) -> Text {
    metrics.text("DeliveryGuarantee")
}

/// A record must not be on its way for longer than its transaction may be open.
fn limit_deliveries(config: &mut ClientConfig) {
    let millis = |key: &str| config.get(key).and_then(|text| text.parse::<u64>().ok());
    let transaction = millis("transaction.timeout.ms").unwrap_or(60_000);
    let limited = [
        ("message.timeout.ms", 300_000),
        ("socket.timeout.ms", 60_000),
    ]
    .map(|(key, default)| (key, millis(key).unwrap_or(default).min(transaction)));
    for (key, limit) in limited {
        config.set(key, limit.to_string());
    }
}

impl TransactionalPublisher {
    /// Ends what a former client with this id has left open, and keeps it from going on.
    pub(crate) fn new(
        config: &ClientConfig,
        configured: &str,
        max_block: Duration,
        cx: &Context,
    ) -> Result<Self, TransactionError> {
        let id = transactional_id(configured, cx);
        let mut config = config.clone();
        config.set("transactional.id", &id);
        limit_deliveries(&mut config);
        let publisher = Publisher::new(&config, max_block, cx).map_err(TransactionError::Step)?;
        let transactional = TransactionalPublisher {
            publisher,
            id,
            open: false,
        };
        let begun = transactional
            .publisher
            .producer
            .init_transactions(STEP_LIMIT);
        begun.map_err(|error| transactional.judged(error))?;
        Ok(transactional)
    }

    /// Begins a transaction; one that was left open is given up.
    pub(crate) fn begin(&mut self) -> Result<(), TransactionError> {
        self.abort()?;
        let begun = self.publisher.producer.begin_transaction();
        begun.map_err(|error| self.judged(error))?;
        self.open = true;
        Ok(())
    }

    /// Makes the records visible.
    pub(crate) fn commit(&mut self) -> Result<(), TransactionError> {
        let committed = self.try_to_commit().map_err(|error| match error {
            Uncommitted::No(error) | Uncommitted::Unknown(error) => error,
        });
        self.ended(committed)
    }

    /// Makes the records visible and commits the batch that they were made of.
    pub(crate) fn commit_with(&mut self, batch: IntakeBatch) -> Result<(), TransactionError> {
        let committed = batch.commit_within(|offsets, group| {
            let producer = &self.publisher.producer;
            producer
                .send_offsets_to_transaction(offsets, group, STEP_LIMIT)
                .map_err(Uncommitted::No)?;
            self.try_to_commit()
        });
        match committed {
            Ok(()) => self.ended(Ok(())),
            Err(JointError::Transaction(error)) => self.ended(Err(error)),
            Err(error) => {
                self.abort()?;
                Err(TransactionError::Joint(error))
            }
        }
    }

    /// A commit that got no answer is asked for again: only the answer says whether the records are visible.
    fn try_to_commit(&self) -> Result<(), Uncommitted> {
        let deadline = Instant::now() + COMMIT_LIMIT;
        loop {
            match self.publisher.producer.commit_transaction(STEP_LIMIT) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    return Err(Uncommitted::No(KafkaError::Transaction(error)));
                }
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(Uncommitted::Unknown(error)),
            }
        }
    }

    /// Gives up what is open.
    pub(crate) fn abort(&mut self) -> Result<(), TransactionError> {
        if std::mem::take(&mut self.open) {
            let aborted = self.publisher.producer.abort_transaction(STEP_LIMIT);
            aborted.map_err(|error| self.judged(error))?;
        }
        Ok(())
    }

    /// The cluster that it writes to.
    pub(crate) fn cluster(&self) -> Option<String> {
        self.publisher
            .producer
            .client()
            .fetch_cluster_id(STEP_LIMIT)
    }

    fn ended(&mut self, outcome: Result<(), KafkaError>) -> Result<(), TransactionError> {
        match outcome {
            Ok(()) => {
                self.open = false;
                Ok(())
            }
            Err(error) => {
                let error = self.judged(error);
                // The first error says more than one that follows from it.
                let _ = self.abort();
                Err(error)
            }
        }
    }

    fn judged(&self, error: KafkaError) -> TransactionError {
        use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
        match error.rdkafka_error_code() {
            Some(Fenced | ProducerFenced | InvalidProducerEpoch) => TransactionError::Fenced {
                id: self.id.clone(),
            },
            _ => TransactionError::Step(error),
        }
    }
}
