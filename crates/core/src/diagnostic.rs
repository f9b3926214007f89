//! What is wrong with a configuration, and where.

use std::{fmt, sync::Arc};

use crate::Code;

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
    /// What kind of finding it is.
    pub code: Code,
    /// Where it is; for a missing key, the first line of its component.
    pub place: Span,
    /// The full key: `a1.sinks.k1.channel`.
    pub key: String,
    /// What is wrong.
    pub text: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding without a hint.
    pub fn new(code: Code, place: Span, key: &str, text: impl Into<String>) -> Self {
        Diagnostic {
            code,
            place,
            key: key.into(),
            text: text.into(),
            hint: None,
        }
    }

    /// With what would be right, if that is known.
    pub fn hint(self, hint: Option<String>) -> Self {
        Diagnostic { hint, ..self }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether the component, or the agent, cannot run.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}: {}",
            self.place,
            self.severity(),
            self.key,
            self.text
        )?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}
