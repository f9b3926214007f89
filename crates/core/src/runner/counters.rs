//! What a sink counts, with the names of Flume where it has one.

use crate::metrics::{Counter, Gauge, Histogram, Metrics};

pub(super) struct SinkCounters {
    pub(super) attempted: Counter,
    pub(super) delivered: Counter,
    pub(super) empty: Counter,
    pub(super) underflow: Counter,
    pub(super) complete: Counter,
    pub(super) read_failures: Counter,
    pub(super) write_failures: Counter,
    pub(super) dead: Counter,
    pub(super) parked: Gauge,
    pub(super) deliver_time: Histogram,
}

impl SinkCounters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        SinkCounters {
            attempted: metrics.counter("EventDrainAttemptCount"),
            delivered: metrics.counter("EventDrainSuccessCount"),
            empty: metrics.counter("BatchEmptyCount"),
            underflow: metrics.counter("BatchUnderflowCount"),
            complete: metrics.counter("BatchCompleteCount"),
            read_failures: metrics.counter("ChannelReadFail"),
            write_failures: metrics.counter("EventWriteFail"),
            dead: metrics.counter("EventDeadLetterCount"),
            parked: metrics.gauge("EventParkedCount"),
            deliver_time: metrics.histogram("DeliverTime"),
        }
    }
}
