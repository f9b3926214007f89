//! What is wrong with a configuration, and where.

use std::{fmt, sync::Arc};

/// A place in a configuration file. Lines and columns count from 1, columns and width in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The file as it was named by the user.
    pub file: Arc<str>,
    /// Line, from 1; 0 when there is none.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Characters to underline on this line, at least one.
    pub width: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The component, or the agent, cannot run.
    Error,
    /// It runs, perhaps not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is; for a missing key, the first line of its component.
    pub place: Span,
    /// The full key: `a1.sinks.k1.channel`.
    pub key: String,
    /// What is wrong.
    pub text: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}: {}",
            self.place, self.severity, self.key, self.text
        )?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}
