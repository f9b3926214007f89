//! Java's checkpoint: the queue as it was, and the transactions that were open then.

use std::{collections::BTreeMap, io, ops::Range, path::Path};

use bytes::{Buf, Bytes};
use md5::{Digest, Md5};
use prost::Message;

use super::{JavaError, log::read_all, record::Pointer};
use crate::{
    disk::{Disk, DiskFile},
    format::Malformed,
};

const SLOT_BYTES: u64 = 8;
/// What comes before the queue.
const HEADER_BYTES: u64 = 1029 * SLOT_BYTES;
/// So many slots are read at a time.
const READ_SLOTS: usize = 64 << 10;
/// The version that Flume 1.4 to 1.11 writes.
const VERSION: u64 = 3;
const MOST_META_BYTES: u64 = 16 << 20;
/// Open transactions are few.
const MOST_OPEN_BYTES: u64 = 1 << 30;
const DIGEST_BYTES: usize = 16;

/// Names of its files.
pub(super) const QUEUE: &str = "checkpoint";
pub(super) const META: &str = "checkpoint.meta";
pub(super) const PUTS: &str = "inflightputs";
pub(super) const TAKES: &str = "inflighttakes";

/// A checkpoint that is whole.
#[derive(Debug, Default, PartialEq)]
pub(super) struct JavaCheckpoint {
    /// Records up to this order are in it.
    pub(super) order: i64,
    /// What can be taken, in order.
    pub(super) queue: Vec<Pointer>,
    /// Puts that were not committed, by transaction.
    pub(super) puts: OpenTransactions,
    /// Takes that were not committed, by transaction; they are not in the queue.
    pub(super) takes: OpenTransactions,
}

pub(super) type OpenTransactions = BTreeMap<i64, Vec<Pointer>>;

#[derive(Clone, PartialEq, Message)]
struct MetaMessage {
    #[prost(sfixed32, required, tag = "1")]
    version: i32,
    #[prost(sfixed64, required, tag = "2")]
    order: i64,
    #[prost(sfixed32, required, tag = "3")]
    size: i32,
    #[prost(sfixed32, required, tag = "4")]
    head: i32,
}

impl JavaCheckpoint {
    /// Reads the checkpoint in a directory. An error inside says why it does not count: then the logs alone say what is
    /// queued, as for Flume.
    pub(super) fn read(
        disk: &dyn Disk,
        directory: &Path,
    ) -> Result<Result<Self, Malformed>, JavaError> {
        let failed = |name: &str| {
            let path = directory.join(name);
            move |cause| JavaError::Io { path, cause }
        };
        let whole = |name: &str, most: u64| {
            let bytes = found(read_all(disk, &directory.join(name), most));
            bytes.map_err(failed(name))
        };
        let queue = found(disk.open(&directory.join(QUEUE))).map_err(failed(QUEUE))?;
        let meta = whole(META, MOST_META_BYTES)?;
        let puts = whole(PUTS, MOST_OPEN_BYTES)?.unwrap_or_default();
        let takes = whole(TAKES, MOST_OPEN_BYTES)?.unwrap_or_default();
        let Some((queue, meta)) = queue.zip(meta) else {
            return Ok(Err(Malformed("it is not there")));
        };
        Self::decode(&*queue, meta, puts, takes).map_err(failed(QUEUE))
    }

    fn decode(
        file: &dyn DiskFile,
        meta: Bytes,
        puts: Bytes,
        takes: Bytes,
    ) -> io::Result<Result<Self, Malformed>> {
        let length = file.length()?;
        let mut header = [0; HEADER_BYTES as usize];
        let read = file.read_at(&mut header, 0)?;
        if read < header.len() || !length.is_multiple_of(SLOT_BYTES) {
            return Ok(Err(Malformed("its length cannot be right")));
        }
        let slot = |place: usize| (&header[place * SLOT_BYTES as usize..]).get_u64();
        let version = slot(0);
        let order = slot(1) as i64;
        let incomplete = slot(4);
        let capacity = (length - HEADER_BYTES) / SLOT_BYTES;
        let checked = || {
            let meta = MetaMessage::decode_length_delimited(meta)
                .map_err(|_| Malformed("checkpoint.meta cannot be read"))?;
            if version != VERSION || meta.version as u64 != VERSION {
                return Err(Malformed("it is of another version"));
            }
            if incomplete != 0 {
                return Err(Malformed("it was not completed"));
            }
            if order != meta.order {
                return Err(Malformed("checkpoint.meta belongs to another one"));
            }
            let size = u64::try_from(meta.size)
                .ok()
                .filter(|&size| size <= capacity);
            let head = u64::try_from(meta.head).ok();
            let place = size.zip(head.filter(|&head| head < capacity.max(1)));
            let (size, head) = place.ok_or(Malformed("checkpoint.meta says more than it holds"))?;
            Ok((
                size,
                head,
                open_transactions(puts)?,
                open_transactions(takes)?,
            ))
        };
        let (size, head, puts, takes) = match checked() {
            Ok(checked) => checked,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let mut queue = Vec::with_capacity(size as usize);
        let before_the_end = size.min(capacity - head);
        read_slots(file, head..head + before_the_end, &mut queue)?;
        read_slots(file, 0..size - before_the_end, &mut queue)?;
        Ok(Ok(JavaCheckpoint {
            order,
            queue,
            puts,
            takes,
        }))
    }
}

/// None: it is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_slots(file: &dyn DiskFile, slots: Range<u64>, queue: &mut Vec<Pointer>) -> io::Result<()> {
    let mut piece = vec![0; READ_SLOTS * SLOT_BYTES as usize];
    for start in slots.clone().step_by(READ_SLOTS) {
        let length = (slots.end - start).min(READ_SLOTS as u64) * SLOT_BYTES;
        let piece = &mut piece[..length as usize];
        if file.read_at(piece, HEADER_BYTES + start * SLOT_BYTES)? < piece.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let slots = piece
            .chunks_exact(SLOT_BYTES as usize)
            .map(|mut slot| slot.get_u64());
        queue.extend(slots.filter(|&slot| slot != 0).map(Pointer::of_number));
    }
    Ok(())
}

/// The digest of the rest, then for each transaction its number, how many places follow, and those.
fn open_transactions(mut bytes: Bytes) -> Result<OpenTransactions, Malformed> {
    if bytes.is_empty() {
        return Ok(OpenTransactions::new());
    }
    if bytes.len() < DIGEST_BYTES {
        return Err(Malformed("the file of open transactions is too short"));
    }
    let digest = bytes.split_to(DIGEST_BYTES);
    if Md5::digest(&bytes)[..] != digest[..] {
        return Err(Malformed("the digest of the open transactions is wrong"));
    }
    let mut open = OpenTransactions::new();
    // Java appends sixteen zeros.
    while bytes.len() as u64 >= 2 * SLOT_BYTES {
        let transaction = bytes.get_i64();
        let count = bytes.get_u64();
        if count > bytes.len() as u64 / SLOT_BYTES {
            return Err(Malformed("an open transaction has no end"));
        }
        let places = (0..count).map(|_| Pointer::of_number(bytes.get_u64()));
        let places: Vec<_> = places.collect();
        if !places.is_empty() {
            open.entry(transaction).or_default().extend(places);
        }
    }
    Ok(open)
}
