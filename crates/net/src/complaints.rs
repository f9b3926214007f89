//! What is said about clients that break the rules.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Complaints about clients are said once in so long; the others are counted, and logged at DEBUG.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What a source says about its clients, at most once a minute.
#[derive(Clone)]
pub struct Complaints(Arc<Mutex<ComplaintLog>>);

struct ComplaintLog {
    source: Arc<str>,
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// `source` is its full name.
    pub fn new(source: Arc<str>) -> Self {
        Complaints(Arc::new(Mutex::new(ComplaintLog {
            source,
            last: None,
            unsaid: 0,
        })))
    }

    /// Says it, or counts it: whoever connects often must not fill the log.
    pub fn complain(&self, text: &str) {
        let mut log = self.0.lock();
        if log
            .last
            .is_some_and(|last| last.elapsed() < COMPLAINT_INTERVAL)
        {
            log.unsaid += 1;
            tracing::debug!("{}: {text}", log.source);
            return;
        }
        let more = match log.unsaid {
            0 => String::new(),
            unsaid => format!(" (and {unsaid} other complaints since the last; DEBUG logs each)"),
        };
        tracing::warn!("{}: {text}{more}", log.source);
        log.last = Some(Instant::now());
        log.unsaid = 0;
    }
}
