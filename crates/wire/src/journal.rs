//! The export format of systemd's journal: bytes in, entries out, no I/O.
//!
//! An entry is a line for each field, and an empty line behind them. A field is `NAME=text`, or, if its value has line
//! feeds or is no text, the line `NAME`, eight bytes with the length (the lowest first), the value and a line feed.

use bytes::{Buf, Bytes, BytesMut};
use flume_core::Str;
use memchr::memchr;

/// Longest name of a field; the journal itself has 64.
const MAX_NAME_BYTES: usize = 256;
/// Most fields of an entry; the journal itself has 1024.
const MAX_FIELDS: usize = 4096;
const LENGTH_BYTES: usize = 8;

/// Why the bytes are no journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line has no name at its begin.
    #[error("a line of the journal begins with no name of a field: {0:?}")]
    Name(String),
    /// A value does not end where its length says.
    #[error("the value of the field {0} does not end with a line feed")]
    Length(Str),
}

/// One entry of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEntry {
    /// Names and values, in the order of the journal. A name may come more than once.
    pub fields: Vec<(Str, Bytes)>,
    /// Fields that did not fit.
    pub left_out: usize,
}

impl JournalEntry {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        let found = self.fields.iter().find(|(known, _)| &**known == name);
        found.map(|(_, value)| value)
    }
}

/// Finds entries in what is received. Holds at most one entry, and one piece of what was received.
#[derive(Debug)]
pub struct JournalStream {
    received: BytesMut,
    /// No line feed lies before this place.
    searched: usize,
    entry: JournalEntry,
    entry_bytes: usize,
    max_entry_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Line,
    /// Behind the name of a field that has a length.
    Length(Str),
    Value(Str, usize),
    /// So many bytes of a value that does not fit.
    SkipValue(Str, u64),
    /// The rest of a line that does not fit.
    SkipLine,
}

impl JournalStream {
    /// Fields that do not fit into so many bytes of an entry are left out.
    pub fn new(max_entry_bytes: usize) -> Self {
        JournalStream {
            received: BytesMut::new(),
            searched: 0,
            entry: JournalEntry::default(),
            entry_bytes: 0,
            max_entry_bytes,
            state: State::Line,
        }
    }

    /// Takes in what was received.
    pub fn feed(&mut self, received: &[u8]) {
        self.received.extend_from_slice(received);
    }

    /// The next entry; `None` until all of it is there.
    ///
    /// # Errors
    /// Nothing after this can be understood.
    pub fn next_entry(&mut self) -> Result<Option<JournalEntry>, JournalError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Line);
            match state {
                State::Line => match self.take_line()? {
                    None => return Ok(None),
                    Some(line) if !line.is_empty() => self.read_line(line)?,
                    Some(_) if self.entry == JournalEntry::default() => {}
                    Some(_) => {
                        self.entry_bytes = 0;
                        return Ok(Some(std::mem::take(&mut self.entry)));
                    }
                },
                State::Length(name) => {
                    let Some(length) = self.received.first_chunk::<LENGTH_BYTES>() else {
                        self.state = State::Length(name);
                        return Ok(None);
                    };
                    let length = u64::from_le_bytes(*length);
                    self.received.advance(LENGTH_BYTES);
                    let fits = usize::try_from(length).ok();
                    self.state = match fits.filter(|length| self.has_room(&name, *length)) {
                        Some(length) => State::Value(name, length),
                        None => {
                            self.entry.left_out += 1;
                            State::SkipValue(name, length)
                        }
                    };
                }
                State::Value(name, length) => {
                    if self.received.len() <= length {
                        self.state = State::Value(name, length);
                        return Ok(None);
                    }
                    let value = self.received.split_to(length).freeze();
                    self.end_value(&name)?;
                    self.add(name, value);
                }
                State::SkipValue(name, left) => {
                    let skipped = left.min(self.received.len() as u64);
                    self.received.advance(skipped as usize);
                    if skipped < left || self.received.is_empty() {
                        self.state = State::SkipValue(name, left - skipped);
                        return Ok(None);
                    }
                    self.end_value(&name)?;
                }
                State::SkipLine => match memchr(b'\n', &self.received) {
                    Some(end) => self.received.advance(end + 1),
                    None => {
                        self.received.clear();
                        self.state = State::SkipLine;
                        return Ok(None);
                    }
                },
            }
        }
    }

    /// A whole line without its end. Of a line that does not fit there is nothing.
    fn take_line(&mut self) -> Result<Option<Bytes>, JournalError> {
        if let Some(end) = memchr(b'\n', &self.received[self.searched..]) {
            let line = self.received.split_to(self.searched + end).freeze();
            self.received.advance(1);
            self.searched = 0;
            return Ok(Some(line));
        }
        self.searched = self.received.len();
        let longest = MAX_NAME_BYTES + self.max_entry_bytes;
        if self.searched > longest {
            if !self.received[..=MAX_NAME_BYTES].contains(&b'=') {
                return Err(no_name(&self.received));
            }
            self.entry.left_out += 1;
            self.received.clear();
            self.searched = 0;
            self.state = State::SkipLine;
        }
        Ok(None)
    }

    fn read_line(&mut self, line: Bytes) -> Result<(), JournalError> {
        let mark = memchr(b'=', &line);
        let name = &line[..mark.unwrap_or(line.len())];
        let is_name = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.iter().all(is_name) {
            return Err(no_name(&line));
        }
        let text = Str::from(String::from_utf8_lossy(name).into_owned());
        match mark {
            None => self.state = State::Length(text),
            Some(mark) if self.has_room(&text, line.len() - mark - 1) => {
                self.add(text, line.slice(mark + 1..));
            }
            Some(_) => self.entry.left_out += 1,
        }
        Ok(())
    }

    fn end_value(&mut self, name: &Str) -> Result<(), JournalError> {
        if self.received.first() != Some(&b'\n') {
            return Err(JournalError::Length(name.clone()));
        }
        self.received.advance(1);
        Ok(())
    }

    fn has_room(&self, name: &str, value_bytes: usize) -> bool {
        let bytes = self.entry_bytes.saturating_add(name.len());
        bytes.saturating_add(value_bytes) <= self.max_entry_bytes
            && self.entry.fields.len() < MAX_FIELDS
    }

    fn add(&mut self, name: Str, value: Bytes) {
        self.entry_bytes += name.len() + value.len();
        self.entry.fields.push((name, value));
    }
}

fn no_name(line: &[u8]) -> JournalError {
    let begin = &line[..line.len().min(32)];
    JournalError::Name(String::from_utf8_lossy(begin).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two entries as the documentation of the format has them, with a field in binary.
    const EXPORT: &[u8] = b"__CURSOR=s=739ad463;i=4ece7\n__REALTIME_TIMESTAMP=1423944916375353\n\
        _PID=14244\nMESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n_HOSTNAME=sandbox\n\n\n\
        __CURSOR=s=739ad463;i=4ece8\nMESSAGE=a=b\nEMPTY=\nMESSAGE=again\n\n";

    fn shown(entry: &JournalEntry) -> String {
        let fields = entry.fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        format!("{} (-{})", fields.join("|"), entry.left_out)
    }

    /// All entries, when the bytes come in pieces of this length.
    fn read(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<String>, JournalError> {
        let mut stream = JournalStream::new(max);
        let mut entries = vec![];
        for piece in bytes.chunks(piece) {
            stream.feed(piece);
            while let Some(entry) = stream.next_entry()? {
                entries.push(shown(&entry));
            }
        }
        Ok(entries)
    }

    #[test]
    fn entries_are_found_however_they_come() {
        for piece in 1..EXPORT.len() {
            let entries = read(EXPORT, piece, 1000).unwrap();
            assert_eq!(
                entries,
                [
                    "__CURSOR=s=739ad463;i=4ece7|__REALTIME_TIMESTAMP=1423944916375353|_PID=14244|\
                     MESSAGE=two\nlines|_HOSTNAME=sandbox (-0)",
                    "__CURSOR=s=739ad463;i=4ece8|MESSAGE=a=b|EMPTY=|MESSAGE=again (-0)",
                ],
                "{piece}"
            );
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_left_out() {
        let long = "x".repeat(2000);
        let length = 2000_u64.to_le_bytes();
        let text = format!("A=1\nLONG={long}\nB=2\nBINARY\n");
        let bytes = [
            text.as_bytes(),
            &length,
            long.as_bytes(),
            b"\nC=3\n\nA=4\n\n",
        ]
        .concat();
        for piece in [1, 7, 300, 10_000] {
            let entries = read(&bytes, piece, 100).unwrap();
            assert_eq!(entries, ["A=1|B=2|C=3 (-2)", "A=4 (-0)"], "{piece}");
        }
        let many = "A=1\n".repeat(MAX_FIELDS + 5) + "\n";
        let entries = read(many.as_bytes(), 1000, 1 << 20).unwrap();
        assert!(entries[0].ends_with("(-5)"));
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        for (bytes, expected) in [
            (&b"-- No entries --\n"[..], "begins with no name"),
            (b"=x\n", "begins with no name"),
            (b"A\n\x01\0\0\0\0\0\0\0xy", "field A does not end"),
            (&[b'x'; 2000], "begins with no name"),
        ] {
            let error = read(bytes, 10_000, 100).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(
            read(b"A=1\n", 1, 100),
            Ok(vec![]),
            "an entry without its end"
        );
    }
}
