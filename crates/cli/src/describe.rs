//! `flume-ng describe`: what there is, and how it is configured, from the declarations themselves.

use flume_conf::{FRAMES, Frame};
use flume_core::{
    Registry,
    config::Property,
    props::{did_you_mean, reference},
    registry::{DescribedRow, Known, Presence},
};

use crate::{
    args::Args,
    codes, hadoop,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
};

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.has("all") {
        return print(&manual());
    }
    match args.rest.first().map(String::as_str) {
        None => print(&list()),
        Some("hadoop") => hadoop::describe(args),
        Some("diagnostics") => print(&codes::index()),
        Some(name) => print(&describe(name, style(args)?)?),
    }
}

/// How a page is laid out.
type Style = fn(&str, &str, &str, &[Property]) -> String;

fn style(args: &Args) -> Result<Style, Failure> {
    match args.get("format") {
        None | Some("text") => Ok(text_page),
        Some("markdown") => Ok(reference),
        Some(other) => {
            let text = format!("--format takes text or markdown, not `{other}`");
            Err(Failure::Usage(text))
        }
    }
}

/// Columns of a page for a terminal.
const PAGE_COLUMNS: usize = 80;

/// A page for a terminal: each property with its type and default on a line, and its description below.
fn text_page(title: &str, class: &str, doc: &str, properties: &[Property]) -> String {
    let mut text = format!("{title}\n{}", wrapped(doc, 2));
    if !class.is_empty() {
        text += &format!("  Java class: {class}\n");
    }
    for row in properties {
        let default = match &row.default {
            Some(default) if default.is_empty() => "default: empty".into(),
            Some(default) => format!("default {default}"),
            None if row.required => "required".into(),
            None => String::new(),
        };
        let line = format!("  {:28} {:14} {default}", row.key, row.ty);
        text += &format!("\n{}\n{}", line.trim_end(), wrapped(row.doc, 6));
    }
    text
}

/// A text in lines of at most [`PAGE_COLUMNS`], without the marks of Markdown.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.replace('`', "").split_whitespace() {
        let columns = indent + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && columns > PAGE_COLUMNS {
            lines += &format!("{:indent$}{line}\n", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        lines += &format!("{:indent$}{line}\n", "");
    }
    lines
}

/// Every component on one line, and what of Flume runs elsewhere or not at all.
fn list() -> String {
    let rows = REGISTRY.described();
    let mut text = String::new();
    for kind in Registry::KINDS {
        text += &format!("{kind}s\n");
        for row in rows.iter().filter(|row| row.kind == *kind) {
            let first_sentence = row.doc.split_inclusive(". ").next().unwrap_or_default();
            text += &format!("  {:20} {}\n", row.title(), first_sentence.trim_end());
        }
    }
    let elsewhere = REGISTRY
        .known()
        .map(|known| (known, REGISTRY.presence(known)))
        .filter(|(_, presence)| *presence != Presence::Built)
        .collect::<Vec<_>>();
    for host in [hosts_of(&elsewhere), vec![Presence::Absent]].concat() {
        let names_of = |kind: &str| -> Vec<_> {
            elsewhere
                .iter()
                .filter(|(known, presence)| known.kind == kind && *presence == host)
                .map(|(known, _)| known.title())
                .collect()
        };
        text += &match host {
            Presence::Hosted(name) => format!("components of Flume that run in {name}\n"),
            _ => "components of Flume that this build does not have\n".into(),
        };
        for kind in Registry::KINDS {
            text += &format!("  {kind}s: {}\n", names_of(kind).join(", "));
        }
    }
    text
}

/// The hosts of foreign components, each once.
fn hosts_of(elsewhere: &[(&Known, Presence)]) -> Vec<Presence> {
    let mut hosts = vec![];
    for (_, presence) in elsewhere {
        if *presence != Presence::Absent && !hosts.contains(presence) {
            hosts.push(*presence);
        }
    }
    hosts
}

fn describe(name: &str, style: Style) -> Result<String, Failure> {
    if let Some(code) = codes::find(name) {
        return Ok(codes::page(code));
    }
    let is = |own: &str| own.eq_ignore_ascii_case(name);
    let rows = REGISTRY.described();
    let frames = FRAMES
        .iter()
        .filter(|frame| is(frame.owner))
        .map(|frame| frame_page(frame, style));
    let components = rows
        .iter()
        .filter(|row| is(row.title()) || is(row.class))
        .map(|row| page(row, style));
    let found: Vec<_> = frames.chain(components).collect();
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    if let Some(known) = REGISTRY
        .known()
        .find(|known| is(known.name) || is(known.class))
    {
        return Err(Failure::Usage(match REGISTRY.presence(known) {
            Presence::Hosted(host) => {
                format!("`{name}` runs in {host}, which knows its properties")
            }
            _ => known.missing(name),
        }));
    }
    let hint = did_you_mean(name, rows.iter().map(DescribedRow::title))
        .map(|hint| format!("; {hint}"))
        .unwrap_or_default();
    Err(Failure::Usage(format!(
        "there is no component `{name}`{hint}"
    )))
}

/// The reference manual.
fn manual() -> String {
    let rows = REGISTRY.described();
    let mut text = String::from(
        "# Components\n\nGenerated from the declarations by `flume-ng describe --all`.\n\n\
         A property of type `milliseconds` or `seconds` is a number of that unit. One of type `no effect` is accepted, \
         because Flume has it, and does nothing here; its description says why.\n",
    );
    for kind in Registry::KINDS {
        text += &format!("\n## {}s\n", capitalized(kind));
        let frames = FRAMES.iter().filter(|frame| frame.kind == *kind);
        let components = rows.iter().filter(|row| row.kind == *kind);
        let frames = frames.map(|frame| frame_page(frame, reference));
        let components = components.map(|row| page(row, reference));
        for page in frames.chain(components) {
            text += &format!("\n{page}");
        }
    }
    text
}

fn page(row: &DescribedRow, style: Style) -> String {
    let class = if row.name.is_empty() { "" } else { row.class };
    style(row.title(), class, row.doc, &row.properties)
}

fn frame_page(frame: &Frame, style: Style) -> String {
    let title = format!("Every {}", frame.owner);
    style(&title, "", frame.doc, &(frame.properties)())
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_java_class_is_one_of_flume() {
        for row in REGISTRY.described() {
            let is_known = REGISTRY
                .known()
                .any(|known| known.kind == row.kind && known.class == row.class);
            assert!(
                is_known || row.class.is_empty(),
                "{} {} is not a {} of Flume",
                row.title(),
                row.class,
                row.kind
            );
        }
    }

    #[test]
    fn pages_for_a_terminal_fit_it() {
        for row in REGISTRY.described() {
            let page = page(&row, text_page);
            let long = page.lines().find(|line| {
                let is_text = line.starts_with("      ");
                is_text && line.chars().count() > PAGE_COLUMNS && line.trim().contains(' ')
            });
            assert_eq!(long, None);
            assert!(
                row.properties
                    .iter()
                    .all(|property| page.contains(property.key))
            );
        }
    }

    #[test]
    fn the_committed_reference_is_what_the_declarations_say() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/components.md"
        );
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == manual(),
            "stale: run `flume-ng describe --all > docs/reference/components.md`"
        );
    }
}
