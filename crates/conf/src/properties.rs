//! Java's `.properties` dialect, as `java.util.Properties.load` reads it, with the place of everything.
//!
//! Natural lines end at LF, CR or CRLF; a backslash at their end joins the next; `#` and `!` begin comments;
//! a key ends at the first unescaped `=`, `:` or blank; `\t \n \r \f \uXXXX` are escapes, any other character
//! after a backslash stands for itself.

use std::sync::Arc;

use flume_core::{Code, Diagnostic, Span, secrets::is_secret_name};

/// A key and its value, escapes resolved, as they stand in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where the key stands.
    pub key_place: Span,
    /// Where the value stands; behind the key, if it is empty.
    pub value_place: Span,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// In the order of the file; keys may repeat.
    pub entries: Vec<Entry>,
    /// What Java would choke on, or read differently than meant.
    pub diagnostics: Vec<Diagnostic>,
}

/// The text of a file: UTF-8, or ISO-8859-1 when it is not valid UTF-8. A byte-order mark is left out.
/// With what a reader of the file should know.
pub fn decode(file: &Arc<str>, bytes: &[u8]) -> (String, Vec<Diagnostic>) {
    let mut diagnostics = vec![];
    let mut note = |code, text: &str| {
        let place = Span {
            file: file.clone(),
            line: 1,
            column: 1,
            width: 1,
        };
        diagnostics.push(Diagnostic::new(code, place, "", text));
    };
    let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf");
    if unmarked.is_some() {
        note(
            Code::ByteOrderMark,
            "begins with a byte-order mark, which Flume takes as part of the first line",
        );
    }
    let bytes = unmarked.unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map(String::from)
        .unwrap_or_else(|_| {
            note(Code::NotUtf8, "is not UTF-8 and is read as ISO-8859-1");
            bytes.iter().map(|&byte| char::from(byte)).collect()
        });
    (text, diagnostics)
}

/// Reads a whole file.
pub fn parse(file: &Arc<str>, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut reader = LineReader {
        chars: text.chars().peekable(),
        line: 1,
        column: 1,
    };
    while let Some(line) = reader.next_logical() {
        parsed.add(file, &line);
    }
    parsed
}

/// A character with its line and column.
#[derive(Clone, Copy)]
struct Placed {
    char: char,
    line: u32,
    column: u32,
}

struct LineReader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    column: u32,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

impl LineReader<'_> {
    /// The next character; LF and CR come as `\n`, CRLF as `\r`.
    fn next(&mut self) -> Option<Placed> {
        let char = self.chars.next()?;
        let placed = Placed {
            char,
            line: self.line,
            column: self.column,
        };
        if matches!(char, '\r' | '\n') {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        let pair = char == '\r' && self.chars.next_if_eq(&'\n').is_some();
        Some(if char == '\r' && !pair {
            Placed {
                char: '\n',
                ..placed
            }
        } else {
            placed
        })
    }

    /// The next line that is neither empty nor a comment, its continuations joined, escapes still in it.
    fn next_logical(&mut self) -> Option<Vec<Placed>> {
        let mut line: Vec<Placed> = vec![];
        let mut skip_blanks = true;
        let mut escaped = false;
        while let Some(placed) = self.next() {
            if skip_blanks && is_blank(placed.char) {
                continue;
            }
            skip_blanks = false;
            match placed.char {
                '#' | '!' if line.is_empty() => {
                    while self
                        .next()
                        .is_some_and(|placed| !matches!(placed.char, '\n' | '\r'))
                    {
                    }
                    skip_blanks = true;
                }
                '\n' | '\r' if escaped => {
                    line.pop();
                    (skip_blanks, escaped) = (true, false);
                    // At the very end Java makes a line of what there is, be it nothing.
                    if placed.char == '\n' && self.chars.peek().is_none() {
                        return Some(line);
                    }
                }
                '\n' | '\r' if line.is_empty() => skip_blanks = true,
                '\n' | '\r' => return Some(line),
                char => {
                    escaped = char == '\\' && !escaped;
                    line.push(placed);
                }
            }
        }
        if line.is_empty() {
            return None;
        }
        // A lone backslash at the very end is a line with an empty key, as in Java.
        if escaped {
            line.pop();
        }
        Some(line)
    }
}

impl Parsed {
    fn add(&mut self, file: &Arc<str>, line: &[Placed]) {
        let (key, rest) = split(line);
        let key_text = unescape(key);
        let value_text = unescape(rest);
        let key_place = place(file, key, line);
        let value_place = if rest.is_empty() {
            behind(file, line)
        } else {
            place(file, rest, line)
        };
        for text in [&key_text, &value_text] {
            if let Err(bad) = text {
                let place = place(file, bad, line);
                let hint = Some("write \\\\u for a literal \\u".into());
                let text =
                    "\\u must be followed by four hexadecimal digits; Flume refuses the whole file";
                let key = key_text.as_ref().map_or("", String::as_str);
                let found = Diagnostic::new(Code::BadEscape, place, key, text);
                self.diagnostics.push(found.hint(hint));
            }
        }
        if let (Ok(key), Ok(value)) = (key_text, value_text) {
            if let Some(dropped) = dropped_backslash(rest) {
                let place = place(file, dropped, line);
                let seen = if is_secret_name(&key) {
                    "the value without it".into()
                } else {
                    format!("`{value}`")
                };
                let text = format!("the format drops this backslash: Flume sees {seen}");
                let hint = Some("write two backslashes for one".into());
                let found = Diagnostic::new(Code::BackslashDropped, place, key.trim(), text);
                self.diagnostics.push(found.hint(hint));
            }
            self.entries.push(Entry {
                key,
                value,
                key_place,
                value_place,
            });
        }
    }
}

/// Key and value of a logical line.
fn split(line: &[Placed]) -> (&[Placed], &[Placed]) {
    let mut escaped = false;
    let ends = |placed: &Placed| {
        let ends = !escaped && (is_blank(placed.char) || matches!(placed.char, '=' | ':'));
        escaped = placed.char == '\\' && !escaped;
        ends
    };
    let end = line.iter().position(ends).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = skip_blanks(rest);
    let rest = match rest.first() {
        Some(Placed {
            char: '=' | ':', ..
        }) => skip_blanks(&rest[1..]),
        _ => rest,
    };
    (key, rest)
}

fn skip_blanks(line: &[Placed]) -> &[Placed] {
    let start = line
        .iter()
        .position(|placed| !is_blank(placed.char))
        .unwrap_or(line.len());
    &line[start..]
}

/// The text, or the escape that is not one.
fn unescape(raw: &[Placed]) -> Result<String, &[Placed]> {
    // Escapes are UTF-16 units: two of them may make one character.
    let mut units: Vec<u16> = vec![];
    let mut at = 0;
    while let Some(placed) = raw.get(at) {
        at += 1;
        let mut char = placed.char;
        if char == '\\' {
            let Some(next) = raw.get(at) else { break };
            at += 1;
            if next.char == 'u' {
                let digits = raw
                    .get(at..at + 4)
                    .map(|digits| digits.iter().map(|digit| digit.char).collect::<String>());
                // `from_str_radix` would take a sign.
                let digits =
                    digits.filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(&digits, 16).ok());
                units.push(unit.ok_or(&raw[at - 2..raw.len().min(at + 4)])?);
                at += 4;
                continue;
            }
            char = match next.char {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                other => other,
            };
        }
        units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

/// The first backslash that has no effect, before a character where a path or a regular expression may need it.
fn dropped_backslash(raw: &[Placed]) -> Option<&[Placed]> {
    let mut at = 0;
    while at + 1 < raw.len() {
        if raw[at].char != '\\' {
            at += 1;
            continue;
        }
        let next = raw[at + 1].char;
        let is_escape = "tnrfu".contains(next);
        if !is_escape && (next.is_ascii_alphanumeric() || ".|()[]{}*+?^$-".contains(next)) {
            return Some(&raw[at..at + 2]);
        }
        at += 2;
    }
    None
}

/// The place of a part of a line: as wide as what stands on its first natural line, trailing blanks left out.
fn place(file: &Arc<str>, part: &[Placed], line: &[Placed]) -> Span {
    let Some(first) = part.first() else {
        return behind(file, line);
    };
    let on_line = part.iter().take_while(|placed| placed.line == first.line);
    let last = on_line
        .filter(|placed| !is_blank(placed.char))
        .last()
        .unwrap_or(first);
    Span {
        file: file.clone(),
        line: first.line,
        column: first.column,
        width: last.column + 1 - first.column,
    }
}

/// The place right behind a line.
fn behind(file: &Arc<str>, line: &[Placed]) -> Span {
    let (last_line, column) = line
        .last()
        .map_or((1, 1), |last| (last.line, last.column + 1));
    Span {
        file: file.clone(),
        line: last_line,
        column,
        width: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let parsed = parse(&"f".into(), text);
        let seen: Vec<_> = parsed
            .entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.value.as_str()))
            .collect();
        assert_eq!(seen, expected, "{text:?}");
    }

    #[test]
    fn keys_end_and_values_begin_as_in_java() {
        check("a=1", &[("a", "1")]);
        check("a = 1 ", &[("a", "1 ")]);
        check("a:1\nb 2\nc\t:\t3", &[("a", "1"), ("b", "2"), ("c", "3")]);
        check("a == 1", &[("a", "= 1")]);
        check("a\\=b\\:c\\ d=1", &[("a=b:c d", "1")]);
        check("a\n=1\n:2", &[("a", ""), ("", "1"), ("", "2")]);
        check("  \u{c}a=1", &[("a", "1")]);
    }

    #[test]
    fn comments_and_empty_lines_are_left_out() {
        check(
            "# a=1\\\nb=2\n\n ! c=3\n\t\nd=#4",
            &[("b", "2"), ("d", "#4")],
        );
        check(
            "\\\n# a comment, as nothing has been said yet\nb=2",
            &[("b", "2")],
        );
    }

    #[test]
    fn lines_continue_over_every_line_end() {
        check("a=1\\\n  2\\\r\n\t3\\\r4", &[("a", "1234")]);
        check("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]);
        check("a=1\\", &[("a", "1")]);
        check("a=1\\\n\nb=2", &[("a", "1"), ("b", "2")]);
        check("a=1\\\n# 2", &[("a", "1# 2")]);
    }

    #[test]
    fn escapes() {
        check("a=\\t\\n\\r\\f\\u0041\\z\\\"", &[("a", "\t\n\r\u{c}Az\"")]);
        check("a=\\ud83d\\ude00 \\u00E9", &[("a", "😀 é")]);
        check("a=C:\\\\logs", &[("a", "C:\\logs")]);
    }

    #[test]
    fn places_count_characters() {
        let parsed = parse(&"f".into(), "# é\r\n  é.key = wert ü  \nb=1\\\n   2\nc");
        let places: Vec<_> = (parsed.entries.iter())
            .flat_map(|entry| [&entry.key_place, &entry.value_place])
            .map(|place| (place.line, place.column, place.width))
            .collect();
        assert_eq!(
            places,
            [
                (2, 3, 5),
                (2, 11, 6),
                (3, 1, 1),
                (3, 3, 1),
                (5, 1, 1),
                (5, 2, 1)
            ]
        );
    }

    #[test]
    fn a_bad_escape_is_told_and_costs_its_line() {
        for text in ["a=\\u12", "a=\\u00g0", "a=\\u+041", "a=\\u"] {
            let parsed = parse(&"f".into(), &format!("{text}\nb=2"));
            assert_eq!(
                (parsed.entries.len(), parsed.diagnostics.len()),
                (1, 1),
                "{text}"
            );
            assert_eq!(
                (
                    parsed.diagnostics[0].place.line,
                    parsed.diagnostics[0].place.column
                ),
                (1, 3)
            );
        }
    }

    #[test]
    fn bytes_become_text() {
        let file: Arc<str> = "f".into();
        assert_eq!(decode(&file, b"\xef\xbb\xbfa=1").0, "a=1");
        assert_eq!(decode(&file, b"a=\xe9").0, "a=é");
        assert_eq!(decode(&file, "a=é".as_bytes()), ("a=é".into(), vec![]));
    }
}
