//! Text as Java holds it, on its way to UTF-8: escapes may give half of a surrogate pair.

/// Gathers a string. A half of a pair that stays alone becomes `lone`.
pub(super) struct JavaText {
    text: String,
    high: Option<u16>,
    lone: char,
}

impl JavaText {
    pub(super) fn new(lone: char) -> Self {
        JavaText {
            text: String::new(),
            high: None,
            lone,
        }
    }

    pub(super) fn push_str(&mut self, part: &str) {
        if !part.is_empty() {
            self.flush();
            self.text.push_str(part);
        }
    }

    /// Appends one UTF-16 unit.
    pub(super) fn push_unit(&mut self, unit: u16) {
        let high = self.high.take();
        match (high, unit) {
            (_, 0xD800..=0xDBFF) => {
                if high.is_some() {
                    self.text.push(self.lone);
                }
                self.high = Some(unit);
            }
            (Some(high), 0xDC00..=0xDFFF) => {
                let pair = char::decode_utf16([high, unit]).flatten();
                self.text.extend(pair);
            }
            _ => {
                if high.is_some() {
                    self.text.push(self.lone);
                }
                self.text
                    .push(char::from_u32(unit.into()).unwrap_or(self.lone));
            }
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.text
    }

    fn flush(&mut self) {
        if self.high.take().is_some() {
            self.text.push(self.lone);
        }
    }
}
