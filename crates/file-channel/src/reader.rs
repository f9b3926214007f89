//! What is on disk and not in memory, read in the order of the log.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use flume_core::Event;

use crate::{
    disk::Disk,
    encryption::{FrameCipher, Keys},
    format::{BLOCK, FrameHeader, FrameKind, Malformed, decode_events},
    frame::open_body,
    log::cipher,
    pool::Pool,
    quarantine::Reason,
    queue::{Backlog, ReadWanted, Run},
    ranges::Ranges,
    segment::{Found, Position, READ_AHEAD, Walk},
};

/// After so many failures at one place, blocks that cannot be read are given up. The reader pauses between them, so
/// this is half a minute.
const READ_TRIES: u32 = if cfg!(test) { 3 } else { 60 };

/// Reads frames and drops what was consumed before the store was opened.
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    pool: Arc<Pool>,
    keys: Option<Arc<Keys>>,
    /// Not to be delivered.
    skip: Ranges,
    walk: Option<Walk>,
    seal: Option<FrameCipher>,
    /// Where it stands: the frame there has this number, unless it is damaged.
    at: Backlog,
    /// Was unreadable since the last frame.
    damaged: Vec<(Position, PathBuf, Bytes)>,
    /// How often reading failed since something was read.
    failures: u32,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Events, in order.
    pub(crate) runs: Vec<Run>,
    /// Numbers of events that cannot be read.
    pub(crate) lost: Ranges,
    /// How many they are.
    pub(crate) lost_events: u64,
    /// Their bytes, as far as known.
    pub(crate) lost_bytes: u64,
    /// Frames and ranges put aside.
    pub(crate) quarantined: u64,
    /// Bytes put aside.
    pub(crate) quarantined_bytes: u64,
}

impl Reader {
    /// Leaves out what is in `skip`.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        pool: Arc<Pool>,
        keys: Option<Arc<Keys>>,
        skip: Ranges,
    ) -> Self {
        let at = Backlog {
            position: Position::default(),
            sequence: 0,
        };
        Reader {
            disk,
            pool,
            keys,
            skip,
            walk: None,
            seal: None,
            at,
            damaged: vec![],
            failures: 0,
        }
    }

    /// Reads about `budget` bytes; returns them with where to go on.
    pub(crate) fn read(
        &mut self,
        wanted: ReadWanted,
        budget: usize,
    ) -> io::Result<(Reading, Backlog)> {
        if self.at != wanted.from {
            (self.walk, self.at, self.damaged) = (None, wanted.from, vec![]);
        }
        let mut reading = Reading::default();
        match self.read_into(wanted, budget, &mut reading) {
            Ok(()) => {
                // After a failure the walk begins anew, and passes what was read before.
                if self.at != wanted.from {
                    self.failures = 0;
                }
                Ok((reading, self.at))
            }
            Err(error) => {
                // The walk may have lost its place; the numbers say what was read.
                self.walk = None;
                if reading.runs.is_empty() && reading.lost_events == 0 {
                    self.failures += 1;
                    Err(error)
                } else {
                    Ok((reading, self.at))
                }
            }
        }
    }

    fn read_into(
        &mut self,
        wanted: ReadWanted,
        budget: usize,
        reading: &mut Reading,
    ) -> io::Result<()> {
        let mut bytes = 0;
        while bytes < budget && self.at.position < wanted.end {
            let Some(walk) = self.walk_to(wanted, reading)? else {
                break;
            };
            match walk.advance()? {
                Some(Found::Group(_)) => {}
                Some(Found::Frame(header, body)) => {
                    bytes += (body.end - body.start) as usize;
                    if header.kind == FrameKind::Put {
                        self.read_put(&header, body, reading)?;
                    }
                }
                Some(Found::Damage(range)) => {
                    bytes += (range.end - range.start) as usize;
                    let copy = self.copy(range)?;
                    self.damaged.extend(copy);
                }
                None => self.finish_segment(wanted, reading),
            }
        }
        Ok(())
    }

    /// The walk through the segment that is read, opened when need be.
    fn walk_to(
        &mut self,
        wanted: ReadWanted,
        reading: &mut Reading,
    ) -> io::Result<Option<&mut Walk>> {
        if self.walk.is_none() {
            let Position {
                segment: id,
                offset,
            } = self.at.position;
            let Some((segment, end)) = self
                .pool
                .read_from(id)
                .filter(|it| it.0.header.id <= wanted.end.segment)
            else {
                self.missing(wanted.end_sequence, reading);
                self.at = Backlog {
                    position: wanted.end,
                    sequence: wanted.end_sequence,
                };
                return Ok(None);
            };
            let found = segment.header.id;
            let offset = if found == id {
                offset.max(BLOCK)
            } else {
                BLOCK
            };
            if found != id {
                self.missing(segment.header.first_sequence, reading);
                self.at = Backlog {
                    position: Position {
                        segment: found,
                        offset,
                    },
                    sequence: self.at.sequence.max(segment.header.first_sequence),
                };
            }
            let end = if found == wanted.end.segment {
                wanted.end.offset
            } else {
                end
            };
            self.seal = cipher(self.keys.as_deref(), &segment.header)?;
            self.walk = Some(Walk::new(
                &*self.disk,
                segment,
                offset,
                Some(end),
                u64::MAX,
                READ_AHEAD,
            )?);
        }
        if self.failures >= READ_TRIES
            && let Some(walk) = &mut self.walk
        {
            walk.give_up_unreadable();
        }
        if let Some(walk) = &mut self.walk {
            let id = walk.segment().header.id;
            let end = if id == wanted.end.segment {
                Some(wanted.end.offset)
            } else {
                self.pool.end_of(id)
            };
            walk.extend(end.unwrap_or(0));
        }
        Ok(self.walk.as_mut())
    }

    fn finish_segment(&mut self, wanted: ReadWanted, reading: &mut Reading) {
        let Some(walk) = &self.walk else { return };
        let segment = walk.segment().header.id;
        if segment == wanted.end.segment {
            self.missing(wanted.end_sequence, reading);
            self.at = Backlog {
                position: wanted.end,
                sequence: wanted.end_sequence,
            };
            return;
        }
        self.walk = None;
        self.at.position = Position {
            segment: segment + 1,
            offset: BLOCK,
        };
    }

    fn read_put(
        &mut self,
        header: &FrameHeader,
        body: Range<u64>,
        reading: &mut Reading,
    ) -> io::Result<()> {
        let numbers = header.first..header.first.saturating_add(header.count.into());
        // Read before, when a failure of the disk made the walk begin anew.
        if numbers.end <= self.at.sequence {
            return Ok(());
        }
        self.missing(numbers.start, reading);
        if self.skip.covers(&numbers) {
            self.at.sequence = numbers.end;
            return Ok(());
        }
        let Some(walk) = &mut self.walk else {
            return Ok(());
        };
        let stored = walk.read(body.clone())?;
        let opened = open_body(header, stored, self.seal.as_ref()).map_err(|error| {
            let segment = walk.segment();
            let alias = &segment.header.key_alias;
            let place = segment.path.display();
            io::Error::other(format!("{place} at {}, key `{alias}`: {error}", body.start))
        })?;
        self.at.sequence = numbers.end;
        let events = opened.and_then(|body| decode_events(body, header.count));
        match events {
            Ok(events) => self.keep(header, events, reading),
            Err(Malformed(why)) => {
                tracing::error!(
                    "{} events of {} are lost: {why}",
                    header.count,
                    Position {
                        segment: walk.segment().header.id,
                        offset: body.start
                    }
                );
                self.lose(numbers, reading);
                reading.lost_bytes += header.bytes;
                if let Some(copy) = self.copy(body)? {
                    self.put_aside(copy, Reason::CorruptBody, reading);
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, header: &FrameHeader, events: Vec<Event>, reading: &mut Reading) {
        let put = UNIX_EPOCH + Duration::from_millis(header.time_ms);
        let mut run = Run {
            first: header.first,
            events: VecDeque::new(),
            bytes: 0,
            put,
        };
        for (event, number) in events.into_iter().zip(header.first..) {
            if self.skip.contains(number) {
                let next = Run {
                    first: number + 1,
                    events: VecDeque::new(),
                    bytes: 0,
                    put,
                };
                reading.add(std::mem::replace(&mut run, next));
                continue;
            }
            run.bytes += event.size();
            run.events.push_back(event);
        }
        reading.add(run);
        self.skip.forget_below(header.first);
    }

    /// Events between the last frame and `next` that were not found although they were put. Damage that costs none
    /// is left alone: an ack that is repeated, or what was discarded when the store was opened.
    fn missing(&mut self, next: u64, reading: &mut Reading) {
        let damaged = std::mem::take(&mut self.damaged);
        let before = reading.lost_events;
        if !damaged.is_empty() && self.at.sequence < next {
            self.lose(self.at.sequence..next, reading);
        }
        if reading.lost_events > before {
            tracing::error!(
                "{} events are lost: no headers can be read",
                reading.lost_events - before
            );
            damaged
                .into_iter()
                .for_each(|copy| self.put_aside(copy, Reason::CorruptHeader, reading));
        }
    }

    fn lose(&self, numbers: Range<u64>, reading: &mut Reading) {
        let mut fresh = self.skip.clone();
        fresh.insert(numbers, |part| {
            reading.lost_events += part.end - part.start;
            reading.lost.insert(part, |_| ());
        });
    }

    /// What stands at a range, with its place and the directory it is in.
    fn copy(&mut self, range: Range<u64>) -> io::Result<Option<(Position, PathBuf, Bytes)>> {
        let Some(walk) = &mut self.walk else {
            return Ok(None);
        };
        let bytes = walk.read(range.clone())?;
        let segment = walk.segment();
        let position = Position {
            segment: segment.header.id,
            offset: range.start,
        };
        let directory = segment.path.parent().unwrap_or(&segment.path).to_path_buf();
        Ok(Some((position, directory, bytes)))
    }

    fn put_aside(&self, copy: (Position, PathBuf, Bytes), reason: Reason, reading: &mut Reading) {
        let (position, directory, bytes) = copy;
        reading.quarantined += 1;
        reading.quarantined_bytes += bytes.len() as u64;
        self.pool
            .quarantine()
            .keep(&directory, position, reason, &bytes);
    }
}

impl Reading {
    fn add(&mut self, run: Run) {
        if !run.events.is_empty() {
            self.runs.push(run);
        }
    }
}
