//! What the buckets of a sink have in common.

use std::sync::{Arc, atomic::AtomicU64};

use flume_core::{
    Context,
    metrics::{Counter, Gauge, Histogram, Metrics},
};
use tokio::sync::Mutex;

use super::{
    config::{Affixes, RollLimits},
    journal::{FileNames, Journal},
};
use crate::formats::{Documents, Format};
use flume_hadoop::fs::FileSystem;

/// What all buckets of a sink share.
pub(super) struct SinkShared {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) journal: Option<Arc<Journal>>,
    /// As the journal knows it.
    pub(super) file_system: String,
    pub(super) roll: RollLimits,
    pub(super) affixes: Affixes,
    pub(super) sync: bool,
    pub(super) format: Format,
    pub(super) cx: Context,
    /// What serializers lack; locked only while one lacks something.
    pub(super) documents: Mutex<Documents>,
    /// The greatest number in a name so far: no two files of this run have the same.
    pub(super) highest: AtomicU64,
    pub(super) counters: BucketCounters,
}

/// What buckets count.
#[derive(Clone)]
pub(super) struct BucketCounters {
    pub(super) created: Counter,
    pub(super) failed: Counter,
    pub(super) bytes: Counter,
    pub(super) open: Gauge,
    pub(super) flush_time: Histogram,
}

impl SinkShared {
    /// A file is about to be created.
    pub(super) fn begun(&self, names: &FileNames) {
        if let Some(journal) = &self.journal {
            journal.begin(&self.file_system, names);
        }
    }

    /// A file is not there, and will not be.
    pub(super) fn finished(&self, names: &FileNames) {
        if let Some(journal) = &self.journal {
            journal.finish(&self.file_system, &names.in_use);
        }
    }
}

impl BucketCounters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        BucketCounters {
            created: metrics.counter("ConnectionCreatedCount"),
            failed: metrics.counter("ConnectionFailedCount"),
            bytes: metrics.counter("BytesWrittenCount"),
            open: metrics.gauge("FilesOpenCount"),
            flush_time: metrics.histogram("FlushTime"),
        }
    }
}
