//! Regular expressions in the dialect of `java.util.regex`.
//!
//! A pattern is parsed by Java's rules and written again for an engine of Rust, with every class spelled out, so
//! that nothing depends on how that engine reads a shorthand. What only a backtracking engine can do (look-around,
//! back-references, possessive quantifiers) runs on one. What neither can do as Java does is an error that names the
//! place.

mod class;
mod replacement;
mod translate;

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use flume_core::config::Scalar;

pub use replacement::Replacement;
use translate::{Mode, Translated, translate};

/// Steps the backtracking engine takes at most for one search. Java has no limit, and may take for ever.
const MAX_BACKTRACKS: usize = 1_000_000;

/// Bytes a compiled pattern may take.
const MAX_COMPILED_BYTES: usize = 64 << 20;

/// A compiled pattern. Cheap to clone.
#[derive(Clone)]
pub struct JavaRegex(Arc<Compiled>);

/// A pattern that a name must match as a whole, as `Matcher.matches` asks.
#[derive(Clone, Debug)]
pub struct NamePattern(JavaRegex);

/// Where a pattern and its groups matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(Vec<Option<Range<usize>>>);

/// A search was given up: the pattern backtracks too much on this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern needs more than {MAX_BACKTRACKS} steps on this text")]
pub struct TooManySteps;

struct Compiled {
    pattern: String,
    engine: Engine,
    groups: usize,
    names: BTreeMap<String, usize>,
}

enum Engine {
    /// One pattern for every text.
    Fast(regex::Regex),
    /// A pattern that is right for simple texts, and one that is right for all.
    ByText {
        simple: regex::Regex,
        exact: fancy_regex::Regex,
        /// What a text must be to be simple.
        ascii: bool,
        one_line: bool,
    },
    Backtracking(fancy_regex::Regex),
}

impl JavaRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// For what Java refuses, and for what cannot be matched here as Java does: says what and where.
    pub fn new(pattern: &str) -> Result<Self, String> {
        JavaRegex::compile(pattern, str::to_string)
    }

    /// Compiles a pattern that has to match the whole text.
    ///
    /// # Errors
    /// As [`JavaRegex::new`].
    pub fn whole(pattern: &str) -> Result<Self, String> {
        JavaRegex::compile(pattern, |text| format!(r"\A(?:{text})\z"))
    }

    fn compile(pattern: &str, wrap: fn(&str) -> String) -> Result<Self, String> {
        let translated = translate(pattern, Mode::Exact)?;
        let engine = if translated.uses.backtracking {
            Engine::Backtracking(backtracking(&wrap(&translated.text))?)
        } else if translated.uses.lines || translated.uses.words {
            let simple = translate(pattern, Mode::Simple)?;
            Engine::ByText {
                simple: fast(&wrap(&simple.text))?,
                exact: backtracking(&wrap(&translated.text))?,
                ascii: translated.uses.words,
                one_line: translated.uses.lines,
            }
        } else {
            Engine::Fast(fast(&wrap(&translated.text))?)
        };
        let Translated { groups, names, .. } = translated;
        Ok(JavaRegex(Arc::new(Compiled {
            pattern: pattern.into(),
            engine,
            groups,
            names,
        })))
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }

    /// Number of groups, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.0.groups
    }

    /// The number of a named group.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.0.names.get(name).copied()
    }

    /// Whether the pattern matches anywhere, as `Matcher.find`.
    ///
    /// # Errors
    /// When the pattern needs too many steps.
    pub fn is_found(&self, text: &str) -> Result<bool, TooManySteps> {
        match &self.0.engine {
            Engine::Fast(regex) => Ok(regex.is_match(text)),
            Engine::ByText { simple, .. } if self.is_simple(text) => Ok(simple.is_match(text)),
            Engine::ByText { exact: regex, .. } | Engine::Backtracking(regex) => {
                regex.is_match(text).map_err(|_| TooManySteps)
            }
        }
    }

    /// The first match that begins at `start` or after; what stands before is seen by look-behind and `\b`.
    ///
    /// # Errors
    /// When the pattern needs too many steps.
    pub fn find_at(&self, text: &str, start: usize) -> Result<Option<Groups>, TooManySteps> {
        let backtrack = |regex: &fancy_regex::Regex| {
            let found = regex
                .captures_from_pos(text, start)
                .map_err(|_| TooManySteps)?;
            Ok(found
                .map(|found| Groups(found.iter().map(|group| group.map(|g| g.range())).collect())))
        };
        let search = |regex: &regex::Regex| {
            let found = regex.captures_at(text, start)?;
            Some(Groups(
                found.iter().map(|group| group.map(|g| g.range())).collect(),
            ))
        };
        match &self.0.engine {
            Engine::Fast(regex) => Ok(search(regex)),
            Engine::ByText { simple, .. } if self.is_simple(text) => Ok(search(simple)),
            Engine::ByText { exact: regex, .. } | Engine::Backtracking(regex) => backtrack(regex),
        }
    }

    fn is_simple(&self, text: &str) -> bool {
        let Engine::ByText {
            ascii, one_line, ..
        } = self.0.engine
        else {
            return false;
        };
        let ends_lines = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
        let is_one_line = || !text.is_empty() && !text.contains(ends_lines);
        (!ascii || text.is_ascii()) && (!one_line || is_one_line())
    }
}

impl fmt::Debug for JavaRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.pattern)
    }
}

impl Scalar for JavaRegex {
    const TYPE: &'static str = "regular expression";

    fn parse(text: &str) -> Result<Self, String> {
        JavaRegex::new(text)
            .map_err(|error| format!("a regular expression as Java reads it ({error})"))
    }
}

impl Scalar for NamePattern {
    const TYPE: &'static str = "regular expression";

    fn parse(text: &str) -> Result<Self, String> {
        let pattern = JavaRegex::whole(text);
        pattern
            .map(NamePattern)
            .map_err(|error| format!("a regular expression as Java reads it ({error})"))
    }
}

impl NamePattern {
    /// Whether the whole name matches. A pattern that needs too many steps does not.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_found(name).unwrap_or(false)
    }
}

impl Groups {
    /// Where the whole pattern matched.
    pub fn whole(&self) -> Range<usize> {
        self.get(0).unwrap_or_default()
    }

    /// Where a group matched last, if it took part.
    pub fn get(&self, group: usize) -> Option<Range<usize>> {
        self.0.get(group).cloned().flatten()
    }
}

fn fast(pattern: &str) -> Result<regex::Regex, String> {
    let builder = regex::RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .build();
    builder.map_err(|error| reason(&error.to_string()))
}

fn backtracking(pattern: &str) -> Result<fancy_regex::Regex, String> {
    let mut builder = fancy_regex::RegexBuilder::new(pattern);
    builder
        .backtrack_limit(MAX_BACKTRACKS)
        .delegate_size_limit(MAX_COMPILED_BYTES);
    builder.build().map_err(|error| reason(&error.to_string()))
}

/// The engines speak of the translated pattern, over several lines; the last one says what is wrong.
fn reason(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default().trim();
    format!("it cannot be compiled: {last}")
}
