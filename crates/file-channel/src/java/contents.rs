//! What Java's files hold, for whoever only looks.

use std::path::{Path, PathBuf};

pub use super::replay::LogDamage;
use super::{JavaError, JavaFiles, Replayed};
use crate::{
    disk::Disk,
    encryption::Keys,
    inspect::{self, InspectError, Untouched},
    pool::Layout,
};

/// What is queued in a channel of Java Flume.
#[derive(Debug)]
pub struct JavaContents {
    /// Events that Flume would deliver.
    pub events: usize,
    /// Its logs, by number.
    pub logs: Vec<JavaLog>,
    /// Why its checkpoint does not count, if it does not.
    pub without_checkpoint: Option<String>,
    /// What cannot be read.
    pub damage: Vec<LogDamage>,
}

/// A log.
#[derive(Debug)]
pub struct JavaLog {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// Queued events in it.
    pub events: usize,
    /// The alias of its key, if it is enciphered.
    pub key_alias: Option<String>,
}

impl JavaContents {
    /// Looks for a channel of Java Flume in `directories`, its checkpointDir and dataDirs in any order, or right below
    /// them; none: there is none.
    pub fn read(
        directories: &[PathBuf],
        keys: Option<&Keys>,
    ) -> Result<Option<Self>, InspectError> {
        let disk = &Untouched;
        let places = inspect::places(directories)?;
        let mut layout = Layout {
            checkpoint_dir: PathBuf::new(),
            data_dirs: vec![],
            segment_bytes: 0,
            minimum_free: 0,
        };
        for place in places {
            let alone = Layout {
                data_dirs: vec![place.clone()],
                ..layout.clone()
            };
            if JavaFiles::find(disk, &alone)?.any().is_some() {
                layout.data_dirs.push(place.clone());
            }
            if has_checkpoint(&place) {
                layout.checkpoint_dir = place;
            }
        }
        let files = JavaFiles::find(disk, &layout)?;
        if files.any().is_none() {
            return Ok(None);
        }
        Ok(Some(Self::of(disk, &files, &layout.checkpoint_dir, keys)?))
    }

    fn of(
        disk: &dyn Disk,
        files: &JavaFiles,
        checkpoint_dir: &Path,
        keys: Option<&Keys>,
    ) -> Result<Self, JavaError> {
        let replayed = Replayed::read(disk, files, checkpoint_dir, keys, &mut |_, _| ())?;
        let logs = replayed.by_log().map(|(log, events)| JavaLog {
            path: log.path().into(),
            bytes: log.length(),
            events,
            key_alias: log.key_alias().map(String::from),
        });
        Ok(JavaContents {
            events: replayed.events(),
            logs: logs.collect(),
            without_checkpoint: replayed.without_checkpoint.map(|why| why.to_string()),
            damage: replayed.damage.clone(),
        })
    }
}

fn has_checkpoint(directory: &Path) -> bool {
    directory.join(super::checkpoint::QUEUE).is_file()
}
