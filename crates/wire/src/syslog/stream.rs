//! A stream cut into messages: by line feeds, or by the counts of octets of RFC 6587, which Flume does not know.

use super::classic::MAX_PRIORITY_DIGITS;

/// Most digits of a count of octets.
const MAX_COUNT_DIGITS: usize = 9;

/// What was received and not yet taken.
pub struct SyslogStream {
    dialect: StreamDialect,
    max_message_bytes: usize,
    received: Vec<u8>,
    taken: usize,
    /// No line feed lies between `taken` and here.
    searched: usize,
    /// Bytes of a counted message that was too long, still to come.
    skipped: usize,
}

/// Where messages end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDialect {
    /// As `syslogtcp` cuts: a line feed within the priority is part of it.
    Classic,
    /// As `multiport_syslogtcp` cuts: at each line feed, which counts for the length.
    Strict,
}

/// A message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamMessage<'s> {
    /// Without its line feed.
    pub bytes: &'s [u8],
    /// Whether it was too long.
    pub is_cut: bool,
}

/// Where the next message ends.
struct MessageEnd {
    /// The bytes that are the message.
    start: usize,
    end: usize,
    /// What has to be taken with it.
    next: usize,
    is_cut: bool,
    /// Bytes to skip that have not come yet.
    skipped: usize,
}

impl SyslogStream {
    /// A message has at most `max_message_bytes`, at least 1.
    pub fn new(dialect: StreamDialect, max_message_bytes: usize) -> Self {
        SyslogStream {
            dialect,
            max_message_bytes: max_message_bytes.max(1),
            received: vec![],
            taken: 0,
            searched: 0,
            skipped: 0,
        }
    }

    /// Takes in what was received.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken >= self.received.len() / 2 {
            self.settle();
        }
        let skipped = self.skipped.min(bytes.len());
        self.skipped -= skipped;
        self.received.extend_from_slice(&bytes[skipped..]);
    }

    /// Bytes that were not yet taken.
    pub fn held_bytes(&self) -> usize {
        self.received.len() - self.taken
    }

    /// Gives back the memory that an unfinished message does not need.
    pub fn settle(&mut self) {
        self.received.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.received.shrink_to(2 * self.received.len());
    }

    /// The next message, once all of it is there. Empty lines are none.
    pub fn next_message(&mut self) -> Option<StreamMessage<'_>> {
        while self.received.get(self.taken) == Some(&b'\n') {
            self.taken += 1;
        }
        self.searched = self.searched.max(self.taken);
        let Some(found) = self.counted().unwrap_or_else(|| self.line()) else {
            self.searched = self.received.len();
            return None;
        };
        self.taken = found.next;
        self.searched = found.next;
        self.skipped = found.skipped;
        Some(StreamMessage {
            bytes: &self.received[found.start..found.end],
            is_cut: found.is_cut,
        })
    }

    /// A message behind its count, such as `11 <13>message`. The outer `None`: it is no such message.
    fn counted(&self) -> Option<Option<MessageEnd>> {
        let rest = &self.received[self.taken..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > MAX_COUNT_DIGITS || rest[0] == b'0' {
            return None;
        }
        match rest.get(digits..digits + 2) {
            // Whether it is one is only known with the next bytes.
            None if [&b""[..], b" "].contains(&&rest[digits..]) => return Some(None),
            Some(b" <") => {}
            _ => return None,
        }
        let count = rest[..digits]
            .iter()
            .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        let start = self.taken + digits + 1;
        let wanted = count.min(self.max_message_bytes);
        if self.received.len() < start + wanted {
            return Some(None);
        }
        let whole_end = start + count;
        let bytes = &self.received[start..start + wanted];
        let end = start + bytes.strip_suffix(b"\n").map_or(wanted, <[u8]>::len);
        Some(Some(MessageEnd {
            start,
            end,
            next: whole_end.min(self.received.len()),
            is_cut: wanted < count,
            skipped: whole_end.saturating_sub(self.received.len()),
        }))
    }

    fn line(&self) -> Option<MessageEnd> {
        let start = self.taken;
        let rest = &self.received[start..];
        let searched = match self.dialect {
            StreamDialect::Classic => data_start(rest)?,
            StreamDialect::Strict => 0,
        };
        let from = searched.max(self.searched - start);
        let line_feed = memchr::memchr(b'\n', &rest[from..]).map(|at| from + at);
        let end = match line_feed {
            Some(end) if end < self.max_message_bytes => end,
            _ if rest.len() >= self.max_message_bytes => {
                let end = start + self.max_message_bytes;
                return Some(MessageEnd {
                    start,
                    end,
                    next: end,
                    is_cut: true,
                    skipped: 0,
                });
            }
            _ => return None,
        };
        Some(MessageEnd {
            start,
            end: start + end,
            next: start + end + 1,
            is_cut: false,
            skipped: 0,
        })
    }
}

/// The message in a datagram: line feeds before it and all behind its own are dropped.
pub fn first_message(datagram: &[u8]) -> Option<&[u8]> {
    let start = datagram.iter().position(|byte| *byte != b'\n')?;
    let message = &datagram[start..];
    let data = data_start(message).unwrap_or(message.len());
    let end = memchr::memchr(b'\n', &message[data..]);
    Some(&message[..end.map_or(message.len(), |end| data + end)])
}

/// Where the data of a message begins, of which a line feed is the end: behind its priority, or behind the byte that
/// shows that it has none. `None` while that is not known.
fn data_start(message: &[u8]) -> Option<usize> {
    if message.first()? != &b'<' {
        return Some(0);
    }
    let digits = message[1..]
        .iter()
        .take(MAX_PRIORITY_DIGITS)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let next = 1 + digits;
    message.get(next).map(|_| next + 1)
}
