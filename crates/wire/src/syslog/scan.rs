//! A cursor over bytes, for grammars where each step either fits or does not.

/// What is left of a message.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(whole: &'a [u8]) -> Self {
        Scan { whole, at: 0 }
    }

    /// How many bytes were taken.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.whole[self.at..]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.whole.get(self.at).copied()
    }

    /// Takes one byte if it fits.
    pub(super) fn one(&mut self, fits: impl Fn(u8) -> bool) -> Option<u8> {
        let byte = self.peek().filter(|byte| fits(*byte))?;
        self.at += 1;
        Some(byte)
    }

    /// Takes this byte.
    pub(super) fn byte(&mut self, wanted: u8) -> Option<u8> {
        self.one(|byte| byte == wanted)
    }

    /// Takes `min` to `max` bytes that fit, as many as there are.
    pub(super) fn some(
        &mut self,
        min: usize,
        max: usize,
        fits: impl Fn(u8) -> bool,
    ) -> Option<&'a [u8]> {
        let rest = self.rest();
        let count = rest
            .iter()
            .take(max)
            .take_while(|byte| fits(**byte))
            .count();
        if count < min {
            return None;
        }
        self.at += count;
        Some(&rest[..count])
    }

    /// Takes `count` digits as a number.
    pub(super) fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.some(count, count, |byte| byte.is_ascii_digit())?;
        Some(value(digits))
    }
}

/// The number that digits stand for; at most nine of them.
pub(super) fn value(digits: &[u8]) -> i64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Java's `\s`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}
