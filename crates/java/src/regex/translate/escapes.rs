//! Escapes and character classes of a Java pattern.

use super::*;

impl Translator {
    /// What follows a backslash, outside of a class.
    pub(super) fn escape(&mut self) -> Result<Piece, String> {
        let Some(c) = self.raw() else {
            return Err(self.wrong("a `\\` at the end"));
        };
        if let Some(set) = shorthand(c, self.flags.unicode_classes) {
            self.at += 1;
            return Ok(wide(set.text()));
        }
        match c {
            'p' | 'P' => Ok(wide(self.property()?.text())),
            '1'..='9' => self.back_reference(),
            'k' => {
                self.at += 1;
                if !self.accept("<") {
                    return Err(self.wrong("expected `<` and a name after `\\k`"));
                }
                let name = self.name('>')?;
                let number = self.names.get(&name).copied();
                self.reference(
                    number
                        .ok_or_else(|| self.wrong(&format!("there is no group `{name}` before")))?,
                )
            }
            'A' => self.one(position(r"\A")),
            'z' => self.one(position(r"\z")),
            'Z' => {
                let end = self.line_end(false);
                self.one(end)
            }
            'b' | 'B' => {
                self.at += 1;
                if c == 'b' && self.raw() == Some('{') {
                    return Err(self.wrong("`\\b{...}` is not known here"));
                }
                Ok(self.word_edge(c == 'B'))
            }
            'R' => self.one(wide(
                r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])".into(),
            )),
            _ => {
                let c = self.character()?;
                Ok(self.literal(c))
            }
        }
    }

    fn one(&mut self, piece: Piece) -> Result<Piece, String> {
        self.at += 1;
        Ok(piece)
    }

    /// `\1`: further digits belong to it while there are so many groups.
    fn back_reference(&mut self) -> Result<Piece, String> {
        let mut number = 0;
        while let Some(digit) = self.raw().and_then(|c| c.to_digit(10)) {
            let longer = number * 10 + digit as usize;
            if number > 0 && longer > self.groups {
                break;
            }
            number = longer;
            self.at += 1;
        }
        self.reference(number)
    }

    fn reference(&mut self, number: usize) -> Result<Piece, String> {
        if number > self.groups || self.open.contains(&number) {
            return Err(self.wrong(&format!(
                "a reference to group {number}, which does not end before it"
            )));
        }
        if self.flags.case.ignore_case {
            return Err(self.wrong("a back-reference with the flag `i` is not known here"));
        }
        self.uses.backtracking = true;
        Ok(Piece {
            may_be_empty: true,
            ..wide(format!(r"(?:\{number})"))
        })
    }

    /// `\pL`, `\p{name}`, `\P{name}`, `\p{^…}` is none of Java's.
    fn property(&mut self) -> Result<CharSet, String> {
        let negated = self.raw() == Some('P');
        self.at += 1;
        let name: String = if self.accept("{") {
            self.until('}')?
        } else {
            self.at += 1;
            self.chars
                .get(self.at - 1)
                .map(|(c, _)| c.to_string())
                .unwrap_or_default()
        };
        let set = property(&name, self.flags.unicode_classes, self.flags.case)
            .map_err(|text| self.wrong(&text))?;
        Ok(if negated { set.negate() } else { set })
    }

    /// The character that an escape stands for.
    fn character(&mut self) -> Result<char, String> {
        let c = self.raw().ok_or_else(|| self.wrong("a `\\` at the end"))?;
        self.at += 1;
        let code = match c {
            't' => 0x09,
            'n' => 0x0A,
            'r' => 0x0D,
            'f' => 0x0C,
            'a' => 0x07,
            'e' => 0x1B,
            'c' => {
                let control = self.raw().filter(char::is_ascii);
                self.at += 1;
                control
                    .map(|c| c as u32 ^ 64)
                    .ok_or_else(|| self.wrong("expected an ASCII character after `\\c`"))?
            }
            '0' => self.octal()?,
            'x' if self.accept("{") => {
                let digits = self.until('}')?;
                let code = u32::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|_| !digits.starts_with('+'));
                code.ok_or_else(|| self.wrong("expected hexadecimal digits in `\\x{...}`"))?
            }
            'x' => self.hexadecimal(2)?,
            'u' => {
                let first = self.hexadecimal(4)?;
                if (0xD800..0xDC00).contains(&first) && self.accept(r"\u") {
                    let second = self.hexadecimal(4)?;
                    0x10000 + ((first - 0xD800) << 10) + second.wrapping_sub(0xDC00)
                } else {
                    first
                }
            }
            c if !c.is_ascii_alphanumeric() => c as u32,
            c => return Err(self.wrong(&format!("`\\{c}` is not known here"))),
        };
        char::from_u32(code).ok_or_else(|| self.wrong("an escape that stands for no character"))
    }

    fn octal(&mut self) -> Result<u32, String> {
        let digit = |found: Option<char>| found.and_then(|c| c.to_digit(8));
        let first =
            digit(self.raw()).ok_or_else(|| self.wrong("expected octal digits after `\\0`"))?;
        self.at += 1;
        let most = if first <= 3 { 2 } else { 1 };
        let mut code = first;
        for _ in 0..most {
            let Some(next) = digit(self.raw()) else { break };
            self.at += 1;
            code = code * 8 + next;
        }
        Ok(code)
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.raw().and_then(|c| c.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("expected a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }

    /// A class, from behind its `[` to behind its `]`.
    pub(super) fn class(&mut self) -> Result<CharSet, String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.wrong("classes within classes, too deep"));
        }
        self.open.push(0);
        let negated = self.peek() == Some('^');
        if negated {
            self.at += 1;
        }
        let mut nested = false;
        let mut whole: Option<CharSet> = None;
        let mut part: Option<CharSet> = None;
        loop {
            let add = |part: &mut Option<CharSet>, set: CharSet| {
                *part = Some(part.take().unwrap_or_else(CharSet::empty).union(&set));
            };
            match self.peek() {
                None if self.at == self.chars.len() => {
                    return Err(self.wrong("a `[` without its `]`"));
                }
                Some(']') if part.is_some() => {
                    self.at += 1;
                    break;
                }
                Some(']') if whole.is_some() => return Err(self.wrong("nothing after `&&`")),
                Some('[') => {
                    nested = true;
                    self.at += 1;
                    let inner = self.class()?;
                    add(&mut part, inner);
                }
                Some('&') if self.accept("&&") => {
                    nested = true;
                    let left = part
                        .take()
                        .ok_or_else(|| self.wrong("nothing before `&&`"))?;
                    whole = Some(
                        whole
                            .take()
                            .map_or(left.clone(), |whole| whole.intersect(&left)),
                    );
                }
                Some('#') if self.flags.comments => {
                    return Err(self.wrong("a `#` in a class with the flag `x`; write `\\#`"));
                }
                _ => {
                    let set = self.class_item()?;
                    add(&mut part, set);
                }
            }
        }
        self.open.pop();
        let part = part.unwrap_or_else(CharSet::empty);
        let set = whole.map_or(part.clone(), |whole| whole.intersect(&part));
        if negated && nested {
            return Err(
                self.wrong("versions of Java differ about `[^...]` with a class or `&&` in it")
            );
        }
        Ok(if negated { set.negate() } else { set })
    }

    /// A character, a range or a shorthand.
    fn class_item(&mut self) -> Result<CharSet, String> {
        if self.peek() == Some('\\') {
            self.at += 1;
            let c = self.raw().unwrap_or_default();
            if let Some(set) = shorthand(c, self.flags.unicode_classes) {
                self.at += 1;
                return Ok(set);
            }
            if matches!(c, 'p' | 'P') {
                return self.property();
            }
            self.at -= 1;
        }
        let first = self.class_char()?;
        if self.peek() != Some('-')
            || self
                .chars
                .get(self.at + 1)
                .is_none_or(|next| matches!(next, (']' | '[', false)))
        {
            return Ok(CharSet::range(first, first).folded(self.flags.case));
        }
        self.at += 1;
        self.skip_comments();
        let last = self.class_char()?;
        if last < first {
            return Err(self.wrong("a range that ends before it begins"));
        }
        Ok(CharSet::range(first, last).folded(self.flags.case))
    }

    fn class_char(&mut self) -> Result<char, String> {
        if self.peek() == Some('\\') {
            self.at += 1;
            return self.character();
        }
        let c = self
            .raw()
            .ok_or_else(|| self.wrong("a `[` without its `]`"))?;
        self.at += 1;
        Ok(c)
    }
}
