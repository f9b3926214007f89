//! Text that comes in pieces, cut into lines as `java.io.BufferedReader` does. Pure: no I/O.

use memchr::memchr2;

use crate::charset::{Charset, Decoder};

/// What was received and not yet taken as lines. A line ends at a line feed, a carriage return, or both.
pub(super) struct JavaLines {
    decoder: Decoder,
    /// Most bytes of text in a line; a longer one comes in pieces.
    longest: usize,
    text: String,
    /// Where the first line begins that was not yet taken.
    taken: usize,
    /// No end of a line lies between `taken` and here.
    searched: usize,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
}

impl JavaLines {
    pub(super) fn new(charset: Charset, longest: usize) -> Self {
        let decoder = charset.decoder();
        let text = String::new();
        JavaLines {
            decoder,
            longest,
            text,
            taken: 0,
            searched: 0,
            after_return: false,
        }
    }

    /// Takes in what was received; `last` when nothing follows. What is no text becomes U+FFFD.
    pub(super) fn feed(&mut self, bytes: &[u8], last: bool) {
        self.text.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.text.shrink_to(2 * self.text.len());
        self.decoder.decode_lossy(bytes, &mut self.text, last);
    }

    /// The next whole line, without its end.
    pub(super) fn next(&mut self) -> Option<&str> {
        if self.after_return && self.taken < self.text.len() {
            self.after_return = false;
            if self.text.as_bytes()[self.taken] == b'\n' {
                self.taken += 1;
                self.searched = self.searched.max(self.taken);
            }
        }
        let start = self.taken;
        let limit = self
            .text
            .floor_char_boundary(start.saturating_add(self.longest))
            .max(start + 1);
        let end = memchr2(b'\n', b'\r', &self.text.as_bytes()[self.searched..])
            .map(|at| at + self.searched);
        match end {
            Some(end) if end <= limit => {
                self.after_return = self.text.as_bytes()[end] == b'\r';
                self.taken = end + 1;
                self.searched = self.taken;
                Some(&self.text[start..end])
            }
            _ if self.text.len() > limit => {
                self.taken = limit;
                self.searched = limit;
                Some(&self.text[start..limit])
            }
            _ => {
                self.searched = self.text.len();
                None
            }
        }
    }

    /// The last line, when it has no end.
    pub(super) fn rest(&mut self) -> Option<&str> {
        let start = std::mem::replace(&mut self.taken, self.text.len());
        self.searched = self.taken;
        (start < self.taken).then(|| &self.text[start..])
    }
}

#[cfg(test)]
mod tests {
    use flume_core::config::Scalar;

    use super::*;

    /// Pieces are separated by `|`, so are lines.
    fn check(longest: usize, pieces: &str, expected: &str) {
        let mut lines = JavaLines::new(Charset::parse("UTF-8").unwrap(), longest);
        let mut seen: Vec<String> = vec![];
        let mut collect = |lines: &mut JavaLines| {
            while let Some(line) = lines.next() {
                seen.push(line.into());
            }
        };
        for piece in pieces.split('|') {
            lines.feed(piece.as_bytes(), false);
            collect(&mut lines);
        }
        lines.feed(b"", true);
        collect(&mut lines);
        seen.extend(lines.rest().map(String::from));
        assert_eq!(seen.join("|"), expected, "{pieces:?}");
    }

    #[test]
    fn lines_end_as_java_ends_them() {
        check(99, "a\nb\rc\r\nd", "a|b|c|d");
        check(99, "a\r|\nb\r|c", "a|b|c");
        check(99, "\n\r\n\r", "||");
        check(99, "un|finis|hed\nline", "unfinished|line");
        check(99, "a\n", "a");
        check(99, "", "");
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        check(4, "abcdefghij\nk", "abcd|efgh|ij|k");
        check(4, "abcd\nefgh", "abcd|efgh");
        check(4, "ab|cd|ef|gh|i", "abcd|efgh|i");
        check(4, "\u{20ac}\u{20ac}\u{20ac}", "\u{20ac}|\u{20ac}|\u{20ac}");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut lines = JavaLines::new(Charset::parse("UTF-8").unwrap(), 99);
        lines.feed(b"a\xffb\nc\xe2\x82", true);
        assert_eq!(lines.next(), Some("a\u{fffd}b"));
        assert_eq!(lines.rest(), Some("c\u{fffd}"));
    }
}
