//! A log, `log-N`: records one after another, with a number of its own in `log-N.meta`.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::{
    JavaError,
    cipher::RecordCipher,
    record::{HEAD_BYTES, Record, append},
};
use crate::{
    disk::{Disk, DiskFile},
    encryption::Keys,
    format::Malformed,
};

/// Begins a record.
const RECORD: u8 = 0x7f;
/// Begins what Flume's integrity tool has struck out, and unwritten space after some crashes.
const SKIPPED: u8 = 0;
/// Fills the rest of a file.
const FILL: u8 = 0x80;
/// The byte that begins a record, and its length.
const FRAME_BYTES: u64 = 5;
/// No record is longer: an event of Flume fits into one array of Java, and all of this into memory.
const MOST_RECORD_BYTES: u64 = 1 << 30;
/// The version that Flume 1.4 to 1.11 writes.
const VERSION: i32 = 3;
/// No `log-N.meta` is longer.
const MOST_META_BYTES: u64 = 64 << 10;

/// What `log-N.meta` says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Meta {
    #[prost(sfixed32, required, tag = "1")]
    version: i32,
    #[prost(sfixed32, required, tag = "2")]
    id: i32,
    #[prost(sfixed64, required, tag = "3")]
    pub(super) position: i64,
    #[prost(sfixed64, required, tag = "4")]
    pub(super) checkpoint: i64,
    #[prost(message, optional, tag = "5")]
    encryption: Option<EncryptionMessage>,
    #[prost(sfixed64, optional, tag = "6")]
    pub(super) backup_position: Option<i64>,
    #[prost(sfixed64, optional, tag = "7")]
    pub(super) backup_checkpoint: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct EncryptionMessage {
    #[prost(string, required, tag = "1")]
    provider: String,
    #[prost(string, required, tag = "2")]
    key_alias: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    parameters: Option<Bytes>,
}

impl Meta {
    /// What a new log has.
    pub(crate) fn new(id: u32) -> Self {
        Meta {
            version: VERSION,
            id: id as i32,
            position: 0,
            checkpoint: 0,
            encryption: None,
            backup_position: Some(0),
            backup_checkpoint: Some(0),
        }
    }

    /// As it is in its file.
    pub(crate) fn encode_file(&self) -> Vec<u8> {
        let mut out = vec![];
        append(self, &mut out);
        out
    }

    /// The meta file of a log, or what a crash left of its replacement.
    fn read(disk: &dyn Disk, log: &Path) -> Result<Option<Meta>, JavaError> {
        for suffix in ["meta", "meta.tmp", "meta.old"] {
            let path = log.with_extension(suffix);
            let bytes = match read_all(disk, &path, MOST_META_BYTES) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(|cause| JavaError::Io { path, cause })?,
            };
            if let Ok(meta) = Meta::decode_length_delimited(bytes) {
                return Ok(Some(meta));
            }
        }
        Ok(None)
    }

    fn cipher(&self, path: &Path, keys: Option<&Keys>) -> Result<Option<RecordCipher>, JavaError> {
        let Some(encryption) = &self.encryption else {
            return Ok(None);
        };
        let alias = &encryption.key_alias;
        let refused = |why: String| JavaError::Key {
            path: path.into(),
            alias: alias.clone(),
            why,
        };
        let keys = keys.ok_or_else(|| refused("encryption.keyProvider is not set".into()))?;
        let key = keys
            .data_key(alias)
            .map_err(|error| refused(error.to_string()))?;
        let parameters = encryption.parameters.as_deref().unwrap_or_default();
        let iv = parameters.try_into().ok();
        iv.and_then(|iv| RecordCipher::new(key, iv))
            .ok_or_else(|| refused("its parameters are not those of AES in counter mode".into()))
            .map(Some)
    }
}

/// A whole small file.
pub(super) fn read_all(disk: &dyn Disk, path: &Path, most: u64) -> io::Result<Bytes> {
    let file = disk.open(path)?;
    let length = file.length()?;
    if length > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Reads one log.
pub struct LogReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    length: u64,
    pub(super) meta: Meta,
    cipher: Option<RecordCipher>,
    /// What was read last, and where it begins.
    window: (u64, Bytes),
    window_bytes: u64,
    at: u64,
}

/// What stands in a log.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// A record, and where it begins.
    Record(u32, Record),
    /// Bytes that are no record.
    Damage(Range<u64>),
}

impl LogReader {
    /// Opens a log with the number `id`; none: it is empty and says nothing of itself.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        id: u32,
        keys: Option<&Keys>,
        window_bytes: u64,
    ) -> Result<Option<Self>, JavaError> {
        let failed = |cause| JavaError::Io {
            path: path.into(),
            cause,
        };
        let file = disk.open(path).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        let meta = match Meta::read(disk, path)? {
            Some(meta) => meta,
            None if length == 0 => return Ok(None),
            None => return Err(JavaError::Meta { path: path.into() }),
        };
        if meta.version != VERSION {
            let version = meta.version;
            return Err(JavaError::Version {
                path: path.into(),
                version,
            });
        }
        if length > u32::MAX.into() {
            return Err(failed(io::Error::other(
                "no log of Flume has more than 4 GiB",
            )));
        }
        if meta.id != id as i32 {
            return Err(JavaError::Meta { path: path.into() });
        }
        Ok(Some(LogReader {
            path: path.into(),
            file,
            length,
            cipher: meta.cipher(path, keys)?,
            meta,
            window: (0, Bytes::new()),
            window_bytes,
            at: 0,
        }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The alias of its key, if it is enciphered.
    pub(super) fn key_alias(&self) -> Option<&str> {
        let encryption = self.meta.encryption.as_ref();
        encryption.map(|encryption| encryption.key_alias.as_str())
    }

    /// How far it was read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on from here.
    pub(super) fn seek(&mut self, at: u64) {
        self.at = at.min(self.length);
    }

    /// The next record, or bytes that are none; none at the end.
    pub fn advance(&mut self) -> Result<Option<Found>, JavaError> {
        let found = self.find();
        found.map_err(|cause| JavaError::Io {
            path: self.path.clone(),
            cause,
        })
    }

    fn find(&mut self) -> io::Result<Option<Found>> {
        loop {
            let at = self.at;
            let Some((begin, end)) = self.frame(at)? else {
                self.at = self.length;
                // Not even the frame of a record: all of it must be fill.
                return Ok(self.end_of_data(at..self.length)?.map(Found::Damage));
            };
            match begin {
                RECORD => match self.record(at)? {
                    Ok(record) => {
                        self.at = end;
                        return Ok(Some(Found::Record(at as u32, record)));
                    }
                    // Its length may be what is wrong.
                    Err(_) => return self.damage(at, at + 1).map(Some),
                },
                SKIPPED if end > at + FRAME_BYTES && self.begins_at(end)? => self.at = end,
                FILL | SKIPPED => {
                    let Some(after) = self.end_of_data(at..self.length)? else {
                        self.at = self.length;
                        return Ok(None);
                    };
                    return self.damage(at, after.start).map(Some);
                }
                _ => return self.damage(at, at + 1).map(Some),
            }
        }
    }

    /// The record at this place; an error says why there is none.
    pub fn record(&mut self, at: u64) -> io::Result<Result<Record, Malformed>> {
        let Some((RECORD, end)) = self.frame(at)? else {
            return Ok(Err(Malformed("no record begins there")));
        };
        let payload = at + FRAME_BYTES..end;
        let bytes = payload.end - payload.start;
        if end > self.length || bytes > MOST_RECORD_BYTES || bytes < HEAD_BYTES as u64 {
            return Ok(Err(Malformed("its length cannot be right")));
        }
        // Cheap to look at, where any byte may seem to begin a record.
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&self.bytes(payload.start..payload.start + HEAD_BYTES as u64)?);
        if let Some(cipher) = &self.cipher {
            cipher.apply(&mut head);
        }
        if !Record::may_begin(&head) {
            return Ok(Err(Malformed("it does not begin as a record")));
        }
        let payload = self.bytes(payload)?;
        let Some(cipher) = &self.cipher else {
            return Ok(Record::decode(payload));
        };
        let mut clear = BytesMut::from(&payload[..]);
        cipher.apply(&mut clear);
        Ok(Record::decode(clear.freeze()))
    }

    /// The first byte at a place, and where what begins there would end.
    fn frame(&mut self, at: u64) -> io::Result<Option<(u8, u64)>> {
        if at + FRAME_BYTES > self.length {
            return Ok(None);
        }
        let bytes = self.bytes(at..at + FRAME_BYTES)?;
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        Ok(Some((bytes[0], at + FRAME_BYTES + u64::from(length))))
    }

    /// Whether something that a log may hold begins here.
    fn begins_at(&mut self, at: u64) -> io::Result<bool> {
        if at >= self.length {
            return Ok(at == self.length);
        }
        match self.bytes(at..at + 1)?[0] {
            SKIPPED | FILL => Ok(true),
            _ => Ok(self.record(at)?.is_ok()),
        }
    }

    /// What in this range is neither fill nor unwritten; none: data has ended before it.
    fn end_of_data(&mut self, range: Range<u64>) -> io::Result<Option<Range<u64>>> {
        let mut at = range.start;
        while at < range.end {
            let piece = self.bytes(at..range.end.min(at + self.window_bytes))?;
            if let Some(place) = piece
                .iter()
                .position(|byte| ![FILL, SKIPPED].contains(byte))
            {
                return Ok(Some(at + place as u64..range.end));
            }
            at += piece.len() as u64;
        }
        Ok(None)
    }

    /// Damage from `start` up to the next record at or after `from`, or up to the fill at the end.
    fn damage(&mut self, start: u64, from: u64) -> io::Result<Found> {
        let mut end = from;
        let mut data = from;
        while end < self.length {
            let byte = self.bytes(end..end + 1)?[0];
            if byte == RECORD && self.record(end)?.is_ok() {
                self.at = end;
                return Ok(Found::Damage(start..end));
            }
            end += 1;
            if byte != FILL {
                data = end;
            }
        }
        self.at = self.length;
        Ok(Found::Damage(start..data))
    }

    fn bytes(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let (start, window) = &self.window;
        if range.start < *start || range.end > start + window.len() as u64 {
            let wanted = (range.end - range.start).max(self.window_bytes);
            let mut read = BytesMut::zeroed(wanted.min(self.length - range.start) as usize);
            let length = self.file.read_at(&mut read, range.start)?;
            read.truncate(length);
            self.window = (range.start, read.freeze());
        }
        let (start, window) = &self.window;
        let offset = (range.start - start) as usize;
        let end = offset + (range.end - range.start) as usize;
        if end > window.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(window.slice(offset..end))
    }
}

/// Appends a record with its frame.
pub(crate) fn append_record(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[RECORD, 0, 0, 0, 0]);
    record.encode(out);
    let length = (out.len() - start) as u32 - FRAME_BYTES as u32;
    out[start + 1..start + FRAME_BYTES as usize].copy_from_slice(&length.to_be_bytes());
}
