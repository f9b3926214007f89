//! The live stream: the state of the agent every second, as server-sent events.
//!
//! A frame is made once for all readers, and only while there is one. A reader that is slow misses frames; one that
//! does not read at all loses its connection by the limits of the server.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use flume_core::Stop;
use futures_util::stream::unfold;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    board::Board,
    status::{Detail, status_in},
};

/// Readers at a time: a part of the port's connections, so that scrapers and probes always have theirs.
pub(crate) const MAX_READERS: usize = 16;
/// From frame to frame.
const EVERY: Duration = Duration::from_secs(1);
/// A stream ends after this time; browsers connect again. So none is kept for ever by mistake.
const MAX_LIFE: Duration = Duration::from_secs(3600);

/// What all readers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Live {
    board: Board,
    frames: watch::Sender<Bytes>,
    room: Arc<Semaphore>,
}

/// One reader.
struct Reader {
    frames: watch::Receiver<Bytes>,
    first: Option<Bytes>,
    stop: Stop,
    end: Instant,
    _room: OwnedSemaphorePermit,
}

impl Live {
    /// Makes frames until the stop.
    pub(crate) fn start(board: Board, stop: Stop) -> Self {
        let live = Live {
            board,
            frames: watch::Sender::new(Bytes::new()),
            room: Arc::new(Semaphore::new(MAX_READERS)),
        };
        let making = live.clone();
        tokio::spawn(async move {
            while !stop.is_requested() {
                if making.frames.receiver_count() > 0 {
                    let frame = making.frame();
                    making.frames.send_replace(frame);
                }
                sleep(EVERY).await;
            }
        });
        live
    }

    /// The agent at this moment, as JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&status_in(&self.board, Detail::Brief)).unwrap_or_default()
    }

    fn frame(&self) -> Bytes {
        format!("data: {}\n\n", self.json()).into()
    }

    /// A body that goes on; `None` if there are as many readers as may be.
    pub(crate) fn read(&self, stop: &Stop) -> Option<Body> {
        let room = self.room.clone().try_acquire_owned().ok()?;
        let reader = Reader {
            frames: self.frames.subscribe(),
            first: Some(self.frame()),
            stop: stop.clone(),
            end: Instant::now() + MAX_LIFE,
            _room: room,
        };
        let stream = unfold(reader, |mut reader| async {
            let frame = reader.next().await?;
            Some((Ok::<_, std::convert::Infallible>(frame), reader))
        });
        Some(Body::from_stream(stream))
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            self.frames.mark_unchanged();
            return Some(first);
        }
        tokio::select! {
            changed = timeout_at(self.end, self.frames.changed()) => changed.ok()?.ok()?,
            () = self.stop.requested() => return None,
        }
        Some(self.frames.borrow_and_update().clone())
    }
}
