//! Every byte of a segment, as `docs/format/file-channel.md` describes it. Numbers are little-endian. A header is
//! written twice, each copy with its own CRC32C, so that one damaged byte never costs more than the body it is in.

use flume_core::{Event, Headers, Str};

use bytes::{Buf, Bytes};

/// The unit of writing: groups begin and end at multiples of it.
pub const BLOCK: u64 = 4096;
/// Bytes of the random salt of a segment.
pub const SALT_BYTES: usize = 16;
/// Longest alias of a key that a segment header has room for.
pub const MAX_KEY_ALIAS_BYTES: usize = 255;
/// Bytes of the value that tells one key from another.
pub const KEY_CHECK_BYTES: usize = 16;
/// Version of the format in segment headers and checkpoints.
pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"FLUMESEG";
const SEGMENT_COPY: usize = 512;
/// Where the second copy of a segment's header stands: another sector, whatever its size.
const SECOND_COPY: usize = 2048;
const SEGMENT_ALIAS_AT: usize = 92;
const SEGMENT_KEY_CHECK_AT: usize = SEGMENT_ALIAS_AT + MAX_KEY_ALIAS_BYTES;
const GROUP_MAGIC: u32 = 0x5047_4c46;
const GROUP_COPY: usize = 48;
const FRAME_COPY: usize = 56;
const FRAME_GROUP_AT: usize = 44;
/// Both copies of a group's header.
pub const GROUP_HEADER: usize = 2 * GROUP_COPY;
/// Both copies of a frame's header.
pub const FRAME_HEADER: usize = 2 * FRAME_COPY;

/// Block 0 of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The channel it belongs to.
    pub channel: [u8; 16],
    /// Never used twice; later segments have greater ones.
    pub id: u64,
    /// Random; seeds all checksums in the segment and, with encryption, its key.
    pub salt: [u8; SALT_BYTES],
    /// Groups with a greater number in segments before this one were abandoned after a failed write.
    pub last_good_group: u64,
    /// The group before it that was the last one when the store was opened: of it only what is whole counts.
    pub judged_group: u64,
    /// Sequence numbers in it are not below this.
    pub first_sequence: u64,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: u64,
    /// Alias of the key its frames are sealed with; empty: they are not.
    pub key_alias: String,
    /// Tells whether a key is the one that its frames are sealed with; zeros: an earlier version did not write it.
    pub key_check: [u8; KEY_CHECK_BYTES],
}

/// What a segment's checksums are seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    segment: u64,
    salt: u64,
    crc: u32,
}

/// The head of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Its number: one more than that of the group before.
    pub number: u64,
    /// Bytes from its first block to the next group, padding included.
    pub length: u64,
    /// How many frames it holds.
    pub frames: u32,
    /// The block it begins in, so that a misplaced copy is not taken for it.
    pub block: u32,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The events of one put.
    Put,
    /// Ranges of sequence numbers that were consumed.
    Ack,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it holds.
    pub kind: FrameKind,
    /// Whether its body is sealed.
    pub sealed: bool,
    /// The group it belongs to.
    pub group: u64,
    /// Its place in the group, from 0.
    pub index: u32,
    /// CRC32C of the body as it is stored.
    pub body_crc: u32,
    /// Bytes of the body as it is stored.
    pub length: u32,
    /// Events of a put; ranges of an ack.
    pub count: u32,
    /// Sequence number of the first event of a put; 0 for an ack.
    pub first: u64,
    /// Bytes of bodies and headers of the events that are put or were consumed.
    pub bytes: u64,
    /// When it was put, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Why bytes are not what they should be; completes "failed to read a frame: ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl SegmentHeader {
    /// Block 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(SEGMENT_COPY);
        copy.extend_from_slice(SEGMENT_MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&self.channel);
        copy.extend_from_slice(&self.id.to_le_bytes());
        copy.extend_from_slice(&self.salt);
        for number in [
            self.last_good_group,
            self.judged_group,
            self.first_sequence,
            self.created_ms,
        ] {
            copy.extend_from_slice(&number.to_le_bytes());
        }
        copy.resize(SEGMENT_ALIAS_AT - 1, 0);
        copy.push(self.key_alias.len() as u8);
        copy.extend_from_slice(self.key_alias.as_bytes());
        copy.resize(SEGMENT_KEY_CHECK_AT, 0);
        copy.extend_from_slice(&self.key_check);
        copy.resize(SEGMENT_COPY - 4, 0);
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        let mut block = vec![0; BLOCK as usize];
        block[..SEGMENT_COPY].copy_from_slice(&copy);
        block[SECOND_COPY..SECOND_COPY + SEGMENT_COPY].copy_from_slice(&copy);
        block
    }

    /// The header in a block 0. Of two copies that are valid and differ, as after a torn rewrite, the later one.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let copies =
            [0, SECOND_COPY].map(|at| Self::decode_copy(block.get(at..at + SEGMENT_COPY)?));
        copies.into_iter().flatten().max_by_key(|header| header.id)
    }

    fn decode_copy(copy: &[u8]) -> Option<Self> {
        let (mut at, crc) = copy.split_at_checked(SEGMENT_COPY - 4)?;
        if at.get(..8)? != SEGMENT_MAGIC || crc32c::crc32c(at).to_le_bytes() != crc {
            return None;
        }
        let alias = at
            .get(SEGMENT_ALIAS_AT..)?
            .get(..usize::from(*at.get(SEGMENT_ALIAS_AT - 1)?))?;
        let key_alias = String::from_utf8(alias.into()).ok()?;
        let key_check = at.get(SEGMENT_KEY_CHECK_AT..)?.first_chunk().copied()?;
        at.advance(8);
        (at.get_u32_le() == VERSION).then_some(())?;
        let mut channel = [0; 16];
        let mut salt = [0; SALT_BYTES];
        at.copy_to_slice(&mut channel);
        let id = at.get_u64_le();
        at.copy_to_slice(&mut salt);
        let last_good_group = at.get_u64_le();
        let judged_group = at.get_u64_le();
        let first_sequence = at.get_u64_le();
        let created_ms = at.get_u64_le();
        Some(SegmentHeader {
            channel,
            id,
            salt,
            last_good_group,
            judged_group,
            first_sequence,
            created_ms,
            key_alias,
            key_check,
        })
    }

    /// What the checksums in this segment are seeded with.
    pub fn seed(&self) -> Seed {
        let (salt, _) = self.salt.split_at(8);
        let salt = salt.try_into().map_or(0, u64::from_le_bytes);
        Seed {
            segment: self.id,
            salt,
            crc: crc32c::crc32c(&self.salt),
        }
    }
}

impl Seed {
    fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.crc, bytes)
    }
}

impl GroupHeader {
    /// Appends both copies.
    pub fn encode(&self, seed: Seed, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&GROUP_MAGIC.to_le_bytes());
        out.extend_from_slice(&self.frames.to_le_bytes());
        for number in [seed.salt, seed.segment, self.number, self.length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.block.to_le_bytes());
        let crc = seed.crc(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_within(start..);
    }

    /// The header at the beginning of `bytes`, which stand at `block` of the segment, from either copy.
    pub fn decode(seed: Seed, block: u32, bytes: &[u8]) -> Option<Self> {
        let copies =
            [0, GROUP_COPY].map(|at| Self::decode_copy(seed, bytes.get(at..at + GROUP_COPY)?));
        copies
            .into_iter()
            .flatten()
            .find(|header| header.block == block)
    }

    fn decode_copy(seed: Seed, copy: &[u8]) -> Option<Self> {
        let (mut at, crc) = copy.split_at_checked(GROUP_COPY - 4)?;
        if at.get_u32_le() != GROUP_MAGIC || seed.crc(&copy[..GROUP_COPY - 4]).to_le_bytes() != crc
        {
            return None;
        }
        let frames = at.get_u32_le();
        if at.get_u64_le() != seed.salt || at.get_u64_le() != seed.segment {
            return None;
        }
        let number = at.get_u64_le();
        let length = at.get_u64_le();
        let block = at.get_u32_le();
        let whole = length >= BLOCK && length.is_multiple_of(BLOCK);
        whole.then_some(GroupHeader {
            number,
            length,
            frames,
            block,
        })
    }
}

impl FrameHeader {
    /// Appends both copies.
    pub fn encode(&self, seed: Seed, out: &mut Vec<u8>) {
        let start = out.len();
        let FrameFields(fields) = self.fields();
        out.extend_from_slice(&fields);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        let crc = seed.crc(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_within(start..);
    }

    /// The header at the beginning of `bytes`, from either copy; it must be frame `index` of `group`.
    pub fn decode(seed: Seed, group: u64, index: u32, bytes: &[u8]) -> Option<Self> {
        let copies =
            [0, FRAME_COPY].map(|at| Self::decode_copy(seed, bytes.get(at..at + FRAME_COPY)?));
        copies
            .into_iter()
            .flatten()
            .find(|header| header.group == group && header.index == index)
    }

    /// A single copy at the beginning of `bytes`, of any frame of `group` with a place in `indices`.
    pub fn decode_one(
        seed: Seed,
        group: u64,
        indices: std::ops::Range<u32>,
        bytes: &[u8],
    ) -> Option<Self> {
        let copy = bytes.get(..FRAME_COPY)?;
        // The checksum last: almost all places are none of a header.
        (copy.get(FRAME_GROUP_AT..)?.first_chunk() == Some(&group.to_le_bytes())).then_some(())?;
        Self::decode_copy(seed, copy).filter(|header| indices.contains(&header.index))
    }

    fn decode_copy(seed: Seed, copy: &[u8]) -> Option<Self> {
        let (mut at, crc) = copy.split_at_checked(FRAME_COPY - 4)?;
        if seed.crc(at).to_le_bytes() != crc {
            return None;
        }
        let kind = match at.get_u8() {
            1 => FrameKind::Put,
            2 => FrameKind::Ack,
            _ => return None,
        };
        let sealed = at.get_u8() != 0;
        at.advance(2);
        let count = at.get_u32_le();
        let first = at.get_u64_le();
        let bytes = at.get_u64_le();
        let time_ms = at.get_u64_le();
        let index = at.get_u32_le();
        let length = at.get_u32_le();
        let body_crc = at.get_u32_le();
        let group = at.get_u64_le();
        Some(FrameHeader {
            kind,
            sealed,
            group,
            index,
            body_crc,
            length,
            count,
            first,
            bytes,
            time_ms,
        })
    }

    /// The part that a seal vouches for, too.
    pub fn fields(&self) -> FrameFields {
        let mut fields = [0; 32];
        fields[0] = if self.kind == FrameKind::Put { 1 } else { 2 };
        fields[1] = self.sealed.into();
        fields[4..8].copy_from_slice(&self.count.to_le_bytes());
        for (place, number) in [(8, self.first), (16, self.bytes), (24, self.time_ms)] {
            fields[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        FrameFields(fields)
    }

    /// Whether these are the bytes of its body.
    pub fn vouches_for(&self, body: &[u8]) -> bool {
        body.len() == self.length as usize && crc32c::crc32c(body) == self.body_crc
    }
}

/// The fields of a frame header that say what the body means.
pub struct FrameFields(pub [u8; 32]);

/// Appends an event: number of headers, then name and value of each, then the body, all after their lengths.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) {
    put_length(event.headers.iter().count(), out);
    for (name, value) in event.headers.iter() {
        put_length(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        put_length(value.len(), out);
        out.extend_from_slice(value.as_bytes());
    }
    put_length(event.body.len(), out);
    out.extend_from_slice(&event.body);
}

/// The `count` events of a put's body, as slices of it.
pub fn decode_events(mut body: Bytes, count: u32) -> Result<Vec<Event>, Malformed> {
    // An event takes at least two bytes, whatever the header says.
    let mut events = Vec::with_capacity((count as usize).min(body.len() / 2));
    for _ in 0..count {
        let headers = get_length(&mut body)?;
        let mut pairs = || Ok((get_text(&mut body)?, get_text(&mut body)?));
        let headers = (0..headers)
            .map(|_| pairs())
            .collect::<Result<Headers, Malformed>>()?;
        let length = get_length(&mut body)?;
        events.push(Event {
            headers,
            body: get_bytes(&mut body, length)?,
        });
    }
    if body.is_empty() {
        Ok(events)
    } else {
        Err(Malformed("there is more than its events"))
    }
}

/// Appends ranges, each as its first number and how many there are.
pub fn encode_ranges(
    ranges: impl IntoIterator<Item = std::ops::Range<u64>>,
    out: &mut Vec<u8>,
) -> u32 {
    let mut count = 0;
    for range in ranges {
        out.extend_from_slice(&range.start.to_le_bytes());
        out.extend_from_slice(&(range.end - range.start).to_le_bytes());
        count += 1;
    }
    count
}

/// Ranges from the body of an ack or a checkpoint.
pub fn decode_ranges(mut body: &[u8], count: u32) -> Result<Vec<std::ops::Range<u64>>, Malformed> {
    if body.len() != count as usize * 16 {
        return Err(Malformed("its length is not that of its ranges"));
    }
    let mut range = || {
        let first = body.get_u64_le();
        let length = body.get_u64_le();
        let end = first
            .checked_add(length)
            .ok_or(Malformed("a range has no end"))?;
        Ok(first..end)
    };
    (0..count).map(|_| range()).collect()
}

/// LEB128.
fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn get_length(body: &mut Bytes) -> Result<usize, Malformed> {
    let mut length = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = body
            .try_get_u8()
            .map_err(|_| Malformed("it ends in the middle of an event"))?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| Malformed("a length is too large"));
        }
    }
    Err(Malformed("a length is too long"))
}

fn get_bytes(body: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if length > body.len() {
        return Err(Malformed("it ends in the middle of an event"));
    }
    Ok(body.split_to(length))
}

fn get_text(body: &mut Bytes) -> Result<Str, Malformed> {
    let length = get_length(body)?;
    Str::try_from(get_bytes(body, length)?).map_err(|_| Malformed("a header is not UTF-8"))
}

/// Rounds up to whole blocks.
pub const fn padded(length: u64) -> u64 {
    length.next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            channel: [7; 16],
            id: 9,
            salt: [3; 16],
            last_good_group: 4,
            judged_group: 3,
            first_sequence: 5,
            created_ms: 6,
            key_alias: "key-1".into(),
            key_check: [8; KEY_CHECK_BYTES],
        }
    }

    fn frame() -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Put,
            sealed: false,
            group: 8,
            index: 2,
            body_crc: 77,
            length: 12,
            count: 3,
            first: 100,
            bytes: 10,
            time_ms: 1,
        }
    }

    #[test]
    fn any_flipped_byte_of_a_header_leaves_a_copy() {
        let seed = header().seed();
        let group = GroupHeader {
            number: 8,
            length: 8192,
            frames: 3,
            block: 5,
        };
        let mut a_group = vec![];
        let mut a_frame = vec![];
        let a_segment = header().encode();
        group.encode(seed, &mut a_group);
        frame().encode(seed, &mut a_frame);
        assert_eq!((a_group.len(), a_frame.len()), (GROUP_HEADER, FRAME_HEADER));
        for place in 0..a_segment.len() {
            let mut damaged = a_segment.clone();
            damaged[place] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&damaged), Some(header()), "{place}");
        }
        for place in 0..GROUP_HEADER {
            let mut damaged = a_group.clone();
            damaged[place] ^= 0x10;
            assert_eq!(
                GroupHeader::decode(seed, 5, &damaged),
                Some(group),
                "{place}"
            );
        }
        for place in 0..FRAME_HEADER {
            let mut damaged = a_frame.clone();
            damaged[place] ^= 0x10;
            assert_eq!(
                FrameHeader::decode(seed, 8, 2, &damaged),
                Some(frame()),
                "{place}"
            );
        }
    }

    #[test]
    fn headers_of_another_segment_group_or_place_are_strangers() {
        let seed = header().seed();
        let mut group = vec![];
        let mut a_frame = vec![];
        GroupHeader {
            number: 8,
            length: 4096,
            frames: 3,
            block: 5,
        }
        .encode(seed, &mut group);
        frame().encode(seed, &mut a_frame);
        for other in [
            SegmentHeader { id: 10, ..header() },
            SegmentHeader {
                salt: [4; 16],
                ..header()
            },
        ] {
            assert_eq!(GroupHeader::decode(other.seed(), 5, &group), None);
        }
        let other = SegmentHeader {
            salt: [4; 16],
            ..header()
        };
        assert_eq!(FrameHeader::decode(other.seed(), 8, 2, &a_frame), None);
        assert_eq!(GroupHeader::decode(seed, 6, &group), None);
        assert_eq!(FrameHeader::decode(seed, 9, 2, &a_frame), None);
        assert_eq!(FrameHeader::decode(seed, 8, 1, &a_frame), None);
    }

    #[test]
    fn events_come_back() {
        let mut event = Event::from(vec![b'x'; 300]);
        event.headers.set("host".into(), "a".repeat(200).into());
        event.headers.set("empty".into(), "".into());
        let events = vec![event, Event::default()];
        let mut body = vec![];
        events
            .iter()
            .for_each(|event| encode_event(event, &mut body));
        let body = Bytes::from(body);
        assert_eq!(decode_events(body.clone(), 2), Ok(events));
        for cut in 0..body.len() {
            assert!(decode_events(body.slice(..cut), 2).is_err());
        }
        assert!(decode_events(body, 1).is_err());
    }

    #[test]
    fn ranges_come_back() {
        let mut body = vec![];
        assert_eq!(encode_ranges([1..4, 9..10], &mut body), 2);
        assert_eq!(decode_ranges(&body, 2), Ok(vec![1..4, 9..10]));
        assert!(decode_ranges(&body, 1).is_err());
        let endless = [u64::MAX; 2].map(u64::to_le_bytes).concat();
        assert!(decode_ranges(&endless, 1).is_err());
    }

    /// The decoder meets bytes whose checksum was right: still nothing it reads makes it panic or allocate.
    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..20_000 {
            let bytes: Vec<u8> = (0..round % 64).map(|_| random.u8(..)).collect();
            let _ = decode_events(bytes.clone().into(), u32::MAX);
            let _ = decode_ranges(&bytes, (round % 5) as u32);
            let _ = SegmentHeader::decode(&bytes);
        }
    }
}
