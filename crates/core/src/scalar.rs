//! Values that are written as one text.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    ops::Deref,
    path::PathBuf,
    time::Duration,
};

use crate::{
    codes::Code,
    config::{Property, PropertyValue},
    props::Props,
};

/// A value written as one text.
pub trait Scalar: Sized {
    /// What the manual calls it.
    const TYPE: &'static str;
    /// Parses trimmed text; `Err` completes "expected ...".
    fn parse(text: &str) -> Result<Self, String>;
    /// The largest number that Java's type for it holds.
    const JAVA_MAX: i128 = i64::MAX as i128;
    /// A doubt about a text that parses; its text completes "`text` ...".
    fn doubt(_text: &str) -> Option<(Code, &'static str)> {
        None
    }
}

impl<S: Scalar> PropertyValue for S {
    const TYPE: &'static str = S::TYPE;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        let text = props.text(row)?;
        let text = text.trim();
        read_scalar(props, row.key, text)
    }
}

pub(crate) fn read_scalar<S: Scalar>(props: &mut Props<'_>, key: &str, text: &str) -> Option<S> {
    if let Some((code, doubt)) = S::doubt(text) {
        props.report(code, key, &format!("`{text}` {doubt}"), None);
    }
    match S::parse(text) {
        Ok(value) => Some(value),
        Err(expected) => {
            let hint = quoted(text).map(|_| "leave out the quotation marks".into());
            let text = format!("expected {expected}, found `{text}`");
            props.report(Code::WrongValue, key, &text, hint);
            None
        }
    }
}

/// What is to be said about a text, or the parts of a list, in quotation marks. A text that has others inside may need
/// them.
fn quoted(text: &str) -> Option<(Code, &'static str)> {
    let is_quoted = |part: &str| {
        let inside = |mark| part.trim().strip_prefix(mark)?.strip_suffix(mark);
        let inside = inside('"').or_else(|| inside('\''));
        inside.is_some_and(|inside| !inside.contains(['"', '\'']))
    };
    let doubt = "has quotation marks, which are a part of the value; leave them out";
    (is_quoted(text) || text.split(',').all(is_quoted)).then_some((Code::Quoted, doubt))
}

macro_rules! scalars {
    ($($ty:ty, $name:literal, $expected:literal, $java_max:expr;)*) => {$(impl Scalar for $ty {
        const TYPE: &'static str = $name;
        const JAVA_MAX: i128 = $java_max as i128;
        fn parse(text: &str) -> Result<Self, String> { text.parse().map_err(|_| $expected.into()) }
    })*};
}

scalars! {
    i32, "integer", "a whole number", i32::MAX;
    i64, "integer", "a whole number", i64::MAX;
    u16, "integer", "a whole number from 0 to 65535", i32::MAX;
    u32, "integer", "a whole number from 0", i32::MAX;
    u64, "integer", "a whole number from 0", i64::MAX;
    usize, "integer", "a whole number from 0", i32::MAX;
    NonZeroU32, "integer", "a whole number from 1", i32::MAX;
    NonZeroU64, "integer", "a whole number from 1", i64::MAX;
    NonZeroUsize, "integer", "a whole number from 1", i32::MAX;
    f64, "number", "a number", i64::MAX;
}

/// A name, a place or the like. Quotation marks around it are hardly meant; see [`FreeText`].
impl Scalar for String {
    const TYPE: &'static str = "text";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        quoted(text)
    }
}

/// A text in which quotation marks may be meant: a command, a pattern, what is put into events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreeText(pub String);

impl Scalar for FreeText {
    const TYPE: &'static str = "text";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(FreeText(text.into()))
    }
}

impl Deref for FreeText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// As `java.lang.Boolean`: anything but "true" is false.
impl Scalar for bool {
    const TYPE: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.eq_ignore_ascii_case("true"))
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        let sure = ["true", "false"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
        let doubt = "counts as false, only `true` is true";
        (!sure).then_some((Code::NotBoolean, doubt))
    }
}

impl Scalar for PathBuf {
    const TYPE: &'static str = "path";
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("a path".into())
        } else {
            Ok(text.into())
        }
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        quoted(text)
    }
}

/// A duration written as a number of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl Scalar for Millis {
    const TYPE: &'static str = "milliseconds";
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text
            .parse()
            .map(|millis| Millis(Duration::from_millis(millis)));
        parsed.map_err(|_| "a number of milliseconds from 0".into())
    }
}

/// A duration written as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Scalar for Seconds {
    const TYPE: &'static str = "seconds";
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text
            .parse()
            .map(|seconds| Seconds(Duration::from_secs(seconds)));
        parsed.map_err(|_| "a number of seconds from 0".into())
    }
}

/// A password or key: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Scalar for Secret {
    const TYPE: &'static str = "secret";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One of a few words, in any case.
pub trait Choice: Copy + 'static {
    /// Each word with what it stands for.
    const CHOICES: &'static [(&'static str, Self)];
}

impl<C: Choice> Scalar for C {
    const TYPE: &'static str = "choice";
    fn parse(text: &str) -> Result<Self, String> {
        let choice = C::CHOICES
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        choice.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = C::CHOICES
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect();
            format!("one of {}", words.join(", "))
        })
    }
}
