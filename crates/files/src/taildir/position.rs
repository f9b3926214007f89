//! What is remembered of files between runs.
//!
//! Flume's position file says which inode was read under which name, and how far. It must have these three keys and no
//! others, or Flume does not start. What tells a file from another one with its inode stands in a file of its own
//! beside it, which Flume does not look at.

use std::{
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use flume_host::replace::replace;
use serde_json::Value;

use super::fingerprint::{Fingerprint, Prints};
use crate::open::open_regular;

/// A position file has about 100 bytes for each file.
const MAX_POSITION_BYTES: u64 = 256 << 20;
const POSITION_MODE: u32 = 0o644;

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// Its inode.
    pub inode: u64,
    /// Bytes of it whose events were committed.
    pub offset: u64,
    /// The path that it had.
    pub path: String,
    /// What tells it from another file; `None` when Flume wrote the position.
    pub(super) identity: Option<FileIdentity>,
}

/// What tells a file from another one that got its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    pub(super) device: u64,
    pub(super) prints: Prints,
}

impl FilePosition {
    /// Reads Flume's position file, and what stands beside it. Entries that are none are left out.
    pub fn read(positions: &[u8], identities: &[u8]) -> Vec<FilePosition> {
        let identities = array(identities);
        let number = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_u64);
        let identity = |inode: u64, offset: u64| {
            let entry = identities.iter().find(|entry| {
                number(entry, "inode") == Some(inode) && number(entry, "pos") == Some(offset)
            })?;
            let print = |bytes: &str, hash: &str| {
                Some(Fingerprint {
                    bytes: number(entry, bytes)?,
                    hash: u64::from_str_radix(entry.get(hash)?.as_str()?, 16).ok()?,
                })
            };
            Some(FileIdentity {
                device: number(entry, "device")?,
                prints: Prints {
                    head: print("headBytes", "head")?,
                    tail: print("tailBytes", "tail")?,
                },
            })
        };
        let position = |entry: &Value| {
            let inode = number(entry, "inode")?;
            let offset = number(entry, "pos")?;
            Some(FilePosition {
                inode,
                offset,
                path: entry.get("file")?.as_str()?.into(),
                identity: identity(inode, offset),
            })
        };
        array(positions).iter().filter_map(position).collect()
    }

    /// Flume's position file, as Flume would write it, and the file beside it.
    pub(super) fn write(positions: &[FilePosition]) -> (String, String) {
        let entry = |position: &FilePosition| {
            let FilePosition {
                inode,
                offset,
                path,
                ..
            } = position;
            format!(
                r#"{{"inode":{inode},"pos":{offset},"file":{}}}"#,
                java_string(path)
            )
        };
        let identity = |position: &FilePosition| {
            let FileIdentity { device, prints } = position.identity?;
            Some(format!(
                r#"{{"inode":{},"pos":{},"device":{device},"headBytes":{},"head":"{:x}","tailBytes":{},"tail":"{:x}"}}"#,
                position.inode,
                position.offset,
                prints.head.bytes,
                prints.head.hash,
                prints.tail.bytes,
                prints.tail.hash
            ))
        };
        let entries: Vec<_> = positions.iter().map(entry).collect();
        let identities: Vec<_> = positions.iter().filter_map(identity).collect();
        (
            format!("[{}]", entries.join(",")),
            format!("[{}]", identities.join(",")),
        )
    }
}

/// The two files.
#[derive(Clone, Debug)]
pub(super) struct PositionFile {
    path: PathBuf,
}

impl PositionFile {
    pub(super) fn new(path: PathBuf) -> Self {
        PositionFile { path }
    }

    /// What was saved; nothing when there are no files yet.
    pub(super) fn load(&self) -> io::Result<Vec<FilePosition>> {
        let positions = read_if_there(&self.path)?;
        let identities = read_if_there(&self.identities())?;
        Ok(FilePosition::read(&positions, &identities))
    }

    /// Saves: each of the files is the old or the new one whatever happens. Identities come first: one without its
    /// position means nothing.
    pub(super) fn save(&self, positions: &[FilePosition]) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let (entries, identities) = FilePosition::write(positions);
        replace(&self.identities(), identities.as_bytes(), POSITION_MODE)?;
        replace(&self.path, entries.as_bytes(), POSITION_MODE)?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn identities(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".identity");
        name.into()
    }
}

fn array(bytes: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(entries)) => entries,
        _ => vec![],
    }
}

/// A string as Gson writes it.
fn java_string(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' => {
                escaped += &format!("\\u{:04x}", c as u32);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    let file = match open_regular(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        opened => opened?.0,
    };
    let mut bytes = vec![];
    file.take(MAX_POSITION_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUME: &str = include_str!("../../tests/golden/taildir-position.json");

    #[test]
    fn a_position_file_of_flume_is_read_and_written_byte_by_byte() {
        let positions = FilePosition::read(FLUME.as_bytes(), b"");
        let seen: Vec<_> = positions
            .iter()
            .map(|position| (position.inode, position.offset))
            .collect();
        assert_eq!(seen, [(10420482, 0), (10420483, 5), (10420481, 7)]);
        assert!(
            positions[2].path.ends_with("/a=b&c.log"),
            "{}",
            positions[2].path
        );
        assert_eq!(FilePosition::write(&positions).0, FLUME);
    }

    #[test]
    fn what_is_no_position_is_left_out() {
        for text in [
            "",
            "[",
            "{}",
            "[1,{}]",
            r#"[{"inode":-1,"pos":0,"file":"x"}]"#,
        ] {
            assert_eq!(FilePosition::read(text.as_bytes(), b"[{"), [], "{text}");
        }
    }
}
