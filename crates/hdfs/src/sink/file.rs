//! The file that a bucket's events go into.

use flume_core::{Event, EventSerializer, metrics::Held};
use tokio::time::Instant;

use super::{config::RollLimits, journal::FileNames, shared::SinkShared};
use flume_hadoop::fs::{FsError, FsErrorKind, OpenFile};

/// Serialized bytes are written in pieces of about this size, so that a batch of large events needs no memory twice.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// What formats add to an event: a line feed, or the lengths and the key of a SequenceFile's record.
const ADDED_BYTES: usize = 32;

/// The file being written. It is created when there is something to write.
pub(super) struct CurrentFile {
    pub(super) serializer: Box<dyn EventSerializer>,
    /// Serialized, not yet written.
    pub(super) buffer: Vec<u8>,
    pub(super) created: Option<CreatedFile>,
    /// Events that the serializer was told of and that were not added yet.
    announced: usize,
    pub(super) events: u64,
    /// Of bodies alone, as in Flume.
    pub(super) bytes: u64,
}

pub(super) struct CreatedFile {
    pub(super) out: Box<dyn OpenFile>,
    pub(super) names: FileNames,
    pub(super) number: u64,
    pub(super) opened: Instant,
    pub(super) flushed: Instant,
    pub(super) held: Held,
}

impl CurrentFile {
    pub(super) fn begin(shared: &SinkShared) -> Result<Self, FsError> {
        let unsupported = FsError::at(FsErrorKind::Unsupported, "make a serializer");
        let mut serializer = shared.format.start(&shared.cx).map_err(unsupported)?;
        let mut buffer = vec![];
        serializer.begin(&mut buffer);
        Ok(CurrentFile {
            serializer,
            buffer,
            created: None,
            announced: 0,
            events: 0,
            bytes: 0,
        })
    }

    /// Makes room for what is to come, rather than growing step by step.
    pub(super) fn reserve<'a>(
        &mut self,
        roll: &RollLimits,
        events: impl Iterator<Item = &'a Event>,
    ) {
        let left = usize::try_from(roll.events - self.events).unwrap_or(usize::MAX);
        let bytes = events
            .take(left)
            .map(|event| event.body.len() + ADDED_BYTES)
            .sum::<usize>();
        self.buffer.reserve(bytes.clamp(1, PIECE_BYTES));
    }

    /// Tells the serializer of the events to come, unless it knows the next one: those that fill the file.
    pub(super) fn announce<'a>(
        &mut self,
        roll: &RollLimits,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<(), FsError> {
        if self.announced > 0 {
            return Ok(());
        }
        let mut count = self.events;
        let mut bytes = self.bytes;
        let mut announced = 0;
        let mut fitting = events.take_while(|event| {
            let fits = !roll.are_reached(count, bytes);
            count += 1;
            bytes += event.body.len() as u64;
            announced += usize::from(fits);
            fits
        });
        let prepared = self.serializer.prepare(&mut fitting);
        // A serializer of this program does not look at them.
        fitting.for_each(drop);
        self.announced = announced;
        prepared.map_err(FsError::at(FsErrorKind::Retry, "serialize events"))
    }

    pub(super) fn add(&mut self, event: &Event) -> Result<(), String> {
        self.announced = self.announced.saturating_sub(1);
        self.serializer.write(event, &mut self.buffer)?;
        self.events += 1;
        self.bytes += event.body.len() as u64;
        Ok(())
    }

    pub(super) fn full(&self, roll: &RollLimits) -> bool {
        roll.are_reached(self.events, self.bytes)
    }
}
