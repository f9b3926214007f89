//! JSON as people write it: comments, bare keys, single quotes and missing or surplus commas are understood, and
//! each such liberty is noted. Every key and value keeps its place.

use std::sync::Arc;

use flume_core::Span;

/// Objects and lists within each other.
const DEPTH_MAX: usize = 64;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned {
    /// What is there.
    pub value: Value,
    /// Where it begins.
    pub place: Span,
}

/// What can stand in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, escapes resolved.
    Text(String),
    /// `[…]`
    List(Vec<Spanned>),
    /// `{…}`, in the order of the file.
    Object(Vec<Entry>),
}

impl Value {
    /// What a message calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Where the name stands.
    pub place: Span,
    /// Its value.
    pub value: Spanned,
}

/// A file that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The only value.
    pub root: Spanned,
    /// Each liberty taken, with the first place: "bare keys".
    pub liberties: Vec<(&'static str, Span)>,
}

/// Why and where a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub place: Span,
    /// What is wrong: "expected `:` after the key, found `}`".
    pub text: String,
}

/// Reads a whole file.
///
/// # Errors
/// The first thing that cannot be understood.
pub fn parse(file: &str, text: &str) -> Result<Parsed, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = Arc::from(file);
    let mut reader = Reader {
        file,
        rest: text,
        line: 1,
        column: 1,
        liberties: vec![],
    };
    reader.blanks()?;
    let root = reader.value(0)?;
    reader.blanks()?;
    match reader.peek() {
        None => Ok(Parsed {
            root,
            liberties: reader.liberties,
        }),
        Some(_) => Err(reader.expected("the end of the file")),
    }
}

struct Reader<'a> {
    file: Arc<str>,
    rest: &'a str,
    line: u32,
    column: u32,
    liberties: Vec<(&'static str, Span)>,
}

impl<'a> Reader<'a> {
    fn place(&self, width: usize) -> Span {
        let width = u32::try_from(width).unwrap_or(u32::MAX).max(1);
        Span {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            width,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(c)
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.next();
        }
    }

    /// Takes characters while they are wanted.
    fn run(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (run, _) = self.rest.split_at(end);
        self.skip(run.chars().count());
        run
    }

    fn liberty(&mut self, what: &'static str, place: Span) {
        if !self.liberties.iter().any(|(known, _)| *known == what) {
            self.liberties.push((what, place));
        }
    }

    fn error(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError {
            place: self.place(1),
            text: text.into(),
        }
    }

    fn expected(&self, what: &str) -> SyntaxError {
        match self.peek() {
            None => self.error(format!("expected {what}, but the file ends")),
            Some(c) => self.error(format!("expected {what}, found `{c}`")),
        }
    }

    /// Skips white space and comments.
    fn blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.run(char::is_whitespace);
            let start = self.place(2);
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                self.run(|c| c != '\n');
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(SyntaxError {
                        place: start,
                        text: "the comment has no end `*/`".into(),
                    });
                };
                let length = comment[..end].chars().count();
                self.skip(length + 4);
            } else {
                return Ok(());
            }
            self.liberty("comments", start);
        }
    }

    fn value(&mut self, depth: usize) -> Result<Spanned, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!(
                "more than {DEPTH_MAX} objects and lists within each other"
            )));
        }
        let start = self.place(1);
        let line = self.line;
        let column = self.column;
        let value = match self.peek() {
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::List(self.list(depth)?),
            Some('"' | '\'') => Value::Text(self.string()?),
            _ => self.word(depth)?,
        };
        let width = if self.line == line {
            self.column - column
        } else {
            1
        };
        Ok(Spanned {
            value,
            place: Span { width, ..start },
        })
    }

    fn word(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let place = self.place(1);
        let word = self.run(is_bare);
        let number = || word.parse::<f64>().is_ok_and(f64::is_finite);
        match word {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "" if depth == 0 => Err(self.expected("`{`")),
            "" => Err(self.expected("a value")),
            _ if number() => Ok(Value::Number(word.into())),
            _ => {
                let width = u32::try_from(word.chars().count()).unwrap_or(1);
                // The word itself is not repeated: it may be a password.
                let text = "a text needs quotes".into();
                Err(SyntaxError {
                    place: Span { width, ..place },
                    text,
                })
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        let start = self.place(1);
        let mut entries = vec![];
        self.skip(1);
        while self.another('}', entries.is_empty(), &start)? {
            let place = self.place(1);
            let column = self.column;
            let key = match self.peek() {
                Some('"' | '\'') => self.string()?,
                _ => match self.run(is_bare) {
                    "" => return Err(self.expected("a key or `}`")),
                    bare => {
                        self.liberty("bare keys", place.clone());
                        bare.into()
                    }
                },
            };
            let place = Span {
                width: self.column.saturating_sub(column).max(1),
                ..place
            };
            self.blanks()?;
            if self.peek() != Some(':') {
                return Err(self.expected(&format!("`:` after the key `{key}`")));
            }
            self.skip(1);
            self.blanks()?;
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, place, value });
        }
        Ok(entries)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Spanned>, SyntaxError> {
        let start = self.place(1);
        let mut items = vec![];
        self.skip(1);
        while self.another(']', items.is_empty(), &start)? {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    /// Steps over what separates two members. Whether there is another one; if not, `close` was taken.
    fn another(&mut self, close: char, first: bool, open: &Span) -> Result<bool, SyntaxError> {
        self.blanks()?;
        let place = self.place(1);
        let comma = !first && self.peek() == Some(',');
        if comma {
            self.skip(1);
            self.blanks()?;
        }
        match self.peek() {
            None => {
                let text = format!("this is not closed: the file ends without `{close}`");
                Err(SyntaxError {
                    place: open.clone(),
                    text,
                })
            }
            Some(c) if c == close => {
                if comma {
                    self.liberty("surplus commas", place);
                }
                self.skip(1);
                Ok(false)
            }
            Some(_) => {
                if !comma && !first {
                    self.liberty("missing commas", place);
                }
                Ok(true)
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.place(1);
        let quote = self.next();
        if quote == Some('\'') {
            self.liberty("single quotes", start.clone());
        }
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    return Err(SyntaxError {
                        place: start,
                        text: "the text has no closing quote".into(),
                    });
                }
                c if c == quote => {
                    self.skip(1);
                    return Ok(text);
                }
                Some('\\') => {
                    self.skip(1);
                    text.push(self.escape()?);
                }
                Some(c) => {
                    self.skip(1);
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let error = self.expected("one of \" \\ / b f n r t u after `\\`");
        Ok(match self.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(),
            Some(c @ ('"' | '\'' | '\\' | '/')) => c,
            _ => return Err(error),
        })
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff if self.rest.starts_with("\\u") => {
                self.skip(2);
                let second = self.hex()?;
                0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let error = self.error("expected four hexadecimal digits after `\\u`");
        let digits = self
            .rest
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or(error.clone())?;
        self.skip(4);
        u32::from_str_radix(digits, 16).map_err(|_| error)
    }
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "_-.$+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a":1}` of what was read, and the liberties.
    fn shown(value: &Value) -> String {
        match value {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.clone(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| shown(&item.value)).collect();
                format!("[{}]", items.join(","))
            }
            Value::Object(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| format!("{}:{}", entry.key, shown(&entry.value.value)))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let seen = match parse("f", text) {
            Ok(parsed) => {
                let liberties: Vec<_> = parsed
                    .liberties
                    .iter()
                    .map(|(what, place)| format!(" {what} {place}"))
                    .collect();
                shown(&parsed.root.value) + &liberties.concat()
            }
            Err(error) => format!("{}: {}", error.place, error.text),
        };
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn json_is_read_without_a_word() {
        check(
            r#"{"a": 1, "b": [true, null, -1.5e3], "c": {"d": "x\n\u00e9\ud83d\ude00"}}"#,
            "{a:1,b:[true,null,-1.5e3],c:{d:\"x\\né😀\"}}",
        );
        check("\u{feff}{}", "{}");
        check("[]", "[]");
    }

    #[test]
    fn liberties_are_taken_and_noted() {
        let sites = "{\n    \"hdp\": {\n        flume_user: \"flume\"\n        flume_group: \"flume\"\n    }\n}\n";
        check(
            sites,
            "{hdp:{flume_user:\"flume\",flume_group:\"flume\"}} bare keys f:3:9 missing commas f:4:9",
        );
        check(
            "{'a': 1, // why\n /* or\n not */ }",
            "{a:1} single quotes f:1:2 comments f:1:10 surplus commas f:1:8",
        );
        check("# first\n{}", "{} comments f:1:1");
    }

    #[test]
    fn errors_name_the_place_and_what_would_be_right() {
        check("", "f:1:1: expected `{`, but the file ends");
        check("{\n a: flume\n}", "f:2:5: a text needs quotes");
        check(
            "{\n a \"flume\"\n}",
            "f:2:4: expected `:` after the key `a`, found `\"`",
        );
        check(
            "{\n a: {\n",
            "f:2:5: this is not closed: the file ends without `}`",
        );
        check("{a: \"x\n\"}", "f:1:5: the text has no closing quote");
        check("{a: 1} {", "f:1:8: expected the end of the file, found `{`");
        check(
            "{a: \"\\q\"}",
            "f:1:7: expected one of \" \\ / b f n r t u after `\\`, found `q`",
        );
        check("{a: \"\\ud800\"}", "f:1:12: half of a surrogate pair");
        check("/* x", "f:1:1: the comment has no end `*/`");
        check("{,}", "f:1:2: expected a key or `}`, found `,`");
        check(
            &"[".repeat(100),
            "f:1:66: more than 64 objects and lists within each other",
        );
    }

    #[test]
    fn cut_anywhere_it_does_not_panic() {
        let text = "{'a': [1, {b: \"x\\u00e9\\ud83d\\ude00\"}] /* é */ c: tru}";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = parse("f", &text[..end]);
            if text.is_char_boundary(text.len() - end) {
                let _ = parse("f", &text[text.len() - end..]);
            }
        }
    }
}
