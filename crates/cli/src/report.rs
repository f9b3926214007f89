//! How diagnostics are shown: to a person, with the text underlined, or as JSON. Secrets are not shown.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write,
    io::{self, IsTerminal},
    ops::Range,
};

use flume_conf::{Document, Verdict};
use flume_core::{
    Diagnostic, Severity, Span,
    secrets::{mask_ranges, masked, secret_ranges},
};
use serde::Serialize;

use crate::validate::Judged;

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
    for (found, more) in grouped(diagnostics) {
        let Diagnostic {
            place, key, text, ..
        } = found;
        let ink = match found.severity() {
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
            "{}: {subject}{}",
            paint(ink, format!("{}[{}]", found.severity(), found.code.id())),
            masked(text)
        );
        let _ = writeln!(out, "  --> {place}");
        if let Some(line) = line(document, place) {
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            let _ = writeln!(out, " {number} | {}", line.shown());
            let _ = writeln!(out, " {margin} | {}", paint(ink, line.underline(place)));
        }
        if let Some(hint) = &found.hint {
            let _ = writeln!(out, "  = {}", masked(hint));
        }
        if !more.is_empty() {
            let _ = writeln!(out, "  = the same in {}", lines(&more));
        }
        out.push('\n');
    }
    out
}

/// Each finding with the later ones of the same file that say the same of the same property. Errors are not grouped:
/// each keeps a component from running.
fn grouped(diagnostics: &[Diagnostic]) -> Vec<(&Diagnostic, Vec<u32>)> {
    let mut groups: Vec<(&Diagnostic, Vec<u32>)> = vec![];
    let mut known: HashMap<_, usize> = HashMap::new();
    for found in diagnostics {
        let Diagnostic {
            code, text, hint, ..
        } = found;
        let property = found.key.splitn(4, '.').last();
        let says = (*code, &found.place.file, property, text, hint);
        match known.get(&says) {
            Some(&group) if !found.is_error() => groups[group].1.push(found.place.line),
            _ => {
                known.insert(says, groups.len());
                groups.push((found, vec![]));
            }
        }
    }
    groups
}

fn lines(numbers: &[u32]) -> String {
    let shown: Vec<_> = numbers.iter().map(u32::to_string).collect();
    let word = if numbers.len() == 1 { "line" } else { "lines" };
    format!("{word} {}", shown.join(", "))
}

/// A line of a file, with the secrets in it.
struct QuotedLine<'a> {
    text: &'a str,
    /// Where it begins in the file.
    start: usize,
    secrets: Vec<Range<usize>>,
}

fn line<'a>(document: &'a Document, place: &Span) -> Option<QuotedLine<'a>> {
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
    Some(QuotedLine {
        text: rest.split(['\n', '\r']).next().unwrap_or_default(),
        start: text.len() - rest.len(),
        // Of the whole file: what makes a value secret may stand on another line.
        secrets: secret_ranges(text),
    })
}

impl QuotedLine<'_> {
    fn shown(&self) -> Cow<'_, str> {
        mask_ranges(self.text, self.start, &self.secrets)
    }

    /// Blanks up to the column, tabs kept so that terminals align, then carets. A secret is as wide as what stands for
    /// it.
    fn underline(&self, place: &Span) -> String {
        let column = place.column.saturating_sub(1) as usize;
        let width = place.width.max(1) as usize;
        let byte = |chars: usize| {
            let found = self.text.char_indices().nth(chars);
            found.map_or(self.text.len(), |(at, _)| at)
        };
        let begin = byte(column);
        let end = byte(column + width);
        let before = mask_ranges(&self.text[..begin], self.start, &self.secrets);
        let marked = mask_ranges(&self.text[begin..end], self.start + begin, &self.secrets);
        let blanks = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' });
        // Columns behind the end of the line have no characters.
        let missing = column.saturating_sub(self.text.chars().count());
        let carets = marked.chars().count();
        let whole = if end == self.text.len() && marked.len() == end - begin {
            width
        } else {
            carets
        };
        blanks
            .chain(std::iter::repeat_n(' ', missing))
            .collect::<String>()
            + &"^".repeat(whole.max(1))
    }
}

/// A verdict, as JSON has it.
#[derive(Serialize)]
struct ShownComponent<'a> {
    name: &'a str,
    r#type: &'a str,
    runs: bool,
    reason: Option<Cow<'a, str>>,
}

impl ShownComponent<'_> {
    fn of(verdict: &Verdict) -> ShownComponent<'_> {
        ShownComponent {
            name: &verdict.name,
            r#type: &verdict.type_name,
            runs: verdict.reason.is_none(),
            reason: verdict.reason.as_deref().map(masked),
        }
    }
}

/// `{"diagnostics":[{"severity","file","line","column","key","text","hint"}]}`.
pub(crate) fn json(judged: &Judged) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        code: &'static str,
        severity: String,
        file: &'a str,
        line: u32,
        column: u32,
        key: &'a str,
        text: Cow<'a, str>,
        hint: Option<Cow<'a, str>>,
    }
    #[derive(Serialize)]
    struct ShownAgent<'a> {
        name: &'a str,
        components: Vec<ShownComponent<'a>>,
    }
    #[derive(Serialize)]
    struct Report<'a> {
        diagnostics: Vec<Shown<'a>>,
        agents: Vec<ShownAgent<'a>>,
    }
    let agents = judged.agents.iter().map(|(name, verdicts)| ShownAgent {
        name,
        components: verdicts.iter().map(ShownComponent::of).collect(),
    });
    let shown = judged.diagnostics.iter().map(|found| Shown {
        code: found.code.id(),
        severity: found.severity().to_string(),
        file: &found.place.file,
        line: found.place.line,
        column: found.place.column,
        key: &found.key,
        text: masked(&found.text),
        hint: found.hint.as_deref().map(masked),
    });
    // Strings and numbers always serialize.
    serde_json::to_string(&Report {
        diagnostics: shown.collect(),
        agents: agents.collect(),
    })
    .unwrap_or_default()
}
