//! `flume-ng validate --format html`: one page with the drawing of each agent, and each finding below its line in the
//! text of the files. It needs nothing else, and no script. Secrets are not shown.

use std::fmt::Write as _;

use flume_conf::Document;
use flume_core::{
    Diagnostic, Severity,
    secrets::{mask_ranges, masked, secret_ranges},
};

use crate::{
    graph::{Shape, drawing, escaped_xml as escaped},
    validate::Judged,
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem;color:#1b1b1f;background:#fff}\
pre,code,.line{font:13px/1.5 ui-monospace,monospace}.line{white-space:pre-wrap;overflow-wrap:anywhere}\
.number{display:inline-block;width:4ch;margin-right:1ch;color:#66666f;text-align:right;user-select:none}\
.found{margin:.1rem 0 .4rem 5ch;padding:.25rem .6rem;border-left:4px solid}.error{border-color:#c0262d}\
.warning{border-color:#b36b00}.note{border-color:#2b6cb0}.hint{opacity:.85}mark{background:#ffe39a;color:inherit}\
.drawing{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
a{color:#1f5fa8}@media(prefers-color-scheme:dark){body{color:#ececf1;background:#16161a}.number{color:#a0a0ad}\
mark{background:#6a5410}a{color:#8ab8f0}}";

/// The whole page.
pub(crate) fn html(document: &Document, judged: &Judged) -> String {
    let verdict = if judged.runs_whole() {
        "accepted"
    } else {
        "refused"
    };
    let files: Vec<_> = document
        .files
        .iter()
        .map(|(name, _)| escaped(name))
        .collect();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{verdict}: {files}</title><style>{STYLE}</style></head><body>\n\
         <h1>{verdict}: {files}</h1>\n",
        files = files.join(", ")
    );
    findings(&mut out, document, judged);
    for (agent, verdicts) in &judged.agents {
        let shape = Shape::of(document, agent, verdicts, &judged.diagnostics);
        let _ = writeln!(
            out,
            "<h2>Agent {}</h2><div class=\"drawing\" tabindex=\"0\">{}</div>",
            escaped(agent),
            drawing(&shape)
        );
        out += "<table><tr><th>component</th><th>type</th><th>here</th></tr>\n";
        for verdict in verdicts {
            let outcome = match &verdict.reason {
                None => "runs".into(),
                Some(reason) => format!("cannot run: {}", masked(reason)),
            };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&verdict.name),
                escaped(&verdict.type_name),
                escaped(&outcome)
            );
        }
        out += "</table>\n";
    }
    for (number, (name, text)) in document.files.iter().enumerate() {
        let found = judged
            .diagnostics
            .iter()
            .filter(|found| found.place.file == *name);
        let found: Vec<_> = found.collect();
        let _ = writeln!(out, "<h2>{}</h2>", escaped(name));
        file(&mut out, number, text, &found);
    }
    out + "</body></html>\n"
}

/// All of them in a list, each with a link to its line.
fn findings(out: &mut String, document: &Document, judged: &Judged) {
    if judged.diagnostics.is_empty() {
        *out += "<p>Nothing was found.</p>\n";
        return;
    }
    *out += "<ul>\n";
    for found in &judged.diagnostics {
        let file = document
            .files
            .iter()
            .position(|(name, _)| *name == found.place.file);
        let text = format!(
            "{}: {}: {}",
            found.severity(),
            found.key,
            masked(&found.text)
        );
        let _ = writeln!(
            out,
            "<li><a href=\"#f{}l{}\">{}</a> {}</li>",
            file.unwrap_or_default(),
            found.place.line,
            escaped(&found.place.to_string()),
            escaped(&text)
        );
    }
    *out += "</ul>\n";
}

fn file(out: &mut String, number: usize, text: &str, found: &[&Diagnostic]) {
    let secrets = secret_ranges(text);
    let mut start = 0;
    let mut line_number = 0;
    // Lines as the parser counts them: LF, CR and CRLF end one.
    while start < text.len() {
        line_number += 1;
        let rest = &text[start..];
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let here: Vec<_> = found
            .iter()
            .filter(|found| found.place.line == line_number)
            .collect();
        let _ = write!(
            out,
            "<div class=\"line\" id=\"f{number}l{line_number}\"><span class=\"number\">{line_number}</span>"
        );
        let mut at = 0;
        let mut marks: Vec<_> = here
            .iter()
            .map(|found| marked_part(&rest[..length], found))
            .collect();
        marks.sort();
        for (begin, end) in marks {
            let begin = begin.max(at);
            if begin >= end {
                continue;
            }
            *out += &escaped(&mask_ranges(&rest[at..begin], start + at, &secrets));
            let _ = write!(
                out,
                "<mark>{}</mark>",
                escaped(&mask_ranges(&rest[begin..end], start + begin, &secrets))
            );
            at = end;
        }
        *out += &escaped(&mask_ranges(&rest[at..length], start + at, &secrets));
        *out += "</div>\n";
        for found in here {
            finding(out, found);
        }
        start += length;
        start += if text[start..].starts_with("\r\n") {
            2
        } else {
            1
        };
    }
    // What is about the file as a whole, or about a line that is not there.
    for found in found
        .iter()
        .filter(|found| found.place.line == 0 || found.place.line > line_number)
    {
        let _ = writeln!(out, "<div id=\"f{number}l{}\"></div>", found.place.line);
        finding(out, found);
    }
}

/// The bytes of the line that a finding is about.
fn marked_part(line: &str, found: &Diagnostic) -> (usize, usize) {
    let byte = |chars: usize| {
        line.char_indices()
            .nth(chars)
            .map_or(line.len(), |(at, _)| at)
    };
    let column = found.place.column.saturating_sub(1) as usize;
    (
        byte(column),
        byte(column + found.place.width.max(1) as usize),
    )
}

fn finding(out: &mut String, found: &Diagnostic) {
    let class = match found.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let _ = write!(
        out,
        "<div class=\"found {class}\"><b>{}</b> <code>{}</code>: {}",
        found.severity(),
        escaped(&found.key),
        escaped(&masked(&found.text))
    );
    if let Some(hint) = &found.hint {
        let _ = write!(out, "<div class=\"hint\">{}</div>", escaped(&masked(hint)));
    }
    *out += "</div>\n";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Args, validate::judge};

    #[test]
    fn each_finding_stands_at_its_line_and_no_secret_or_markup_gets_through() {
        let text = "# <script>alert(1)</script>\na1.sources = r1\r\na1.sources.r1.type = nocat\ra1.sources.r1.channels = c1\n\
            a1.channels = c1\na1.channels.c1.type = memory\na1.sources.r1.keystore-password = hunter2\n";
        let mut document = Document::default();
        document.add("fl\"ume.conf", text.as_bytes());
        let judged = judge(&document, &document.agents(), &Args::default());
        let page = html(&document, &judged);
        let at = page.find("<span class=\"number\">3</span>").unwrap();
        let next = page.find("<span class=\"number\">4</span>").unwrap();
        assert!(page[at..next].contains("<mark>nocat</mark>"), "{page}");
        assert!(
            page[at..next].contains("there is no source type `nocat`"),
            "{page}"
        );
        assert!(!page.contains("hunter2") && page.contains("***"), "{page}");
        assert!(
            !page.contains("<script") && !page.contains("fl\"ume"),
            "{page}"
        );
        assert!(
            page.contains("href=\"#f0l3\"") && page.contains("<svg"),
            "{page}"
        );
        assert!(
            !page.contains("http://")
                || page.matches("http://").count()
                    == page.matches("http://www.w3.org/2000/svg").count()
        );
    }
}
