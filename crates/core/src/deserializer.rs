//! From the bytes of a file to events: what an [`EventSerializer`](crate::EventSerializer) does, the other way.

use crate::{Event, config::Choice};

/// Makes events of a file's bytes. Pure: the source owns the I/O.
///
/// For each file: `begin`, then `feed` with what is in the file and `finish` at its end; `next` in between, until it
/// returns `None`.
pub trait EventDeserializer: Send + Sync {
    /// How the text of files is encoded; for those that read text.
    fn set_text(&mut self, _text: &FileText) {}

    /// Whether it reads text, so that a compressed file has to be decompressed for it.
    fn reads_text(&self) -> bool {
        false
    }

    /// A file begins. Its first `offset` bytes have been delivered; returns how many of them it need not see again.
    fn begin(&mut self, offset: u64) -> u64;

    /// The bytes that follow in the file.
    fn feed(&mut self, bytes: bytes::Bytes);

    /// Nothing follows.
    fn finish(&mut self);

    /// The next event. `None`: it needs more bytes, or the file is at its end.
    ///
    /// # Errors
    /// What is in the file cannot be read. Nothing follows after that.
    fn next(&mut self) -> Result<Option<FileEvent>, Undecodable>;
}

/// An event of a file.
#[derive(Debug, PartialEq)]
pub struct FileEvent {
    /// The event.
    pub event: Event,
    /// Once this event and those before it are delivered, these first bytes of the file are done.
    pub offset: u64,
}

/// How the text of files is encoded.
#[derive(Clone, Debug)]
pub struct FileText {
    /// Name of the character set, as Java knows it.
    pub charset: String,
    /// What becomes of bytes that mean nothing in it.
    pub on_malformed: OnMalformed,
    /// Longest line in characters, where the source has a property of its own for that.
    pub max_line_length: Option<usize>,
}

/// What becomes of bytes that mean nothing in a character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMalformed {
    /// The file cannot be read.
    Fail,
    /// Each becomes U+FFFD.
    Replace,
    /// They are left out.
    Ignore,
}

impl Choice for OnMalformed {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("FAIL", OnMalformed::Fail),
        ("REPLACE", OnMalformed::Replace),
        ("IGNORE", OnMalformed::Ignore),
    ];
}

/// Bytes in a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at byte {offset}")]
pub struct Undecodable {
    /// What is wrong.
    pub reason: String,
    /// Where, as near as it is known.
    pub offset: u64,
}
