//! Text that comes in pieces, cut into lines of a limited length. Pure: no I/O.

use bytes::Bytes;
use flume_core::Event;
use memchr::memchr_iter;

use crate::charset::{Charset, Decoder, Malformed};

/// What was received and not yet taken as lines. Lines end at a line feed alone, as Flume cuts them.
pub(super) struct Lines {
    decoder: Decoder,
    /// Longest line in UTF-16 units, its line feed included.
    max_units: usize,
    text: String,
    /// Where the first line begins that was not yet taken.
    taken: usize,
    /// No line feed lies between `taken` and here.
    searched: usize,
    malformed: bool,
}

/// Why no line will follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BrokenText {
    /// The next line is longer than allowed.
    TooLong,
    /// What follows is no text in the character set.
    Malformed,
}

impl Lines {
    pub(super) fn new(charset: Charset, max_units: usize) -> Self {
        Lines {
            decoder: charset.decoder(),
            max_units,
            text: String::new(),
            taken: 0,
            searched: 0,
            malformed: false,
        }
    }

    /// Takes in what was received.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        // Moving the rest to the front costs no more than the lines did that were taken before it.
        if self.taken > self.text.len() / 2 {
            self.forget_taken();
        }
        if !self.malformed {
            self.malformed = self.decoder.decode(bytes, &mut self.text, false) == Err(Malformed);
        }
    }

    /// Takes up to `max_events` lines from the front.
    pub(super) fn next_batch(&mut self, max_events: usize) -> Vec<Event> {
        let mut events = vec![];
        let mut start = self.taken;
        for end in memchr_iter(b'\n', &self.text.as_bytes()[self.searched..]) {
            let end = self.searched + end;
            let line = &self.text[start..end];
            if events.len() == max_events || self.too_long(line) {
                break;
            }
            // A copy: a slice would keep everything alive that was received with it.
            events.push(Event::from(Bytes::copy_from_slice(line.as_bytes())));
            start = end + 1;
        }
        self.taken = start;
        self.searched = self.searched.max(start);
        events
    }

    /// Bytes of text that were not yet taken.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.len() - self.taken
    }

    /// Whether a line can follow, once [`next_batch`](Self::next_batch) finds none. Gives back the memory that an
    /// unfinished line does not need: most connections are idle most of the time.
    pub(super) fn settle(&mut self) -> Result<(), BrokenText> {
        self.forget_taken();
        let line = self.text.split('\n').next().unwrap_or_default();
        if self.too_long(line) {
            return Err(BrokenText::TooLong);
        }
        if self.malformed {
            return Err(BrokenText::Malformed);
        }
        self.searched = self.text.len();
        self.text.shrink_to(2 * self.text.len());
        Ok(())
    }

    fn forget_taken(&mut self) {
        self.text.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
    }

    fn too_long(&self, line: &str) -> bool {
        line.len() >= self.max_units && line.encode_utf16().count() >= self.max_units
    }
}

#[cfg(test)]
mod tests {
    use flume_core::config::Scalar;

    use super::*;

    /// What a stream means, read at once: the lines before the first that cannot be one, and what is wrong then.
    fn model(charset: &str, stream: &[u8], longest: usize) -> (Vec<String>, Option<BrokenText>) {
        let mut text = String::new();
        let charset = Charset::parse(charset).unwrap();
        let malformed = charset.decoder().decode(stream, &mut text, false).is_err();
        let mut lines = vec![];
        let mut rest = text.as_str();
        let long = |line: &str| line.encode_utf16().count() >= longest;
        while let Some((line, after)) = rest.split_once('\n') {
            if long(line) {
                return (lines, Some(BrokenText::TooLong));
            }
            lines.push(line.to_string());
            rest = after;
        }
        let broken = if long(rest) {
            Some(BrokenText::TooLong)
        } else {
            malformed.then_some(BrokenText::Malformed)
        };
        (lines, broken)
    }

    /// The same from `Lines`, fed in pieces.
    fn cut(
        charset: &str,
        pieces: &[&[u8]],
        longest: usize,
        most: usize,
    ) -> (Vec<String>, Option<BrokenText>) {
        let mut lines = Lines::new(Charset::parse(charset).unwrap(), longest);
        let mut seen = vec![];
        for piece in pieces {
            lines.feed(piece);
            loop {
                let events = lines.next_batch(most);
                assert!(events.len() <= most);
                if events.is_empty() {
                    break;
                }
                let bodies = events
                    .iter()
                    .map(|event| String::from_utf8(event.body.to_vec()).unwrap());
                seen.extend(bodies);
            }
            if let Err(broken) = lines.settle() {
                return (seen, Some(broken));
            }
        }
        (seen, None)
    }

    #[test]
    fn however_a_stream_is_cut_its_lines_are_the_same() {
        let words: [&[u8]; 12] = [
            b"\n",
            b"\n",
            b"\r\n",
            b"a",
            b"line",
            "\u{e9}".as_bytes(),
            "\u{20ac}".as_bytes(),
            "\u{1f600}".as_bytes(),
            b"\0",
            b"\n\0",
            b"0123456789",
            b"\xff\xd8",
        ];
        for seed in 1..=3000 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let charset = [
                "UTF-8",
                "ISO-8859-1",
                "US-ASCII",
                "UTF-16",
                "UTF-16LE",
                "Shift_JIS",
            ][dice.usize(..6)];
            // The last word breaks most character sets, so it is rare.
            let word = |dice: &mut fastrand::Rng| {
                words[if dice.usize(..40) == 0 {
                    11
                } else {
                    dice.usize(..11)
                }]
            };
            let stream: Vec<u8> = (0..dice.usize(..120))
                .flat_map(|_| word(&mut dice).to_vec())
                .collect();
            let longest = 1 + dice.usize(..40);
            let most = 1 + dice.usize(..5);
            let mut pieces = vec![];
            let mut rest = stream.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + dice.usize(..rest.len().min(30)));
                pieces.push(piece);
                rest = after;
            }
            let expected = model(charset, &stream, longest);
            let seen = cut(charset, &pieces, longest, most);
            // A limit met before the bad bytes arrive is told first; lines before it are the same.
            assert_eq!(
                seen, expected,
                "seed {seed}, {charset}, longest {longest}, {stream:?}"
            );
        }
    }

    #[test]
    fn an_unfinished_line_keeps_no_more_memory_than_twice_its_length() {
        let mut lines = Lines::new(Charset::Latin1, 512);
        lines.feed(&[&b"x\n".repeat(30_000)[..], b"rest"].concat());
        let events = lines.next_batch(usize::MAX);
        assert_eq!(events.len(), 30_000);
        lines.settle().unwrap();
        assert!(lines.text.capacity() <= 8, "{}", lines.text.capacity());
    }
}
