//! Text that comes in pieces, cut into lines of a limited length. Pure: no I/O.

use bytes::Bytes;
use flume_core::Event;
use memchr::memchr_iter;

use crate::charset::{Charset, Decoder, Malformed};

/// What was received and not yet taken as lines. Lines end at a line feed alone, as Flume cuts them.
pub(super) struct Lines {
    decoder: Decoder,
    /// Longest line in UTF-16 units, its line feed included.
    longest: usize,
    text: String,
    /// Where the first line begins that was not yet taken.
    taken: usize,
    /// No line feed lies between `taken` and here.
    searched: usize,
    malformed: bool,
}

/// Lines from the front.
#[derive(Debug)]
pub(super) struct Cut {
    /// One for each line, without its line feed.
    pub(super) events: Vec<Event>,
    end: usize,
}

/// Why no line will follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The next line is longer than allowed.
    TooLong,
    /// What follows is no text in the character set.
    Malformed,
}

impl Lines {
    pub(super) fn new(charset: Charset, longest: usize) -> Self {
        let decoder = charset.decoder();
        let text = String::new();
        Lines {
            decoder,
            longest,
            text,
            taken: 0,
            searched: 0,
            malformed: false,
        }
    }

    /// Takes in what was received.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.malformed {
            self.malformed = self.decoder.decode(bytes, &mut self.text, false) == Err(Malformed);
        }
    }

    /// Up to `most` lines from the front. They stay there until [`take`](Self::take).
    pub(super) fn cut(&self, most: usize) -> Cut {
        let mut cut = Cut {
            events: Vec::new(),
            end: self.taken,
        };
        for end in memchr_iter(b'\n', &self.text.as_bytes()[self.searched..]) {
            let end = self.searched + end;
            let line = &self.text[cut.end..end];
            if cut.events.len() == most || self.too_long(line) {
                break;
            }
            // A copy: a slice would keep everything alive that was received with it.
            cut.events
                .push(Event::from(Bytes::copy_from_slice(line.as_bytes())));
            cut.end = end + 1;
        }
        cut
    }

    /// Removes the lines of a cut that ended there.
    pub(super) fn take(&mut self, end: usize) {
        self.taken = end;
        self.searched = end;
    }

    /// Whether a line can follow, once [`cut`](Self::cut) finds none. Gives back the memory that an
    /// unfinished line does not need: most connections are idle most of the time.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        self.text.drain(..self.taken);
        self.taken = 0;
        let line = self.text.split('\n').next().unwrap_or_default();
        if self.too_long(line) {
            return Err(Broken::TooLong);
        }
        if self.malformed {
            return Err(Broken::Malformed);
        }
        self.searched = self.text.len();
        self.text.shrink_to(2 * self.text.len());
        Ok(())
    }

    fn too_long(&self, line: &str) -> bool {
        line.len() >= self.longest && line.encode_utf16().count() >= self.longest
    }
}

impl Cut {
    /// For [`Lines::take`].
    pub(super) fn end(&self) -> usize {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use flume_core::config::Scalar;

    use super::*;

    /// What a stream means, read at once: the lines before the first that cannot be one, and what is wrong then.
    fn model(charset: &str, stream: &[u8], longest: usize) -> (Vec<String>, Option<Broken>) {
        let mut text = String::new();
        let charset = Charset::parse(charset).unwrap();
        let malformed = charset.decoder().decode(stream, &mut text, false).is_err();
        let mut lines = vec![];
        let mut rest = text.as_str();
        let long = |line: &str| line.encode_utf16().count() >= longest;
        while let Some((line, after)) = rest.split_once('\n') {
            if long(line) {
                return (lines, Some(Broken::TooLong));
            }
            lines.push(line.to_string());
            rest = after;
        }
        let broken = if long(rest) {
            Some(Broken::TooLong)
        } else {
            malformed.then_some(Broken::Malformed)
        };
        (lines, broken)
    }

    /// The same from `Lines`, fed in pieces.
    fn cut(
        charset: &str,
        pieces: &[&[u8]],
        longest: usize,
        most: usize,
    ) -> (Vec<String>, Option<Broken>) {
        let mut lines = Lines::new(Charset::parse(charset).unwrap(), longest);
        let mut seen = vec![];
        for piece in pieces {
            lines.feed(piece);
            loop {
                let cut = lines.cut(most);
                assert!(cut.events.len() <= most);
                if cut.events.is_empty() {
                    break;
                }
                lines.take(cut.end());
                let bodies = cut
                    .events
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

    /// Small numbers that look random; the same for a seed.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
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
            let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
            let charset = [
                "UTF-8",
                "ISO-8859-1",
                "US-ASCII",
                "UTF-16",
                "UTF-16LE",
                "Shift_JIS",
            ][dice.below(6)];
            // The last word breaks most character sets, so it is rare.
            let word = |dice: &mut Dice| {
                words[if dice.below(40) == 0 {
                    11
                } else {
                    dice.below(11)
                }]
            };
            let stream: Vec<u8> = (0..dice.below(120))
                .flat_map(|_| word(&mut dice).to_vec())
                .collect();
            let longest = 1 + dice.below(40);
            let most = 1 + dice.below(5);
            let mut pieces = vec![];
            let mut rest = stream.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + dice.below(rest.len().min(30)));
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
        let cut = lines.cut(usize::MAX);
        assert_eq!(cut.events.len(), 30_000);
        lines.take(cut.end());
        lines.settle().unwrap();
        assert!(lines.text.capacity() <= 8, "{}", lines.text.capacity());
    }
}
