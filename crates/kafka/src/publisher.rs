//! Writes records and waits until the brokers have them: what the sink, the channel's puts and dead letters share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::{Duration, Instant},
};

use flume_core::{
    Context,
    metrics::{Counter, Histogram},
};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use tokio::sync::oneshot;

use crate::watch::{Causes, ClientWatch};

/// How long a full queue is left alone before it is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// A record on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutgoingRecord<'a> {
    pub(crate) topic: &'a str,
    /// `None`: by the key, as Java does it.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
    /// Milliseconds since 1970; `None`: now.
    pub(crate) timestamp: Option<i64>,
}

/// A producer with its thread.
pub(crate) struct Publisher {
    pub(crate) producer: ThreadedProducer<Reports>,
    /// How long records may wait for room in the queue.
    max_block: Duration,
}

/// A batch that is being handed over.
pub(crate) struct Sending<'a> {
    publisher: &'a Publisher,
    outstanding: Arc<Outstanding>,
    done: oneshot::Receiver<()>,
    began: Instant,
}

/// A record that the brokers do not have.
#[derive(Clone, Debug)]
pub(crate) struct Undelivered {
    /// Its number in the batch.
    pub(crate) index: usize,
    pub(crate) code: Option<RDKafkaErrorCode>,
    /// What the client says.
    pub(crate) text: String,
}

/// What receives the delivery reports.
pub(crate) struct Reports {
    watch: ClientWatch,
    metrics: PublisherMetrics,
}

#[derive(Clone)]
struct PublisherMetrics {
    failures: Counter,
    causes: Causes,
    send_millis: Counter,
    send_time: Histogram,
}

/// One record's ticket.
pub(crate) struct Receipt {
    outstanding: Arc<Outstanding>,
    index: usize,
}

/// The records of a batch whose reports have not come.
struct Outstanding {
    left: AtomicUsize,
    undelivered: Mutex<Vec<Undelivered>>,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Publisher {
    /// Nobody is asked yet: brokers are looked for in the background.
    pub(crate) fn new(
        config: &ClientConfig,
        max_block: Duration,
        cx: &Context,
    ) -> Result<Self, KafkaError> {
        let metrics = PublisherMetrics {
            failures: cx.metrics.counter("KafkaDeliveryFailureCount"),
            causes: Causes::new(cx.metrics.text("KafkaDeliveryFailures")),
            send_millis: cx.metrics.counter("KafkaEventSendTimer"),
            send_time: cx.metrics.histogram("KafkaSendTime"),
        };
        let watch = ClientWatch::new(&cx.metrics, &cx.state);
        let producer =
            ThreadedProducer::from_config_and_context(config, Reports { watch, metrics })?;
        Ok(Publisher {
            producer,
            max_block,
        })
    }

    /// Begins a batch.
    pub(crate) fn begin(&self) -> Sending<'_> {
        let (done, all_reported) = oneshot::channel();
        let outstanding = Outstanding {
            // One for the batch itself, until it is handed over.
            left: AtomicUsize::new(1),
            undelivered: Mutex::default(),
            done: Mutex::new(Some(done)),
        };
        Sending {
            publisher: self,
            outstanding: Arc::new(outstanding),
            done: all_reported,
            began: Instant::now(),
        }
    }

    /// Whether it can do no more: an idempotent producer that lost count of what it sent.
    pub(crate) fn is_broken(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }
}

impl Sending<'_> {
    /// Hands a record over; waits while the queue is full. A record that cannot be sent at all is among the undelivered.
    ///
    /// # Errors
    /// A queue that stays full.
    pub(crate) async fn add(
        &self,
        index: usize,
        mut record: OutgoingRecord<'_>,
    ) -> Result<(), KafkaError> {
        while let Err(error) = self.try_add(index, &mut record) {
            if self.began.elapsed() > self.publisher.max_block {
                return Err(error);
            }
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(())
    }

    /// The same, without waiting.
    pub(crate) fn try_add(
        &self,
        index: usize,
        record: &mut OutgoingRecord<'_>,
    ) -> Result<(), KafkaError> {
        self.outstanding.left.fetch_add(1, AcqRel);
        let receipt = Box::new(Receipt {
            outstanding: self.outstanding.clone(),
            index,
        });
        let mut sent =
            BaseRecord::<[u8], [u8], Box<Receipt>>::with_opaque_to(record.topic, receipt);
        sent.partition = record.partition;
        sent.key = record.key;
        sent.payload = record.value;
        sent.headers = record.headers.take();
        sent.timestamp = record.timestamp;
        match self.publisher.producer.send(sent) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), sent)) => {
                record.headers = sent.headers;
                sent.delivery_opaque.outstanding.end(None);
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
            }
            Err((error, sent)) => {
                self.publisher.producer.context().undelivered(
                    &error,
                    record.topic,
                    *sent.delivery_opaque,
                );
                Ok(())
            }
        }
    }

    /// Waits for the reports; returns what the brokers do not have, by index.
    pub(crate) async fn finish(self) -> Vec<Undelivered> {
        self.outstanding.end(None);
        // The sender is dropped only after it was used.
        let _ = self.done.await;
        self.publisher.sent(&self.outstanding, self.began)
    }

    /// The same on a thread that may block.
    pub(crate) fn finish_blocking(self) -> Vec<Undelivered> {
        self.outstanding.end(None);
        let _ = self.done.blocking_recv();
        self.publisher.sent(&self.outstanding, self.began)
    }
}

impl Publisher {
    fn sent(&self, outstanding: &Outstanding, began: Instant) -> Vec<Undelivered> {
        let metrics = &self.producer.context().metrics;
        let took = began.elapsed();
        metrics.send_time.observe(took);
        metrics.send_millis.add(took.as_millis() as usize);
        let mut undelivered = std::mem::take(&mut *outstanding.undelivered.lock());
        undelivered.sort_by_key(|record| record.index);
        undelivered
    }
}

impl Outstanding {
    /// One report less to wait for.
    fn end(&self, undelivered: Option<Undelivered>) {
        self.undelivered.lock().extend(undelivered);
        if self.left.fetch_sub(1, AcqRel) == 1
            && let Some(done) = self.done.lock().take()
        {
            let _ = done.send(());
        }
    }
}

impl Reports {
    fn undelivered(&self, error: &KafkaError, topic: &str, receipt: Receipt) {
        let code = error.rdkafka_error_code();
        let text = code.map_or_else(|| error.to_string(), |code| code.to_string());
        self.metrics.failures.add(1);
        self.metrics.causes.count(&text);
        receipt.outstanding.end(Some(Undelivered {
            index: receipt.index,
            code,
            text: format!("topic {topic}: {text}"),
        }));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        match result {
            Ok(_) => {
                self.watch.alive();
                receipt.outstanding.end(None);
            }
            Err((error, message)) => {
                self.undelivered(error, message.topic(), *receipt);
            }
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.watch.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}
