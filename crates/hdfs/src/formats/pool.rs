//! What takes memory while a file is written between two flushes, and none afterwards: thousands of files can be open,
//! and a hundred that take turns need the memory, and the cache, of one.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Codec;

/// Kept for the next batch; what is more than these was needed at the same time once.
const MOST_IDLE: usize = 8;

/// Workers for a codec, shared by the files of a sink.
pub(super) struct Pool<T> {
    codec: Codec,
    make: fn(Codec) -> T,
    idle: Arc<Mutex<Vec<T>>>,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool {
            codec: self.codec,
            make: self.make,
            idle: self.idle.clone(),
        }
    }
}

impl<T> Pool<T> {
    pub(super) fn new(codec: Codec, make: fn(Codec) -> T) -> Self {
        Pool {
            codec,
            make,
            idle: Arc::default(),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn take(&self) -> T {
        let idle = self.idle.lock().pop();
        idle.unwrap_or_else(|| (self.make)(self.codec))
    }

    /// Takes back a worker that holds nothing of a file any more.
    pub(super) fn give(&self, worker: T) {
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE {
            idle.push(worker);
        }
    }
}
