//! Flume's tracker file `.flumespool-main.meta`: how much of one file was delivered.
//!
//! It is an Avro container file whose values are offsets; the last one counts. Its header names the file. Flume reads
//! what is written here, and the other way round. An entry of the header that Flume does not look at says which file
//! had that name, so that another file of the same name is not taken for it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use flume_wire::avro::{ContainerReader, DatumReader, write_bytes, write_long};

use crate::open::FileFacts;

/// Name of the tracker file in the tracker directory.
pub(super) const TRACKER_NAME: &str = ".flumespool-main.meta";
const SCHEMA: &str = r#"{"type":"record","name":"TransferStateFileMeta","namespace":"org.apache.flume.serialization","fields":[{"name":"offset","type":"long"}]}"#;
const IDENTITY: &str = "flume.identity";
/// A tracker file has 20 bytes for each batch of a file.
const MAX_TRACKER_BYTES: u64 = 1 << 30;

/// What a tracker file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedPosition {
    /// The file, as the source names it.
    pub file: String,
    /// Its device, inode and time of change, when this program wrote it.
    pub identity: Option<String>,
    /// How many of its bytes were delivered.
    pub offset: u64,
}

impl TrackedPosition {
    /// Reads a tracker file. `None`: there is no whole position in it, as after a crash. A torn end is left out.
    pub fn read(bytes: &[u8]) -> Option<TrackedPosition> {
        let mut reader = ContainerReader::default();
        reader.feed(bytes);
        let mut offset = None;
        while let Ok(Some(block)) = reader.next_block() {
            let mut values = DatumReader::new(block.raw);
            for _ in 0..block.values {
                offset = u64::try_from(values.long().ok()?).ok();
            }
        }
        let text = |name| {
            reader
                .metadata(name)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        Some(TrackedPosition {
            file: text("file")?,
            identity: text(IDENTITY),
            offset: offset?,
        })
    }

    /// A whole tracker file with this position, which ends with `sync`.
    fn write(&self, sync: &[u8; 16]) -> Vec<u8> {
        let mut out = b"Obj\x01".to_vec();
        let mut entries = vec![("avro.schema", SCHEMA), ("file", &self.file)];
        entries.extend(
            self.identity
                .as_deref()
                .map(|identity| (IDENTITY, identity)),
        );
        write_long(entries.len() as i64, &mut out);
        for (name, value) in entries {
            write_bytes(name.as_bytes(), &mut out);
            write_bytes(value.as_bytes(), &mut out);
        }
        write_long(0, &mut out);
        out.extend_from_slice(sync);
        append(self.offset, sync, &mut out);
        out
    }
}

/// A block with one offset.
fn append(offset: u64, sync: &[u8; 16], out: &mut Vec<u8>) {
    let mut value = vec![];
    write_long(i64::try_from(offset).unwrap_or(i64::MAX), &mut value);
    write_long(1, out);
    write_bytes(&value, out);
    out.extend_from_slice(sync);
}

/// The position in the file that is being read.
pub(super) struct Tracker {
    path: PathBuf,
    position: TrackedPosition,
    sync: [u8; 16],
    /// Open once a position was stored.
    file: Option<File>,
}

impl Tracker {
    /// What is known of `file`, whose facts are `facts`. A tracker of another file does not count.
    pub(super) fn open(path: PathBuf, file: &str, facts: &FileFacts) -> io::Result<Tracker> {
        let modified = facts
            .modified
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let modified = modified.unwrap_or_default().as_nanos();
        let identity = format!("{}:{}:{modified}", facts.device, facts.inode);
        let found = read_if_there(&path)?.and_then(|bytes| TrackedPosition::read(&bytes));
        let same = |found: &TrackedPosition| {
            found.file == file
                && found
                    .identity
                    .as_ref()
                    .is_none_or(|known| *known == identity)
        };
        let offset = found.filter(same).map_or(0, |found| found.offset);
        Ok(Tracker {
            path,
            position: TrackedPosition {
                file: file.into(),
                identity: Some(identity),
                offset,
            },
            sync: fastrand::u128(..).to_be_bytes(),
            file: None,
        })
    }

    /// How many bytes of the file were delivered.
    pub(super) fn offset(&self) -> u64 {
        self.position.offset
    }

    /// Stores that so many bytes are delivered. The first time, the tracker file is replaced; then each position is
    /// added at its end.
    pub(super) fn store(&mut self, offset: u64) -> io::Result<()> {
        self.position.offset = offset;
        if let Some(file) = &mut self.file {
            let mut block = vec![];
            append(offset, &self.sync, &mut block);
            return file.write_all(&block);
        }
        let draft = self.path.with_extension("meta.tmp");
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&draft)?;
        file.write_all(&self.position.write(&self.sync))?;
        fs::rename(&draft, &self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// The file is done: nothing has to be remembered of it.
    pub(super) fn delete(self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (file, facts) = match crate::open::open_regular(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if facts.length > MAX_TRACKER_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![];
    io::Read::read_to_end(&mut io::Read::take(file, MAX_TRACKER_BYTES), &mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUME: &[u8] = include_bytes!("../../tests/golden/spool-meta-3.avro");

    #[test]
    fn a_tracker_of_flume_is_read() {
        let position = TrackedPosition::read(FLUME).unwrap();
        assert_eq!(position.offset, 35);
        assert!(
            position.file.ends_with("/spool/in.txt"),
            "{}",
            position.file
        );
        assert_eq!(position.identity, None);
        // Cut anywhere, it says an earlier position or none.
        for length in 0..FLUME.len() {
            let offset = TrackedPosition::read(&FLUME[..length]).map(|position| position.offset);
            assert!(
                matches!(offset, None | Some(12 | 25)),
                "{length}: {offset:?}"
            );
        }
    }

    #[test]
    fn what_is_stored_is_read_again_for_the_same_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(TRACKER_NAME);
        let facts = FileFacts {
            device: 1,
            inode: 2,
            length: 3,
            modified: None,
        };
        let mut tracker = Tracker::open(path.clone(), "/spool/a", &facts).unwrap();
        assert_eq!(tracker.offset(), 0);
        for offset in [7, 70, 700] {
            tracker.store(offset).unwrap();
            assert_eq!(
                Tracker::open(path.clone(), "/spool/a", &facts)
                    .unwrap()
                    .offset(),
                offset
            );
        }
        let other = FileFacts { inode: 9, ..facts };
        assert_eq!(
            Tracker::open(path.clone(), "/spool/a", &other)
                .unwrap()
                .offset(),
            0
        );
        assert_eq!(
            Tracker::open(path.clone(), "/spool/b", &facts)
                .unwrap()
                .offset(),
            0
        );
        tracker.delete().unwrap();
        assert!(!path.exists());
    }
}
