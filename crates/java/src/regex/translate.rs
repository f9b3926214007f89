//! From Java's syntax to that of the engines. One pass over the pattern, which writes as it reads.

mod escapes;

use std::collections::BTreeMap;

use super::class::{CaseFlags, CharSet, property, shorthand};

/// Groups within groups.
const MAX_DEPTH: usize = 100;

/// Where a line ends unless the flag `d` is set.
const LINE_ENDS: &str = r"[\n\r\x{85}\x{2028}\x{2029}]";

/// The same without the line feed.
const OTHER_LINE_ENDS: &str = r"[\r\x{85}\x{2028}\x{2029}]";

/// The end of what Java's `\b` takes for a word: a mark belongs to the letter before it.
const AFTER_WORD: &str = r"(?<=[\p{L}\p{Nd}_]|[\p{L}\p{Nd}]\p{Mn}+)";
const NOT_AFTER_WORD: &str = r"(?<![\p{L}\p{Nd}_]|[\p{L}\p{Nd}]\p{Mn}+)";
/// The same ahead.
const BEFORE_WORD: &str = r"(?:(?=[\p{L}\p{Nd}_])|(?<=[\p{L}\p{Nd}]\p{Mn}*)(?=\p{Mn}))";
const NOT_BEFORE_WORD: &str = r"(?:(?![\p{L}\p{Nd}_\p{Mn}])|(?<![\p{L}\p{Nd}]\p{Mn}*)(?=\p{Mn}))";

/// For which texts the translation has to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// For every text.
    Exact,
    /// For a text that is not empty, has no line end when the pattern looks at lines, and is ASCII when it looks at
    /// words.
    Simple,
}

/// A pattern for the engines.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) groups: usize,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) uses: Uses,
}

/// What a pattern asks of its engine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    /// Look-around, back-references, atomic groups.
    pub(super) backtracking: bool,
    /// `^`, `$` or `\Z`, which depend on how lines end.
    pub(super) lines: bool,
    /// `\b`, which depends on what a word is.
    pub(super) words: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    case: CaseFlags,
    unix_lines: bool,
    multiline: bool,
    dot_all: bool,
    comments: bool,
    unicode_classes: bool,
}

struct Translator {
    /// Each character, and whether it stands between `\Q` and `\E`.
    chars: Vec<(char, bool)>,
    at: usize,
    flags: Flags,
    mode: Mode,
    groups: usize,
    open: Vec<usize>,
    names: BTreeMap<String, usize>,
    uses: Uses,
}

/// A piece of the result.
struct Piece {
    text: String,
    /// It matches a width, not a position: it may be repeated.
    repeatable: bool,
    may_be_empty: bool,
    captures: bool,
}

/// Translates, or says what is wrong and where.
pub(super) fn translate(pattern: &str, mode: Mode) -> Result<Translated, String> {
    let mut translator = Translator {
        chars: unquote(pattern),
        at: 0,
        flags: Flags::default(),
        mode,
        groups: 0,
        open: vec![],
        names: BTreeMap::new(),
        uses: Uses::default(),
    };
    let piece = translator.alternation()?;
    if translator.at < translator.chars.len() {
        return Err(translator.wrong("a `)` without its `(`"));
    }
    Ok(Translated {
        text: piece.text,
        groups: translator.groups,
        names: translator.names,
        uses: translator.uses,
    })
}

/// Takes `\Q` and `\E` out; what stands between them is marked.
fn unquote(pattern: &str) -> Vec<(char, bool)> {
    let mut chars = vec![];
    let mut rest = pattern;
    while let Some(slash) = rest.find('\\') {
        chars.extend(rest[..slash].chars().map(|c| (c, false)));
        rest = &rest[slash + 1..];
        if let Some(quoted) = rest.strip_prefix('Q') {
            let (inside, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            chars.extend(inside.chars().map(|c| (c, true)));
            rest = after;
        } else {
            chars.push(('\\', false));
            let mut after = rest.chars();
            chars.extend(after.next().map(|c| (c, false)));
            rest = after.as_str();
        }
    }
    chars.extend(rest.chars().map(|c| (c, false)));
    chars
}

impl Translator {
    fn wrong(&self, what: &str) -> String {
        format!("{what}, at character {}", self.at + 1)
    }

    /// The next character that is not quoted, past what the flag `x` makes invisible.
    fn peek(&mut self) -> Option<char> {
        self.skip_comments();
        self.chars
            .get(self.at)
            .filter(|(_, quoted)| !quoted)
            .map(|(c, _)| *c)
    }

    fn skip_comments(&mut self) {
        while self.flags.comments {
            match self.chars.get(self.at) {
                Some((' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r', false)) => self.at += 1,
                Some(('#', false)) => {
                    let line_end = |c: char| {
                        c == '\n'
                            || (!self.flags.unix_lines && "\r\u{85}\u{2028}\u{2029}".contains(c))
                    };
                    let rest = &self.chars[self.at..];
                    self.at += rest
                        .iter()
                        .position(|(c, _)| line_end(*c))
                        .unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// The next character as it stands.
    fn raw(&self) -> Option<char> {
        self.chars.get(self.at).map(|(c, _)| *c)
    }

    /// The text up to `end`, which is taken too.
    fn until(&mut self, end: char) -> Result<String, String> {
        let rest = self.chars[self.at..].iter().map(|(c, _)| *c);
        let text: String = rest.take_while(|c| *c != end).collect();
        let length = text.chars().count();
        if self.at + length >= self.chars.len() {
            return Err(self.wrong(&format!("a `{end}` is missing")));
        }
        self.at += length + 1;
        Ok(text)
    }

    fn accept(&mut self, wanted: &str) -> bool {
        let here = self.chars[self.at..].iter().take(wanted.len());
        let same = here.clone().map(|(c, _)| *c).eq(wanted.chars())
            && here.clone().all(|(_, quoted)| !quoted);
        if same {
            self.at += wanted.len();
        }
        same
    }

    fn alternation(&mut self) -> Result<Piece, String> {
        let mut all = self.sequence()?;
        while self.peek() == Some('|') {
            self.at += 1;
            let next = self.sequence()?;
            all.text = format!("{}|{}", all.text, next.text);
            all.may_be_empty |= next.may_be_empty;
            all.captures |= next.captures;
        }
        Ok(all)
    }

    fn sequence(&mut self) -> Result<Piece, String> {
        let mut all = Piece {
            text: String::new(),
            repeatable: true,
            may_be_empty: true,
            captures: false,
        };
        loop {
            self.skip_comments();
            if self.at >= self.chars.len() || matches!(self.peek(), Some('|' | ')')) {
                return Ok(all);
            }
            let Some(atom) = self.atom()? else { continue };
            let piece = self.repeated(atom)?;
            all.text += &piece.text;
            all.may_be_empty &= piece.may_be_empty;
            all.captures |= piece.captures;
        }
    }

    /// A quantifier after `atom`, if there is one.
    fn repeated(&mut self, atom: Piece) -> Result<Piece, String> {
        let Some(quantifier @ ('*' | '+' | '?' | '{')) = self.peek() else {
            return Ok(atom);
        };
        self.at += 1;
        let (min, max) = match quantifier {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => self.bounds()?,
        };
        if !atom.repeatable {
            return Err(self.wrong("a quantifier after what has no width"));
        }
        let counted = match (min, max) {
            (0, None) => "*".into(),
            (1, None) => "+".into(),
            (0, Some(1)) => "?".into(),
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        if atom.captures && atom.may_be_empty && max != Some(1) {
            return Err(self.wrong(
                "a repeated group that captures and may match nothing is read in several ways",
            ));
        }
        let text = match self.peek() {
            Some('?') => {
                self.at += 1;
                format!("{}{counted}?", atom.text)
            }
            Some('+') => {
                self.at += 1;
                self.uses.backtracking = true;
                format!("(?>{}{counted})", atom.text)
            }
            _ => format!("{}{counted}", atom.text),
        };
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(self.wrong("a quantifier after a quantifier"));
        }
        Ok(Piece {
            text,
            may_be_empty: atom.may_be_empty || min == 0,
            ..atom
        })
    }

    /// `{n}`, `{n,}` or `{n,m}`.
    fn bounds(&mut self) -> Result<(u32, Option<u32>), String> {
        let rest = self.until('}')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits)
        };
        let bounds = match rest.split_once(',') {
            None => number(&rest).map(|n| (n, Some(n))),
            Some((min, "")) => number(min).map(|min| (min, None)),
            Some((min, max)) => number(min)
                .zip(number(max))
                .map(|(min, max)| (min, Some(max))),
        };
        match bounds {
            Some((min, max)) if max.is_none_or(|max| min <= max) => Ok((min, max)),
            _ => Err(self.wrong("a `{` that is not a quantifier; a brace itself is written `\\{`")),
        }
    }

    /// One thing to match. None for flags, which match nothing.
    fn atom(&mut self) -> Result<Option<Piece>, String> {
        let Some(c) = self.peek() else {
            let quoted = self.raw().unwrap_or_default();
            self.at += 1;
            return Ok(Some(self.literal(quoted)));
        };
        match c {
            '(' => return self.group(),
            '[' => {
                self.at += 1;
                let set = self.class()?;
                return Ok(Some(wide(set.text())));
            }
            '\\' => {
                self.at += 1;
                return self.escape().map(Some);
            }
            '*' | '+' | '?' => return Err(self.wrong(&format!("a `{c}` that repeats nothing"))),
            '{' => {
                return Err(
                    self.wrong("a `{` that repeats nothing; a brace itself is written `\\{`")
                );
            }
            _ => self.at += 1,
        }
        Ok(Some(match c {
            '.' if self.flags.dot_all => wide(r"[\x{0}-\x{10FFFF}]".into()),
            '.' if self.flags.unix_lines => wide(r"[^\n]".into()),
            '.' => wide(LINE_ENDS.replacen('[', "[^", 1)),
            '^' => self.line_start(),
            '$' => self.line_end(self.flags.multiline),
            _ => self.literal(c),
        }))
    }

    fn literal(&self, c: char) -> Piece {
        wide(CharSet::range(c, c).folded(self.flags.case).text())
    }

    fn line_start(&mut self) -> Piece {
        if !self.flags.multiline {
            return position(r"\A");
        }
        self.uses.lines = true;
        position(match (self.mode, self.flags.unix_lines) {
            (Mode::Simple, _) => r"\A",
            (Mode::Exact, true) => r"(?:(?:\A|(?<=\n))(?!\z))",
            (Mode::Exact, false) => {
                r"(?:(?:\A|(?<=[\n\x{85}\x{2028}\x{2029}])|(?<=\r)(?!\n))(?!\z))"
            }
        })
    }

    fn line_end(&mut self, multiline: bool) -> Piece {
        self.uses.lines = true;
        if self.mode == Mode::Simple {
            return position(r"\z");
        }
        Piece {
            text: match (self.flags.unix_lines, multiline) {
                (true, true) => r"(?=\n|\z)".into(),
                (true, false) => r"(?=\n?\z)".into(),
                (false, true) => format!(r"(?:(?={OTHER_LINE_ENDS}|\z)|(?<!\r)(?=\n))"),
                (false, false) => format!(r"(?:(?=(?:\r\n|{OTHER_LINE_ENDS})?\z)|(?<!\r)(?=\n\z))"),
            },
            ..position("")
        }
    }

    fn word_edge(&mut self, inside: bool) -> Piece {
        self.uses.words = true;
        if self.mode == Mode::Simple {
            return position(if inside { r"(?-u:\B)" } else { r"(?-u:\b)" });
        }
        Piece {
            text: if inside {
                format!("(?:{AFTER_WORD}{BEFORE_WORD}|{NOT_AFTER_WORD}{NOT_BEFORE_WORD})")
            } else {
                format!("(?:{AFTER_WORD}{NOT_BEFORE_WORD}|{NOT_AFTER_WORD}{BEFORE_WORD})")
            },
            ..position("")
        }
    }

    fn group(&mut self) -> Result<Option<Piece>, String> {
        let outer = self.flags;
        self.at += 1;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.wrong("groups within groups, too deep"));
        }
        // Number of the group, 0 for one that does not capture; and what opens it.
        let mut number = 0;
        let mut opening = "(?:".to_string();
        if self.accept("?") {
            let look = ["?=", "?!", "?<=", "?<!", "?>"]
                .iter()
                .find(|kind| self.accept(&kind[1..]));
            if let Some(kind) = look {
                self.uses.backtracking = true;
                opening = format!("({kind}");
            } else if self.accept("<") {
                number = self.capture();
                let name = self.name('>')?;
                if self.names.insert(name, number).is_some() {
                    return Err(self.wrong("a name that two groups have"));
                }
            } else if !self.accept(":") && self.set_flags()? {
                return Ok(None);
            }
        } else {
            number = self.capture();
        }
        if number > 0 {
            opening = "(".into();
        }
        self.open.push(number);
        let inner = self.alternation()?;
        self.open.pop();
        if self.peek() != Some(')') {
            return Err(self.wrong("a `(` without its `)`"));
        }
        if inner.captures && opening.contains('!') {
            return Err(self.wrong("a group that captures in a negative look-around"));
        }
        self.at += 1;
        self.flags = outer;
        let look = opening.contains(['=', '!']);
        Ok(Some(Piece {
            text: format!("{opening}{})", inner.text),
            repeatable: !look,
            may_be_empty: look || inner.may_be_empty,
            captures: number > 0 || inner.captures,
        }))
    }

    fn capture(&mut self) -> usize {
        self.groups += 1;
        self.groups
    }

    /// A group's name up to `end`.
    fn name(&mut self, end: char) -> Result<String, String> {
        let name = self.until(end)?;
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric());
        if !good {
            return Err(
                self.wrong("expected the name of a group: a letter, then letters and digits")
            );
        }
        Ok(name)
    }

    /// `idmsuxU-idmsuxU`, and whether that was all: else a group follows.
    fn set_flags(&mut self) -> Result<bool, String> {
        let mut on = true;
        loop {
            let flag = self.raw();
            self.at += 1;
            match flag {
                Some('i') => self.flags.case.ignore_case = on,
                Some('u') => self.flags.case.unicode_case = on,
                Some('d') => self.flags.unix_lines = on,
                Some('m') => self.flags.multiline = on,
                Some('s') => self.flags.dot_all = on,
                Some('x') => self.flags.comments = on,
                Some('U') => {
                    self.flags.unicode_classes = on;
                    self.flags.case.unicode_case = on;
                }
                Some('-') if on => on = false,
                Some(')') => return Ok(true),
                Some(':') => return Ok(false),
                _ => {
                    self.at -= 1;
                    return Err(self.wrong("an unknown kind of group or flag"));
                }
            }
        }
    }
}

/// A piece that takes at least a character.
fn wide(text: String) -> Piece {
    Piece {
        text,
        repeatable: true,
        may_be_empty: false,
        captures: false,
    }
}

/// A piece that looks at a position.
fn position(text: &str) -> Piece {
    Piece {
        text: text.into(),
        repeatable: false,
        may_be_empty: true,
        captures: false,
    }
}
