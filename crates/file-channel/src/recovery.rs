//! Opening a store: the newest checkpoint, then the headers of groups and frames behind it. Only the last group may be
//! torn; what is damaged before it is corruption.

mod files;
mod outcome;

use std::{collections::BTreeMap, io, ops::Range, path::Path, sync::Arc};

use flume_core::metrics::Histogram;

use self::files::{Files, channel_id, refuse_java};
pub(crate) use self::outcome::{OpenError, Recovered};
use crate::{
    checkpoint::{Checkpoint, Contents},
    disk::Disk,
    encryption::Keys,
    format::{BLOCK, FrameHeader, FrameKind, decode_ranges},
    frame::open_body,
    log::{Kept, Log, cipher},
    pool::{Layout, Pool},
    progress::Progress,
    quarantine::Reason,
    segment::{Found, HEADER_AHEAD, Position, Segment, Walk},
};

/// Reads a store, unless there are files of Java Flume beside it.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    layout: Layout,
    keys: Option<Arc<Keys>>,
    sync_time: Histogram,
) -> Result<(Log, Recovered), OpenError> {
    refuse_java(&*disk, &layout)?;
    open_store(disk, layout, keys, sync_time)
}

/// Reads a store.
pub(crate) fn open_store(
    disk: Arc<dyn Disk>,
    layout: Layout,
    keys: Option<Arc<Keys>>,
    sync_time: Histogram,
) -> Result<(Log, Recovered), OpenError> {
    let files = Files::find(&*disk, &layout)?;
    let checkpoints = Checkpoint::read(&*disk, &layout.checkpoint_dir)?;
    let newest = checkpoints.first().cloned();
    let channel = channel_id(&files, newest.as_ref())?;
    let checkpoint_dir = layout.checkpoint_dir.clone();
    let pool = Arc::new(Pool::new(layout, disk.clone(), files.next_number));
    let checkpoint = newest.unwrap_or_else(|| Checkpoint {
        next_sequence: 1,
        ..Checkpoint::default()
    });
    let greatest = files.segments.keys().next_back().map_or(0, |id| id + 1);
    let log = Log {
        disk,
        pool,
        keys,
        channel,
        kept: BTreeMap::new(),
        current: None,
        next_segment: greatest.max(checkpoint.position.segment + 1),
        next_sequence: checkpoint.next_sequence,
        next_group: checkpoint.last_group + 1,
        last_good_group: checkpoint.last_group,
        judged_group: 0,
        consumed: checkpoint.consumed.iter().cloned().collect(),
        events: checkpoint.events,
        bytes: checkpoint.bytes,
        quarantined: checkpoint.quarantined,
        checkpoint_number: checkpoint.number,
        drained: vec![],
        free: vec![],
        buffer: vec![],
        sync_time,
    };
    let mut recovery = Recovery {
        log,
        report: Recovered::default(),
        last: LastGroup::default(),
    };
    recovery.keep_known(&files, &checkpoint, &checkpoint_dir)?;
    recovery.scan(&files, checkpoint.position)?;
    let last = recovery.last.segment;
    let range = recovery.last.range.clone();
    recovery.judge_last_group()?;
    recovery.check_keys()?;
    recovery.write_again(last, range)?;
    recovery.finish(&files, &checkpoints)
}

struct Recovery {
    log: Log,
    report: Recovered,
    last: LastGroup,
}

/// The last group that was found: what in it is damaged was never acknowledged.
#[derive(Default)]
struct LastGroup {
    segment: u64,
    /// Where it stands.
    range: Range<u64>,
    frames: Vec<(FrameHeader, Range<u64>)>,
    damage: Vec<Range<u64>>,
    /// Events whose frames are missing from it, or from before it.
    missing: u64,
    /// Whether a damaged range stands right before the next frame.
    after_damage: bool,
}

impl Recovery {
    /// What the checkpoint says of segments before its position.
    fn keep_known(
        &mut self,
        files: &Files,
        checkpoint: &Checkpoint,
        checkpoint_dir: &Path,
    ) -> Result<(), OpenError> {
        // The last of them may hold more by now.
        let is_needed =
            |contents: &&Contents| contents.live > 0 || contents.id >= checkpoint.position.segment;
        let is_missing = |contents: &&Contents| !files.segments.contains_key(&contents.id);
        let needed = checkpoint.segments.iter().filter(is_needed);
        let missing: Vec<_> = needed.filter(is_missing).collect();
        // A file without a header may be one of them. More of them cannot be explained by damage.
        if let Some(first) = missing
            .first()
            .filter(|_| missing.len() > files.headless.len())
        {
            return Err(OpenError::Missing {
                id: first.id,
                events: first.live,
                checkpoint_dir: checkpoint_dir.into(),
            });
        }
        for contents in &checkpoint.segments {
            let segment = files.segments.get(&contents.id).cloned();
            match segment {
                Some(segment) => drop(self.log.kept.insert(
                    contents.id,
                    Kept {
                        segment,
                        contents: *contents,
                    },
                )),
                None if !is_needed(&contents) => {}
                None => {
                    tracing::error!(
                        "segment {} is damaged in both copies of its header: {} events are lost",
                        contents.id,
                        contents.live
                    );
                    self.report.corrupt += 1;
                    self.report.lost += contents.live;
                    self.log.events = self.log.events.saturating_sub(contents.live);
                    self.log
                        .consumed
                        .insert(contents.first..contents.end, |_| ());
                }
            }
        }
        // The rest is drained; files return to the pool by way of the next checkpoints.
        for (id, segment) in files.segments.range(..checkpoint.position.segment) {
            let contents = Contents {
                id: *id,
                ..Contents::default()
            };
            self.log.kept.entry(*id).or_insert_with(|| Kept {
                segment: segment.clone(),
                contents,
            });
        }
        Ok(())
    }

    /// Reads the headers behind the checkpoint.
    fn scan(&mut self, files: &Files, position: Position) -> Result<(), OpenError> {
        let mut later = files.segments.range(position.segment..).peekable();
        let all = files.segments.range(position.segment..).count();
        let mut progress = Progress::new();
        while let Some((&id, segment)) = later.next() {
            let next = later.peek().map(|(_, next)| next.header.last_good_group);
            let judged = later.peek().map(|(_, next)| next.header.judged_group);
            let next_first = later
                .peek()
                .map_or(0, |(_, next)| next.header.first_sequence);
            let contents = Contents::none(id, segment.header.first_sequence);
            self.skip_numbers(segment.header.first_sequence);
            self.log.kept.entry(id).or_insert_with(|| Kept {
                segment: segment.clone(),
                contents,
            });
            let at = if id == position.segment {
                position.offset
            } else {
                BLOCK
            };
            self.scan_segment(segment, at, next.unwrap_or(u64::MAX))?;
            // An earlier open found its last group torn, and wrote on in the next segment.
            if self.last.segment == id && judged == Some(self.log.last_good_group) {
                self.judge_last_group()?;
            }
            // The next segment says how far this one went.
            if let Some(last) = next.filter(|&last| last > self.log.last_good_group) {
                tracing::error!("segment {id} ends before its last group {last}");
                self.report.corrupt += 1;
                self.report.lost += next_first.saturating_sub(self.log.next_sequence);
                self.log.last_good_group = last;
                self.log.next_group = last + 1;
                self.last = LastGroup::default();
            }
            self.report.segments += 1;
            let done = self.report.segments;
            progress.tell(|| format!("read {done} of {all} segments behind the checkpoint"));
            // After the crash of a process alone, the page cache may hold what no disk has.
            self.log.disk.open(&segment.path)?.sync()?;
        }
        Ok(())
    }

    fn scan_segment(
        &mut self,
        segment: &Segment,
        at: u64,
        last_good_group: u64,
    ) -> Result<(), OpenError> {
        let disk = self.log.disk.clone();
        let mut walk = Walk::new(
            &*disk,
            segment.clone(),
            at,
            None,
            last_good_group,
            HEADER_AHEAD,
        )?;
        walk.give_up_unreadable();
        let id = segment.header.id;
        while let Some(found) = walk.advance()? {
            match found {
                Found::Group(group) => {
                    let start = u64::from(group.block) * BLOCK;
                    let after_damage = self.flush_damage();
                    self.report.groups += 1;
                    self.log.last_good_group = group.number;
                    self.log.next_group = group.number + 1;
                    self.last = LastGroup {
                        segment: id,
                        range: start..start + group.length,
                        after_damage,
                        ..LastGroup::default()
                    };
                }
                Found::Frame(header, body) => {
                    self.last.frames.push((header, body.clone()));
                    match header.kind {
                        FrameKind::Put => self.apply_put(id, &header),
                        FrameKind::Ack => self.apply_ack(&mut walk, &header, body)?,
                    }
                }
                Found::Damage(range) => {
                    self.last.damage.push(range);
                    self.last.after_damage = true;
                }
            }
            if let Some(kept) = self.log.kept.get_mut(&id) {
                (kept.contents.length, kept.contents.last_group) =
                    (walk.at(), self.log.last_good_group);
            }
        }
        Ok(())
    }

    /// Numbers below this were given before, whatever became of their events: a group that failed spends its numbers, and
    /// the next segment says so.
    fn skip_numbers(&mut self, first_sequence: u64) {
        let next = self.log.next_sequence;
        if next < first_sequence {
            self.log.consume(next..first_sequence);
            self.log.next_sequence = first_sequence;
        }
    }

    fn apply_put(&mut self, id: u64, header: &FrameHeader) {
        let log = &mut self.log;
        let end = header.first.saturating_add(header.count.into());
        if header.first < log.next_sequence {
            return;
        }
        // What is missing was abandoned or damaged.
        log.consumed.insert(log.next_sequence..header.first, |_| ());
        if std::mem::take(&mut self.last.after_damage) {
            self.last.missing += header.first - log.next_sequence;
        }
        log.next_sequence = end;
        // Already consumed: after a checkpoint was lost, acks may come from later segments than puts.
        if let Some(kept) = log.kept.get_mut(&id) {
            kept.contents.add(header.first..end);
        }
        log.events += u64::from(header.count);
        log.bytes += header.bytes;
    }

    fn apply_ack(
        &mut self,
        walk: &mut Walk,
        header: &FrameHeader,
        body: Range<u64>,
    ) -> Result<(), OpenError> {
        let seal = cipher(self.log.keys.as_deref(), &walk.segment().header)?;
        let bytes = walk.read(body)?;
        let ranges = open_body(header, bytes, seal.as_ref())?
            .and_then(|body| decode_ranges(&body, header.count));
        // A damaged one is judged with its group; what it acknowledged is delivered again.
        let Ok(ranges) = ranges else { return Ok(()) };
        for range in ranges {
            self.log.next_sequence = self.log.next_sequence.max(range.end);
            self.log.consume(range);
        }
        self.log.bytes = self.log.bytes.saturating_sub(header.bytes);
        Ok(())
    }

    /// There is a group behind the damage, so it is no torn end. Whether the damage reaches to that group.
    fn flush_damage(&mut self) -> bool {
        let last = std::mem::take(&mut self.last);
        self.report.lost += last.missing;
        for range in last.damage {
            self.report.corrupt += 1;
            self.put_aside(last.segment, range, Reason::CorruptHeader);
        }
        last.after_damage
    }

    /// Bodies are not read when a store is opened, except those that may never have been written.
    fn judge_last_group(&mut self) -> Result<(), OpenError> {
        let last = std::mem::take(&mut self.last);
        let Some(kept) = self.log.kept.get(&last.segment) else {
            return Ok(());
        };
        let segment = kept.segment.clone();
        let seal = cipher(self.log.keys.as_deref(), &segment.header)?;
        let mut walk = Walk::new(
            &*self.log.disk.clone(),
            segment,
            BLOCK,
            None,
            u64::MAX,
            HEADER_AHEAD,
        )?;
        walk.give_up_unreadable();
        for (header, body) in last.frames {
            let bytes = walk.read(body.clone())?;
            if open_body(&header, bytes, seal.as_ref())?.is_ok() {
                continue;
            }
            self.report.discarded += 1;
            self.put_aside(last.segment, body, Reason::TailDiscarded);
            if header.kind == FrameKind::Put {
                self.log
                    .consume(header.first..header.first.saturating_add(header.count.into()));
                self.log.bytes = self.log.bytes.saturating_sub(header.bytes);
            }
        }
        for range in last.damage {
            self.report.discarded += 1;
            self.put_aside(last.segment, range, Reason::TailDiscarded);
        }
        Ok(())
    }

    fn put_aside(&mut self, id: u64, range: Range<u64>, reason: Reason) {
        self.log.quarantined += 1;
        let Some(kept) = self.log.kept.get(&id) else {
            return;
        };
        let position = Position {
            segment: id,
            offset: range.start,
        };
        let directory = kept.segment.path.parent().unwrap_or(&kept.segment.path);
        let bytes = Walk::new(
            &*self.log.disk,
            kept.segment.clone(),
            BLOCK,
            None,
            u64::MAX,
            HEADER_AHEAD,
        )
        .and_then(|mut walk| {
            walk.give_up_unreadable();
            walk.read(range)
        });
        let quarantine = self.log.pool.quarantine();
        match bytes {
            Ok(bytes) => quarantine.keep(directory, position, reason, &bytes),
            Err(error) => tracing::warn!(
                "{position}: {}, and it cannot be read: {error}",
                reason.name()
            ),
        }
    }

    /// The sync of the last group may have failed right before the process ended. Then the page cache shows what no disk
    /// has, and another sync would say that all is well. So the group is written once more, the same bytes. Every
    /// other group was followed by one that was not begun before its sync.
    fn write_again(&self, id: u64, range: Range<u64>) -> io::Result<()> {
        let Some(kept) = self.log.kept.get(&id).filter(|_| !range.is_empty()) else {
            return Ok(());
        };
        let file = self.log.disk.open(&kept.segment.path)?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match file.read_at(&mut bytes, range.start) {
            Ok(read) => file.write_at(&bytes[..read], range.start)?,
            // What of it can be read is on disk.
            Err(error) => tracing::warn!(
                "failed to read the last group of {}: {error}",
                kept.segment.path.display()
            ),
        }
        file.sync()
    }

    /// A key that is not the right one makes everything look damaged, so this is found out before anything is touched.
    fn check_keys(&self) -> Result<(), OpenError> {
        let Some(keys) = self.log.keys.as_deref() else {
            return Ok(());
        };
        for kept in self.log.kept.values().filter(|kept| kept.contents.live > 0) {
            cipher(Some(keys), &kept.segment.header)?;
        }
        Ok(())
    }

    /// `checkpoints`: the valid ones, newest first.
    fn finish(
        mut self,
        files: &Files,
        checkpoints: &[Checkpoint],
    ) -> Result<(Log, Recovered), OpenError> {
        let log = &mut self.log;
        log.judged_group = log.last_good_group;
        #[cfg(test)]
        if crate::promises::breaks(crate::promises::Broken::SequenceReuse) {
            log.next_sequence = 1;
        }
        for directory in &log.pool.layout().data_dirs {
            log.disk.sync_directory(directory)?;
        }
        for Kept { segment, contents } in log.kept.values().filter(|kept| kept.contents.live > 0) {
            log.pool.readable(segment, contents.length);
        }
        for path in &files.blank {
            log.pool.add_spare(path.clone());
        }
        for path in &files.useless {
            log.disk.remove(path)?;
        }
        for path in &files.headless {
            // It may hold events; whoever wants to can still look for them.
            let kept = path.with_extension("damaged");
            tracing::error!(
                "{}: both copies of the header are damaged, so what is in it cannot be read; it is kept as {}",
                path.display(),
                kept.display()
            );
            log.disk.rename(path, &kept)?;
        }
        // From now on a checkpoint finds the room that the one before the last leaves.
        let directory = log.pool.layout().checkpoint_dir.clone();
        Checkpoint::reserve(&*log.disk, &directory, 0);
        // After the crash of a process alone, the directory on disk may not have them.
        log.disk.sync_directory(&directory)?;
        for checkpoint in checkpoints.iter().rev() {
            log.checkpointed(checkpoint);
        }
        // One for what was read behind the newest, so that many short lives do not leave many segments.
        let behind = usize::from(self.report.segments > 0);
        for _ in 0..behind.max(2 - checkpoints.len()) {
            let checkpoint = log.checkpoint();
            if let Err(error) = checkpoint.write(&*log.disk, &directory) {
                tracing::warn!("failed to write a checkpoint, there will be another: {error}");
                break;
            }
            log.checkpointed(&checkpoint);
        }
        Ok((self.log, self.report))
    }
}
