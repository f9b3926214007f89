//! Takes over what Java Flume left in the directories of a channel.
//!
//! 1. Read which events are queued. Nothing is changed; whatever is wrong is said, and Java Flume can still start.
//! 2. Note in [`MARK`] that a store is being filled, and put the events into it, in order, each synced.
//! 3. Make the barrier in the first directory: a log on which Java Flume refuses to start. **From this moment on the
//!    events are ours, before it they are Java's.**
//! 4. Move Java's files away, and remove the mark.
//!
//! After a crash before step 3 the half-filled store is removed, and all begins anew. After a crash behind it only
//! step 4 is left to do. The directories are locked meanwhile, as Java Flume locks them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use flume_core::{Event, metrics::Histogram};

use crate::{
    disk::Disk,
    encryption::Keys,
    engine::encode,
    java::{JavaError, JavaFiles, LogDamage, Replayed, barrier},
    log::{AppendError, Log},
    now_ms,
    pool::{Layout, is_full},
    progress::Progress,
    recovery::{self, OpenError},
    segment,
};

/// In `checkpointDir` while the store is being filled.
const MARK: &str = "taking-over";
/// Events of a batch, if they are small.
const BATCH_EVENTS: usize = 1000;
/// Bytes of a batch, unless a single event has more.
const BATCH_BYTES: usize = 1 << 20;

const BARRIER_TEXT: &str = "The events of this file channel were taken over by a program with another format. Java \
Flume's files are in the directories java-* beside this one. Java Flume refuses to start while this log is here, \
because it would deliver events again.\n";

/// Why the events of Java Flume were not taken over; they are where they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// They cannot be read.
    #[error(transparent)]
    Java(#[from] JavaError),
    /// There is a store, too, with events of its own.
    #[error(
        "{java} belongs to Java Flume and {ours} to this program; move the files of one of them elsewhere"
    )]
    Both {
        /// A file of Java's.
        java: PathBuf,
        /// A file of ours.
        ours: PathBuf,
    },
    /// It came after the rest was taken over.
    #[error(
        "{java} was not taken over with the rest of Java Flume's files; give it to a channel of its own, or move it \
         elsewhere"
    )]
    Unread {
        /// A file of Java's.
        java: PathBuf,
    },
    /// An earlier take-over did not end, and what it took over is not there any more.
    #[error(
        "{mark} says that events of Java Flume are being taken over, but its files are gone; bring them back, \
         or remove this file together with all segment-* and channel-*.checkpoint"
    )]
    Gone {
        /// The mark.
        mark: PathBuf,
    },
    /// The disk is full.
    #[error(
        "there is no room on disk for {events} events of Java Flume; nothing was changed, and the events are still Java \
         Flume's. Free room for a copy of what is queued, or lower minimumRequiredSpace"
    )]
    NoRoom {
        /// How many there are.
        events: usize,
    },
    /// The new store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Writing failed.
    #[error("failed to take over the events of Java Flume")]
    Io(#[from] io::Error),
}

/// Takes over what there is; how many events were lost to damage. The directories are locked.
pub(crate) fn run(
    disk: &Arc<dyn Disk>,
    layout: &Layout,
    keys: Option<&Arc<Keys>>,
) -> Result<u64, TakeOverError> {
    let files = JavaFiles::find(&**disk, layout)?;
    let take_over = TakeOver { disk, layout, keys };
    let mark = layout.checkpoint_dir.join(MARK);
    let marked = exists(&**disk, &mark)?;
    if files.has_barrier {
        // A process that was killed may have left it in the page cache alone, and what follows relies on it.
        take_over.sync_directories()?;
    }
    let Some(java) = files.any() else {
        if !marked {
            return Ok(0);
        }
        if files.has_barrier {
            take_over.unmark()?;
            return Ok(0);
        }
        return Err(TakeOverError::Gone { mark });
    };
    if files.has_barrier && !marked {
        return Err(TakeOverError::Unread { java: java.into() });
    }
    let mut lost = 0;
    if !files.has_barrier {
        if let Some(ours) = take_over.store()?.into_iter().next().filter(|_| !marked) {
            return Err(TakeOverError::Both {
                java: java.into(),
                ours,
            });
        }
        lost = take_over.import(&files)?;
    }
    take_over.move_away(&files)?;
    take_over.unmark()?;
    Ok(lost)
}

struct TakeOver<'a> {
    disk: &'a Arc<dyn Disk>,
    layout: &'a Layout,
    keys: Option<&'a Arc<Keys>>,
}

impl TakeOver<'_> {
    /// Fills a store, and makes it the one that counts.
    fn import(&self, files: &JavaFiles) -> Result<u64, TakeOverError> {
        let mut progress = Progress::new();
        let checkpoint_dir = &self.layout.checkpoint_dir;
        let keys = self.keys.map(|keys| &**keys);
        let mut tell = |done, total| {
            progress.tell(|| format!("read {done} of {total} bytes of Java Flume's logs"));
        };
        let mut replayed = Replayed::read(&**self.disk, files, checkpoint_dir, keys, &mut tell)?;
        let events = replayed.events();
        if let Some(why) = &replayed.without_checkpoint {
            tracing::info!("the checkpoint of Java Flume is not used, its logs are read: {why}");
        }
        tracing::info!("taking over {events} events of Java Flume");
        self.clear()?;
        self.mark()?;
        let filled = self.fill(&mut replayed, &mut progress);
        let done = filled.and_then(|lost| {
            self.make_barrier()?;
            Ok(lost)
        });
        match done {
            Ok(mut lost) => {
                lost.extend(replayed.damage.iter().filter(|it| !it.torn).cloned());
                report(&replayed.damage, &lost);
                let lost = lost.len();
                tracing::info!("took over {events} events of Java Flume, {lost} lost");
                Ok(lost as u64)
            }
            Err(error) => {
                // Behind the barrier the store counts. Before it, the next take-over removes what cannot be removed now.
                if !exists(&**self.disk, &self.barrier())? {
                    let _ = self.clear().and_then(|()| self.unmark());
                }
                Err(error.or_no_room(events))
            }
        }
    }

    /// Puts the events into a new store; what of them cannot be read.
    fn fill(
        &self,
        replayed: &mut Replayed,
        progress: &mut Progress,
    ) -> Result<Vec<LogDamage>, TakeOverError> {
        let events = replayed.events();
        let keys = self.keys.cloned();
        let layout = self.layout.clone();
        let (mut log, _) =
            recovery::open_store(self.disk.clone(), layout, keys, Histogram::default())?;
        let mut lost = vec![];
        let mut batch = vec![];
        let mut bytes = 0;
        for number in 0..events {
            match replayed.event(number)? {
                Ok(event) => {
                    bytes += event.size();
                    batch.push(event);
                }
                Err(damage) => lost.push(damage),
            }
            if batch.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES || number + 1 == events {
                append(&mut log, &batch)?;
                batch.clear();
                bytes = 0;
                progress
                    .tell(|| format!("took over {} of {events} events of Java Flume", number + 1));
            }
        }
        Ok(lost)
    }

    /// Files of a store of ours.
    fn store(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = vec![];
        for directory in &self.layout.data_dirs {
            let files = self.disk.list(directory)?.into_iter().map(|(path, _)| path);
            all.extend(files.filter(|path| segment::number(path).is_some()));
        }
        let files = self.disk.list(&self.layout.checkpoint_dir)?.into_iter();
        let is_checkpoint =
            |name: &str| name.starts_with("channel") && name.contains(".checkpoint");
        all.extend(files.map(|(path, _)| path).filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_checkpoint)
        }));
        Ok(all)
    }

    /// Removes a store that is not filled, and what there is of the barrier.
    fn clear(&self) -> io::Result<()> {
        self.remove_if_there(&self.new_barrier())?;
        self.store()?
            .iter()
            .try_for_each(|path| self.disk.remove(path))?;
        self.sync_directories()
    }

    fn sync_directories(&self) -> io::Result<()> {
        let data_dirs = self.layout.data_dirs.iter();
        data_dirs
            .chain([&self.layout.checkpoint_dir])
            .try_for_each(|directory| self.disk.sync_directory(directory))
    }

    fn mark(&self) -> io::Result<()> {
        let directory = &self.layout.checkpoint_dir;
        let mark = directory.join(MARK);
        if !exists(&**self.disk, &mark)? {
            self.disk.create(&mark)?.sync()?;
        }
        self.disk.sync_directory(directory)
    }

    fn unmark(&self) -> io::Result<()> {
        let directory = &self.layout.checkpoint_dir;
        self.remove_if_there(&directory.join(MARK))?;
        self.disk.sync_directory(directory)
    }

    fn remove_if_there(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Makes a log that Java Flume refuses: with no `.meta` beside it, it takes the first bytes for a version. It does so
    /// before it touches `checkpointDir`.
    fn make_barrier(&self) -> io::Result<()> {
        let new = self.new_barrier();
        self.remove_if_there(&new)?;
        let file = self.disk.create(&new)?;
        file.write_at(BARRIER_TEXT.as_bytes(), 0)?;
        file.sync()?;
        self.disk.rename(&new, &self.barrier())?;
        self.disk.sync_directory(&self.layout.data_dirs[0])
    }

    fn barrier(&self) -> PathBuf {
        barrier(&self.layout.data_dirs[0])
    }

    /// Its name before it is whole.
    fn new_barrier(&self) -> PathBuf {
        self.barrier().with_extension("tmp")
    }

    /// Moves Java's files into a directory of their own beside them.
    fn move_away(&self, files: &JavaFiles) -> io::Result<()> {
        let name = format!("java-{}", now_ms());
        let mut directories: Vec<&PathBuf> = files.all.iter().map(|(it, _)| it).collect();
        directories.sort();
        directories.dedup();
        for directory in directories {
            let aside = directory.join(&name);
            self.disk.create_directory(&aside)?;
            for (_, path) in files.all.iter().filter(|(it, _)| it == directory) {
                self.disk
                    .rename(path, &aside.join(path.file_name().unwrap_or_default()))?;
            }
            self.disk.sync_directory(&aside)?;
            self.disk.sync_directory(directory)?;
            tracing::info!("Java Flume's files are in {} now", aside.display());
        }
        Ok(())
    }
}

impl TakeOverError {
    /// Whatever it was that found no room.
    fn or_no_room(self, events: usize) -> Self {
        let no_room = match &self {
            TakeOverError::Append(AppendError::NoRoom) => true,
            TakeOverError::Append(AppendError::Io(error))
            | TakeOverError::Open(OpenError::Io(error))
            | TakeOverError::Io(error) => is_full(error),
            _ => false,
        };
        if no_room {
            TakeOverError::NoRoom { events }
        } else {
            self
        }
    }
}

fn append(log: &mut Log, batch: &[Event]) -> Result<(), AppendError> {
    if batch.is_empty() {
        return Ok(());
    }
    log.append(&[&encode(batch)], None).map(drop)
}

/// Everything is said by file and place; the files stay, so whoever wants to can still look there.
fn report(damage: &[LogDamage], lost: &[LogDamage]) {
    for LogDamage { path, range, .. } in damage.iter().filter(|damage| damage.torn) {
        let path = path.display();
        tracing::warn!(
            "{path} ends with a torn record at {}: Java Flume stopped while it wrote it, before it was acknowledged",
            range.start
        );
    }
    for LogDamage { path, range, .. } in lost {
        let path = path.display();
        tracing::error!(
            "{path} is damaged at {}: a record cannot be read; if it was an event, that event is lost",
            range.start
        );
    }
}

fn exists(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
