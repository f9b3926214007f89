//! Reads JSON token by token, with the tolerance of Gson's lenient mode: comments, single quotes, text without quotes,
//! `;` for `,`, `=` for `:`, and nothing between two commas for `null`. What follows the document is read strictly.

use std::borrow::Cow;

use memchr::{memchr2, memmem};

use super::{JsonError, text::JavaText};

/// What a document is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonToken<'a> {
    BeginArray,
    EndArray,
    BeginObject,
    EndObject,
    /// The name of a member; its value follows.
    Name(Cow<'a, str>),
    /// A string, a number or a boolean: all of them are text for Flume.
    Text(Cow<'a, str>),
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    EmptyArray,
    Array,
    EmptyObject,
    Object,
    /// In an object, behind a name.
    DanglingName,
}

/// A document that is read from its begin to its end.
pub(super) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    scopes: Vec<Scope>,
    /// What a lone half of a surrogate pair becomes.
    lone: char,
}

/// Gson skips these bytes: they keep a browser from running a document as a script.
const PREFIX: &str = ")]}'\n";

impl<'a> JsonReader<'a> {
    pub(super) fn new(text: &'a str, lone: char) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        JsonReader {
            text,
            at: 0,
            scopes: vec![],
            lone,
        }
    }

    /// Goes to the first token. `false`: there is none at all.
    pub(super) fn begin(&mut self) -> Result<bool, JsonError> {
        if self.skip_blanks()?.is_none() {
            return Ok(false);
        }
        if self.text[self.at..].starts_with(PREFIX) {
            self.at += PREFIX.len();
        }
        Ok(self.skip_blanks()?.is_some())
    }

    /// The next token of the document.
    pub(super) fn next(&mut self) -> Result<JsonToken<'a>, JsonError> {
        let scope = self.scopes.last().copied();
        match scope {
            None => {}
            Some(Scope::EmptyArray) => self.enter(Scope::Array),
            Some(Scope::Array) => match self.mark()? {
                b']' => return Ok(self.leave(JsonToken::EndArray)),
                b',' | b';' => {}
                _ => return Err(self.wrong("expected `,` or `]`")),
            },
            Some(scope @ (Scope::EmptyObject | Scope::Object)) => return self.next_name(scope),
            Some(Scope::DanglingName) => {
                self.enter(Scope::Object);
                match self.mark()? {
                    b':' => {}
                    b'=' => self.at += usize::from(self.peek() == Some(b'>')),
                    _ => return Err(self.wrong("expected `:`")),
                }
            }
        }
        self.next_value(scope == Some(Scope::EmptyArray))
    }

    fn next_name(&mut self, scope: Scope) -> Result<JsonToken<'a>, JsonError> {
        if scope == Scope::Object {
            match self.mark()? {
                b'}' => return Ok(self.leave(JsonToken::EndObject)),
                b',' | b';' => {}
                _ => return Err(self.wrong("expected `,` or `}`")),
            }
        }
        let name = match self.mark()? {
            quote @ (b'"' | b'\'') => self.quoted(quote)?,
            b'}' if scope == Scope::EmptyObject => return Ok(self.leave(JsonToken::EndObject)),
            byte if is_literal(byte) => {
                self.at -= 1;
                Cow::Borrowed(self.unquoted())
            }
            _ => return Err(self.wrong("expected a name")),
        };
        self.enter(Scope::DanglingName);
        Ok(JsonToken::Name(name))
    }

    fn next_value(&mut self, first_of_array: bool) -> Result<JsonToken<'a>, JsonError> {
        let in_array = self.scopes.last() == Some(&Scope::Array);
        match self.mark()? {
            b']' if in_array && first_of_array => Ok(self.leave(JsonToken::EndArray)),
            b']' | b',' | b';' if in_array => {
                self.at -= 1;
                Ok(JsonToken::Null)
            }
            quote @ (b'"' | b'\'') => Ok(JsonToken::Text(self.quoted(quote)?)),
            b'[' => {
                self.scopes.push(Scope::EmptyArray);
                Ok(JsonToken::BeginArray)
            }
            b'{' => {
                self.scopes.push(Scope::EmptyObject);
                Ok(JsonToken::BeginObject)
            }
            byte if is_literal(byte) => {
                self.at -= 1;
                Ok(word(self.unquoted()))
            }
            _ => Err(self.wrong("expected a value")),
        }
    }

    /// Reads over the value that comes next.
    pub(super) fn skip_value(&mut self) -> Result<(), JsonError> {
        let depth = self.scopes.len();
        loop {
            self.next()?;
            if self.scopes.len() <= depth {
                return Ok(());
            }
        }
    }

    /// Checks that nothing but white space follows; comments are no white space here.
    pub(super) fn end(&self) -> Result<(), JsonError> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Ok(());
        }
        let at = self.text.len() - rest.len();
        Err(self.wrong_at(at, "expected nothing behind the array"))
    }

    /// For a value that stands here exactly as one that was read before: goes behind it.
    pub(super) fn skip_same(&mut self, value: &str) -> bool {
        let start = self.value_start();
        let is_same = self.text[start..].starts_with(value);
        if is_same {
            self.at = start + value.len();
            self.enter(Scope::Object);
        }
        is_same
    }

    /// Where the value of a member begins, if it is written plainly.
    pub(super) fn value_start(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b':' | b' '));
        self.at + blank.count()
    }

    /// What was read from `start` on.
    pub(super) fn read_from(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// An error at what was read last.
    pub(super) fn wrong(&self, text: &str) -> JsonError {
        self.wrong_at(self.at.saturating_sub(1), text)
    }

    fn wrong_at(&self, at: usize, text: &str) -> JsonError {
        let before = &self.text.as_bytes()[..at];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = at - memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1) + 1;
        JsonError::Syntax(format!("line {line}, byte {column}: {text}"))
    }

    /// Java tells apart digits that are none, and everything else that is wrong with an escape.
    fn bad_escape(&self) -> JsonError {
        let digits: String = self.text[self.at..].chars().take(5).collect();
        if digits.starts_with('u') && digits.chars().count() == 5 {
            return JsonError::Unreadable(format!("\\{digits}"));
        }
        self.wrong("expected an escape such as `\\n` or `\\u0041`")
    }

    fn enter(&mut self, scope: Scope) {
        if let Some(last) = self.scopes.last_mut() {
            *last = scope;
        }
    }

    fn leave(&mut self, token: JsonToken<'a>) -> JsonToken<'a> {
        self.scopes.pop();
        token
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is neither white space nor in a comment; it is read.
    fn mark(&mut self) -> Result<u8, JsonError> {
        let found = self.skip_blanks()?;
        self.at += 1;
        found.ok_or_else(|| self.wrong("the document ends too early"))
    }

    /// The same without reading it. `None` at the end.
    fn skip_blanks(&mut self) -> Result<Option<u8>, JsonError> {
        loop {
            let Some(byte) = self.peek() else {
                return Ok(None);
            };
            let rest = &self.text[self.at..];
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.skip_line(),
                b'/' if rest.starts_with("//") => self.skip_line(),
                b'/' if rest.starts_with("/*") => {
                    let end = memmem::find(&rest.as_bytes()[2..], b"*/");
                    let end = end.ok_or_else(|| self.wrong("the comment has no end"))?;
                    self.at += end + 4;
                }
                _ => return Ok(Some(byte)),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
    }

    fn unquoted(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| !is_literal(byte));
        let literal = &rest[..end.unwrap_or(rest.len())];
        self.at += literal.len();
        literal
    }

    /// What stands up to the closing quote; the opening one is read.
    fn quoted(&mut self, quote: u8) -> Result<Cow<'a, str>, JsonError> {
        let mut gathered: Option<JavaText> = None;
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = memchr2(quote, b'\\', rest.as_bytes()) else {
                self.at = self.text.len();
                return Err(self.wrong("the string has no end"));
            };
            let part = &rest[..end];
            self.at += end + 1;
            if rest.as_bytes()[end] == quote {
                return Ok(match gathered {
                    None => Cow::Borrowed(part),
                    Some(mut text) => {
                        text.push_str(part);
                        Cow::Owned(text.finish())
                    }
                });
            }
            let text = gathered.get_or_insert_with(|| JavaText::new(self.lone));
            text.push_str(part);
            match escape(&self.text[self.at..]) {
                Some((unit, length)) => {
                    text.push_unit(unit);
                    self.at += length;
                }
                None => return Err(self.bad_escape()),
            }
        }
    }
}

/// The UTF-16 unit that an escape means, and how many bytes behind the backslash it takes.
fn escape(rest: &str) -> Option<(u16, usize)> {
    let unit = match *rest.as_bytes().first()? {
        b'u' => {
            let digits = rest.get(1..5)?;
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            return Some((unit, 5));
        }
        b't' => b'\t',
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b'f' => 12,
        byte @ (b'\n' | b'\'' | b'"' | b'\\' | b'/') => byte,
        _ => return None,
    };
    Some((unit.into(), 1))
}

/// Whether a byte can be in text without quotes.
fn is_literal(byte: u8) -> bool {
    !matches!(
        byte,
        b'/' | b'\\'
            | b';'
            | b'#'
            | b'='
            | b'{'
            | b'}'
            | b'['
            | b']'
            | b':'
            | b','
            | b' '
            | b'\t'
            | 12
            | b'\r'
            | b'\n'
    )
}

/// What text without quotes means as a value.
fn word(text: &str) -> JsonToken<'_> {
    let is = |keyword: &str| text.eq_ignore_ascii_case(keyword);
    if is("null") {
        return JsonToken::Null;
    }
    let known = ["true", "false"].into_iter().find(|keyword| is(keyword));
    JsonToken::Text(Cow::Borrowed(known.unwrap_or(text)))
}
