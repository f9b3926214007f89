//! How diagnostics are shown: to a person, with the text underlined, or as JSON.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use flume_conf::Document;
use flume_core::{Diagnostic, Severity, Span};
use serde::Serialize;

/// Whether standard output is a terminal that may show colours.
pub(crate) fn may_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// For a person: what, where, the line with the offending part underlined, and what would be right.
pub(crate) fn human(document: &Document, diagnostics: &[Diagnostic], colour: bool) -> String {
    let paint = |code: &str, text: String| {
        if colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text
        }
    };
    let mut out = String::new();
    for Diagnostic {
        severity,
        place,
        key,
        text,
        hint,
    } in diagnostics
    {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        let subject = if key.is_empty() {
            String::new()
        } else {
            format!("{key}: ")
        };
        let _ = writeln!(
            out,
            "{}: {subject}{text}",
            paint(code, severity.to_string())
        );
        let _ = writeln!(out, "  --> {place}");
        if let Some(line) = line(document, place) {
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            let _ = writeln!(out, " {number} | {line}");
            let _ = writeln!(out, " {margin} | {}", paint(code, underline(line, place)));
        }
        if let Some(hint) = hint {
            let _ = writeln!(out, "  = {hint}");
        }
        out.push('\n');
    }
    out
}

fn line<'a>(document: &'a Document, place: &Span) -> Option<&'a str> {
    let (_, text) = document
        .files
        .iter()
        .find(|(name, _)| *name == place.file)?;
    // Lines as the parser counts them: LF, CR and CRLF end one.
    let mut rest = text.as_str();
    for _ in 1..place.line {
        let end = rest.find(['\n', '\r'])?;
        let ending = if rest[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + ending..];
    }
    Some(rest.split(['\n', '\r']).next().unwrap_or_default())
}

/// Blanks up to the column, tabs kept so that terminals align, then carets.
fn underline(line: &str, place: &Span) -> String {
    let before = line.chars().take(place.column.saturating_sub(1) as usize);
    let blanks: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    blanks + &"^".repeat(place.width.max(1) as usize)
}

/// `{"diagnostics":[{"severity","file","line","column","key","text","hint"}]}`.
pub(crate) fn json(diagnostics: &[Diagnostic]) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        severity: String,
        file: &'a str,
        line: u32,
        column: u32,
        key: &'a str,
        text: &'a str,
        hint: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Report<'a> {
        diagnostics: Vec<Shown<'a>>,
    }
    let shown = diagnostics.iter().map(|found| Shown {
        severity: found.severity.to_string(),
        file: &found.place.file,
        line: found.place.line,
        column: found.place.column,
        key: &found.key,
        text: &found.text,
        hint: found.hint.as_deref(),
    });
    // Strings and numbers always serialize.
    serde_json::to_string(&Report {
        diagnostics: shown.collect(),
    })
    .unwrap_or_default()
}
