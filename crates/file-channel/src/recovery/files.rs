//! What lies in the data directories before recovery reads any of it.

use std::{collections::BTreeMap, path::PathBuf};

use super::OpenError;
use crate::{
    checkpoint::Checkpoint,
    disk::Disk,
    java::JavaFiles,
    log::random,
    pool::Layout,
    segment::{self, FileKind, Segment},
};

/// What the data directories hold.
#[derive(Default)]
pub(super) struct Files {
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Never used, and of full length.
    pub(super) blank: Vec<PathBuf>,
    /// Neither used nor usable.
    pub(super) useless: Vec<PathBuf>,
    /// Something is in it, but its header is unreadable.
    pub(super) headless: Vec<PathBuf>,
    pub(super) next_number: u64,
}

impl Files {
    /// Looks at the header of every segment.
    pub(super) fn find(disk: &dyn Disk, layout: &Layout) -> Result<Self, OpenError> {
        let mut files = Files::default();
        for directory in &layout.data_dirs {
            let mut reads = false;
            let mut failure = None;
            for (path, length) in disk.list(directory)? {
                let Some(number) = segment::number(&path) else {
                    continue;
                };
                files.next_number = files.next_number.max(number + 1);
                match segment::read_header(disk, &path)? {
                    FileKind::Segment(header) => {
                        let segment = Segment {
                            header,
                            path: path.clone(),
                            length,
                        };
                        if let Some(other) = files.segments.insert(segment.header.id, segment) {
                            return Err(OpenError::Double {
                                path,
                                other: other.path,
                            });
                        }
                    }
                    FileKind::Blank if length == layout.segment_bytes => files.blank.push(path),
                    FileKind::Blank | FileKind::Begun => files.useless.push(path),
                    FileKind::Headless(error) => {
                        failure = failure.or(error);
                        files.headless.push(path);
                        continue;
                    }
                }
                reads = true;
            }
            // A disk of which nothing can be read is not damaged but gone.
            if let Some(failure) = failure.filter(|_| !reads) {
                return Err(failure.into());
            }
        }
        Ok(files)
    }
}

/// The id that all segments and the checkpoint share.
pub(super) fn channel_id(
    files: &Files,
    checkpoint: Option<&Checkpoint>,
) -> Result<[u8; 16], OpenError> {
    let newest = files.segments.values().next_back();
    let known = checkpoint
        .map(|it| it.channel)
        .or(newest.map(|segment| segment.header.channel));
    let Some(channel) = known else {
        let mut fresh = [0; 16];
        random(&mut fresh)?;
        return Ok(fresh);
    };
    match files
        .segments
        .values()
        .find(|segment| segment.header.channel != channel)
    {
        Some(segment) => Err(OpenError::Foreign {
            path: segment.path.clone(),
        }),
        None => Ok(channel),
    }
}

/// Whoever only looks at a store does not take over Java Flume's files.
pub(super) fn refuse_java(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    match JavaFiles::find(disk, layout)?.any() {
        Some(path) => Err(OpenError::Java { path: path.into() }),
        None => Ok(()),
    }
}
