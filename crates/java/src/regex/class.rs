//! Sets of characters, as Java's classes and shorthands mean them.

use regex_syntax::{
    Parser,
    hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind},
};

/// A set of characters.
#[derive(Clone, Debug)]
pub(super) struct CharSet(ClassUnicode);

/// The flags that change what a class means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CaseFlags {
    /// `i`: letters match in either case.
    pub(super) ignore_case: bool,
    /// `u`: also letters beyond ASCII.
    pub(super) unicode_case: bool,
}

impl CharSet {
    pub(super) fn empty() -> Self {
        CharSet(ClassUnicode::empty())
    }

    pub(super) fn range(first: char, last: char) -> Self {
        CharSet(ClassUnicode::new([ClassUnicodeRange::new(first, last)]))
    }

    pub(super) fn of(chars: &str) -> Self {
        CharSet(ClassUnicode::new(
            chars.chars().map(|c| ClassUnicodeRange::new(c, c)),
        ))
    }

    /// A class that the `regex` crate knows by the same name and with the same meaning.
    pub(super) fn parse(class: &str) -> Option<Self> {
        match Parser::new().parse(class).ok()?.into_kind() {
            HirKind::Class(Class::Unicode(set)) => Some(CharSet(set)),
            HirKind::Class(Class::Bytes(set)) => set.to_unicode_class().map(CharSet),
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(CharSet::of),
            _ => None,
        }
    }

    pub(super) fn union(mut self, other: &CharSet) -> Self {
        self.0.union(&other.0);
        self
    }

    pub(super) fn intersect(mut self, other: &CharSet) -> Self {
        self.0.intersect(&other.0);
        self
    }

    pub(super) fn negate(mut self) -> Self {
        self.0.negate();
        self
    }

    /// With the other case of its letters, as far as the flags say.
    pub(super) fn folded(mut self, flags: CaseFlags) -> Self {
        if !flags.ignore_case {
            return self;
        }
        if !flags.unicode_case {
            let lower = CharSet::range('a', 'z').intersect(&self);
            let upper = CharSet::range('A', 'Z').intersect(&self);
            let shifted = |set: &CharSet, by: fn(&char) -> char| {
                let ranges = set.0.ranges().iter();
                CharSet(ClassUnicode::new(
                    ranges.map(|r| ClassUnicodeRange::new(by(&r.start()), by(&r.end()))),
                ))
            };
            let raised = shifted(&lower, char::to_ascii_uppercase);
            let lowered = shifted(&upper, char::to_ascii_lowercase);
            return self.union(&raised).union(&lowered);
        }
        self.0.case_fold_simple();
        // Java compares by way of the upper case, which makes one letter of these four.
        let dotted = CharSet::of("iIıİ");
        if dotted.clone().intersect(&self).0.ranges().is_empty() {
            self
        } else {
            self.union(&dotted)
        }
    }

    /// As a class of the `regex` crate, or as a character.
    pub(super) fn text(&self) -> String {
        let write = |c: char| format!(r"\x{{{:X}}}", c as u32);
        match self.0.ranges() {
            [one] if one.start() == one.end() && one.start().is_ascii_alphanumeric() => {
                one.start().to_string()
            }
            [one] if one.start() == one.end() => write(one.start()),
            [] => r"[^\x{0}-\x{10FFFF}]".into(),
            ranges => {
                let each =
                    |r: &ClassUnicodeRange| format!("{}-{}", write(r.start()), write(r.end()));
                format!("[{}]", ranges.iter().map(each).collect::<String>())
            }
        }
    }
}

/// A shorthand: `\d`, `\W` and so on; `unicode` with the flag `U`.
pub(super) fn shorthand(letter: char, unicode: bool) -> Option<CharSet> {
    let class = match (letter.to_ascii_lowercase(), unicode) {
        ('d', false) => "[0-9]",
        ('d', true) => r"\p{Nd}",
        ('w', false) => "[a-zA-Z0-9_]",
        ('w', true) => r"\w",
        ('s', false) => r"[ \t\n\x0B\f\r]",
        ('s', true) => r"\p{White_Space}",
        ('h', _) => r"[ \t\xA0\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}]",
        ('v', _) => r"[\n\x0B\f\r\u{85}\u{2028}\u{2029}]",
        _ => return None,
    };
    let set = CharSet::parse(class)?;
    Some(if letter.is_ascii_uppercase() {
        set.negate()
    } else {
        set
    })
}

/// `\p{name}`, without the negation.
pub(super) fn property(name: &str, unicode: bool, flags: CaseFlags) -> Result<CharSet, String> {
    let about_case = ["lower", "upper", "title", "Lu", "Ll", "Lt", "LC", "L1"];
    if flags.ignore_case
        && about_case
            .iter()
            .any(|part| name.contains(part) || name.to_lowercase().contains(part))
    {
        return Err(format!(
            "versions of Java differ about `\\p{{{name}}}` with the flag `i`"
        ));
    }
    let unknown = || format!("there is no property `\\p{{{name}}}` here");
    let found = posix(name, unicode).or_else(|| java(name)).or_else(|| {
        let (key, value) = match name.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), value),
            None => (String::new(), name),
        };
        match key.as_str() {
            "" => category(value).or_else(|| binary(value.strip_prefix("Is")?)),
            "general_category" | "gc" => category(value),
            "script" | "sc" => script(value),
            _ => None,
        }
    });
    found
        .and_then(|class| CharSet::parse(&class))
        .ok_or_else(unknown)
}

fn posix(name: &str, unicode: bool) -> Option<String> {
    let class = match (name, unicode) {
        ("ASCII", false) => r"[\x00-\x7F]",
        ("Lower", false) => "[a-z]",
        ("Upper", false) => "[A-Z]",
        ("Alpha", false) => "[a-zA-Z]",
        ("Digit", false) => "[0-9]",
        ("Alnum", false) => "[a-zA-Z0-9]",
        ("Punct", false) => r"[!-/:-@\[-`{-~]",
        ("Graph", false) => "[!-~]",
        ("Print", false) => "[ -~]",
        ("Blank", false) => r"[ \t]",
        ("Cntrl", false) => r"[\x00-\x1F\x7F]",
        ("XDigit", false) => "[0-9a-fA-F]",
        ("Space", false) => r"[ \t\n\x0B\f\r]",
        ("Lower", true) => r"\p{Lowercase}",
        ("Upper", true) => r"\p{Uppercase}",
        ("Alpha", true) => r"\p{Alphabetic}",
        ("Digit", true) => r"\p{Nd}",
        ("Alnum", true) => r"[\p{Alphabetic}\p{Nd}]",
        ("Punct", true) => r"\p{P}",
        ("Space", true) => r"\p{White_Space}",
        _ => return None,
    };
    Some(class.into())
}

fn java(name: &str) -> Option<String> {
    let class = match name {
        "javaLowerCase" => r"\p{Lowercase}",
        "javaUpperCase" => r"\p{Uppercase}",
        "javaTitleCase" => r"\p{Lt}",
        "javaAlphabetic" => r"\p{Alphabetic}",
        "javaDigit" => r"\p{Nd}",
        "javaLetter" => r"\p{L}",
        "javaLetterOrDigit" => r"[\p{L}\p{Nd}]",
        "javaSpaceChar" => r"\p{Z}",
        "javaWhitespace" => r"[\p{Z}\t-\r\x1C-\x1F--\xA0\u{2007}\u{202F}]",
        _ => return None,
    };
    Some(class.into())
}

const CATEGORIES: &[&str] = &[
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "Z", "Zs",
    "Zl", "Zp", "C", "Cc", "Cf", "P", "Pd", "Ps", "Pe", "Pc", "Po", "Pi", "Pf", "S", "Sm", "Sc",
    "Sk", "So",
];

fn category(name: &str) -> Option<String> {
    let short = name.strip_prefix("Is").unwrap_or(name);
    if short == "LC" {
        return Some(r"[\p{Lu}\p{Ll}\p{Lt}]".into());
    }
    CATEGORIES
        .contains(&short)
        .then(|| format!(r"\p{{{short}}}"))
}

/// After `Is`: a binary property or a script, in any case.
fn binary(name: &str) -> Option<String> {
    let property = match name.to_ascii_lowercase().as_str() {
        "alphabetic" => r"\p{Alphabetic}",
        "ideographic" => r"\p{Ideographic}",
        "letter" => r"\p{L}",
        "lowercase" => r"\p{Lowercase}",
        "uppercase" => r"\p{Uppercase}",
        "titlecase" => r"\p{Lt}",
        "punctuation" => r"\p{P}",
        "control" => r"\p{Cc}",
        "white_space" | "whitespace" => r"\p{White_Space}",
        "digit" => r"\p{Nd}",
        _ => return script(name),
    };
    Some(property.into())
}

fn script(name: &str) -> Option<String> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| format!(r"\p{{Script={name}}}"))
}
