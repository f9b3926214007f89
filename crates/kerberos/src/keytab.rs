//! The keytab format of MIT Kerberos, version 2: what is in a file, its keys left out.
//!
//! A file is `05 02` and records of a 32-bit length and that many bytes; a negative length is a hole of deleted bytes.
//! Numbers are big-endian.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime},
};

/// What a keytab holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keytab {
    /// Its keys, in the order of the file.
    pub entries: Vec<KeytabEntry>,
}

/// One key, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeytabEntry {
    /// Whose it is: `flume/host@REALM`, with `\` before `/`, `@` and `\` inside of a part.
    pub principal: String,
    /// Version of the key: it grows with each change at the KDC.
    pub kvno: u32,
    /// Its type.
    pub encryption: KeyEncryption,
    /// When it was written.
    pub written: SystemTime,
}

/// A type of keys, by its number in RFC 3961's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyEncryption(pub u16);

/// Numbers with their names; the second of each row says whether KDCs of today still take it.
const ENCRYPTIONS: &[(u16, bool, &str)] = &[
    (1, false, "des-cbc-crc"),
    (2, false, "des-cbc-md4"),
    (3, false, "des-cbc-md5"),
    (16, false, "des3-cbc-sha1"),
    (17, true, "aes128-cts-hmac-sha1-96"),
    (18, true, "aes256-cts-hmac-sha1-96"),
    (19, true, "aes128-cts-hmac-sha256-128"),
    (20, true, "aes256-cts-hmac-sha384-192"),
    (23, false, "arcfour-hmac"),
    (25, true, "camellia128-cts-cmac"),
    (26, true, "camellia256-cts-cmac"),
];

impl KeyEncryption {
    /// Whether KDCs of today take it without being told to.
    pub fn is_current(self) -> bool {
        ENCRYPTIONS
            .iter()
            .any(|(number, current, _)| *number == self.0 && *current)
    }
}

impl fmt::Display for KeyEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ENCRYPTIONS.iter().find(|(number, ..)| *number == self.0) {
            Some((_, _, name)) => f.write_str(name),
            None => write!(f, "encryption type {}", self.0),
        }
    }
}

/// Why bytes are no keytab; completes "the keytab …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeytabError {
    /// Nothing is in it.
    #[error("is empty")]
    Empty,
    /// It begins otherwise.
    #[error("is not a keytab: it begins with {0:02x?}, not with 05 02")]
    Magic(Vec<u8>),
    /// A format of the time before 1994, in the byte order of its machine.
    #[error("is of version 1, which is not supported: write it again with `ktutil`")]
    Version1,
    /// It ends too early.
    #[error("is truncated: of entry {entry} there are {there} of {wanted} bytes")]
    Truncated {
        /// Which, from 1; holes count.
        entry: usize,
        /// Bytes that are left.
        there: usize,
        /// Bytes that its length says.
        wanted: usize,
    },
    /// A record whose parts do not fit into it.
    #[error("is damaged: entry {0} does not fit into its length")]
    Damaged(usize),
}

impl Keytab {
    /// Reads the bytes of a keytab file. Keys are skipped.
    ///
    /// # Errors
    /// Bytes that are no keytab, or not a whole one.
    pub fn parse(bytes: &[u8]) -> Result<Keytab, KeytabError> {
        let mut rest = match bytes {
            [] => return Err(KeytabError::Empty),
            [5, 2, rest @ ..] => rest,
            [5, 1, ..] => return Err(KeytabError::Version1),
            other => return Err(KeytabError::Magic(other.iter().copied().take(4).collect())),
        };
        let mut entries = vec![];
        for number in 1.. {
            let Some((length, after)) = rest.split_first_chunk::<4>() else {
                break;
            };
            let length = i32::from_be_bytes(*length);
            let wanted = length.unsigned_abs() as usize;
            if wanted == 0 {
                break;
            }
            let Some((record, after)) = after.split_at_checked(wanted) else {
                return Err(KeytabError::Truncated {
                    entry: number,
                    there: after.len(),
                    wanted,
                });
            };
            if length > 0 {
                entries.push(entry(record).ok_or(KeytabError::Damaged(number))?);
            }
            rest = after;
        }
        match rest {
            [] | [0, 0, 0, 0, ..] => Ok(Keytab { entries }),
            _ => Err(KeytabError::Truncated {
                entry: entries.len() + 1,
                there: rest.len(),
                wanted: 4,
            }),
        }
    }

    /// Whose keys it holds.
    pub fn principals(&self) -> BTreeSet<&str> {
        self.entries
            .iter()
            .map(|entry| entry.principal.as_str())
            .collect()
    }

    /// The keys of a principal that have its newest version. One without a realm means any realm: Kerberos adds the
    /// default one.
    pub fn newest(&self, principal: &str) -> Vec<&KeytabEntry> {
        let is = |entry: &&KeytabEntry| {
            if principal.contains('@') {
                entry.principal == principal
            } else {
                entry
                    .principal
                    .rsplit_once('@')
                    .is_some_and(|(name, _)| name == principal)
            }
        };
        let keys: Vec<_> = self.entries.iter().filter(is).collect();
        let newest = keys.iter().map(|entry| entry.kvno).max();
        keys.into_iter()
            .filter(|entry| Some(entry.kvno) == newest)
            .collect()
    }
}

/// A record, whose bytes end where its parts do, or four bytes later, or with anything: MIT reserves it.
fn entry(record: &[u8]) -> Option<KeytabEntry> {
    let mut record = KeytabRecord(record);
    let components = record.number_16()?;
    let realm = record.text()?;
    let mut name = String::new();
    for component in 0..components {
        if component > 0 {
            name.push('/');
        }
        name += &record.text()?;
    }
    let _name_type = record.number_32()?;
    let written = record.number_32()?;
    let short_kvno = record.bytes(1)?.first().copied()?;
    let encryption = KeyEncryption(record.number_16()?);
    record.counted()?;
    // Written since 1.1; zero means that the short one holds.
    let kvno = record
        .number_32()
        .filter(|kvno| *kvno != 0)
        .unwrap_or(short_kvno.into());
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(written.into());
    Some(KeytabEntry {
        principal: format!("{name}@{realm}"),
        kvno,
        encryption,
        written,
    })
}

struct KeytabRecord<'a>(&'a [u8]);

impl<'a> KeytabRecord<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number_16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn number_32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.number_16()?;
        self.bytes(length.into())
    }

    /// A part of a principal, quoted.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        for character in String::from_utf8_lossy(self.counted()?).chars() {
            if matches!(character, '/' | '@' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        Some(text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record as MIT writes it, with a key of eight bytes.
    pub(crate) fn record(principal: &str, kvno: u32, encryption: u16) -> Vec<u8> {
        let (name, realm) = principal.rsplit_once('@').unwrap();
        let parts: Vec<_> = name.split('/').collect();
        let mut record = (parts.len() as u16).to_be_bytes().to_vec();
        for part in [&[realm], &parts[..]].concat() {
            record.extend((part.len() as u16).to_be_bytes());
            record.extend(part.as_bytes());
        }
        record.extend(1u32.to_be_bytes());
        record.extend(1_700_000_000u32.to_be_bytes());
        record.push(kvno as u8);
        record.extend(encryption.to_be_bytes());
        record.extend(8u16.to_be_bytes());
        record.extend([0xa5; 8]);
        record.extend(kvno.to_be_bytes());
        [&(record.len() as i32).to_be_bytes()[..], &record].concat()
    }

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        [&[5, 2][..], &records.concat()].concat()
    }

    #[test]
    fn records_and_holes_are_read() {
        let hole = [&(-3i32).to_be_bytes()[..], &[1, 2, 3]].concat();
        let bytes = file(&[
            record("flume/h.example.com@R", 2, 18),
            hole,
            record("flume/h.example.com@R", 300, 17),
            record("a@b@R", 1, 23),
        ]);
        let keytab = Keytab::parse(&bytes).unwrap();
        let seen: Vec<_> = keytab
            .entries
            .iter()
            .map(|entry| format!("{} {} {}", entry.principal, entry.kvno, entry.encryption))
            .collect();
        let expected = [
            "flume/h.example.com@R 2 aes256-cts-hmac-sha1-96",
            "flume/h.example.com@R 300 aes128-cts-hmac-sha1-96",
            "a\\@b@R 1 arcfour-hmac",
        ];
        assert_eq!(seen, expected);
        assert_eq!(keytab.principals().len(), 2);
        assert_eq!(keytab.newest("flume/h.example.com")[0].kvno, 300);
        assert_eq!(keytab.newest("flume/h.example.com@R").len(), 1);
        assert!(keytab.newest("flume@R").is_empty());
        assert!(!keytab.newest("a\\@b@R")[0].encryption.is_current());
    }

    #[test]
    fn what_is_no_keytab_is_told_apart() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(Keytab::parse(bytes).unwrap_err().to_string(), expected);
        };
        let whole = file(&[record("flume@R", 1, 18), record("other@R", 1, 18)]);
        let first = 4 + i32::from_be_bytes(whole[2..6].try_into().unwrap()) as usize;
        check(&[], "is empty");
        check(
            b"BEGIN",
            "is not a keytab: it begins with [42, 45, 47, 49], not with 05 02",
        );
        check(
            &[5, 1, 0],
            "is of version 1, which is not supported: write it again with `ktutil`",
        );
        check(
            &whole[..20],
            "is truncated: of entry 1 there are 14 of 37 bytes",
        );
        check(
            &whole[..2 + first + 10],
            "is truncated: of entry 2 there are 6 of 37 bytes",
        );
        check(
            &whole[..2 + first + 3],
            "is truncated: of entry 2 there are 3 of 4 bytes",
        );
        let mut damaged = whole.clone();
        damaged[6] = 0xff;
        check(&damaged, "is damaged: entry 1 does not fit into its length");
        assert_eq!(Keytab::parse(&[5, 2]).unwrap(), Keytab::default());
        assert_eq!(
            Keytab::parse(&[&whole[..], &[0; 7]].concat())
                .unwrap()
                .entries
                .len(),
            2
        );
    }

    /// The fuzz target goes further.
    #[test]
    fn any_bytes_are_read_or_refused() {
        let whole = file(&[record("flume/host@REALM", 1, 18), record("x@R", 7, 17)]);
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = whole[..random.usize(..=whole.len())].to_vec();
            for _ in 0..random.usize(..6) {
                if let Some(byte) = random.choice(&mut bytes) {
                    *byte = seed as u8;
                }
            }
            let _ = Keytab::parse(&bytes);
        }
    }
}
