//! `flume-ng describe`: what there is, and how it is configured, from the declarations themselves.

use flume_conf::SourceFrame;
use flume_core::{
    Channel, ChannelSelector, Config, EventSerializer, Interceptor, RunnerConfig, Sink,
    SinkProcessor, Source,
    component::{ComponentKind, Known},
    props::{nearest, reference},
};

use crate::{
    args::Args,
    hadoop,
    known::KNOWN,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
};

/// A component, for reading.
struct Page {
    kind: &'static str,
    title: &'static str,
    class: &'static str,
    doc: &'static str,
    text: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match (args.has("all"), args.rest.first()) {
        (true, _) => print(&manual()),
        (false, None) => print(&list()),
        (false, Some(name)) if name == "hadoop" => hadoop::describe(args),
        (false, Some(name)) => print(&describe(name)?),
    }
}

fn pages() -> Vec<Page> {
    let mut pages = vec![];
    add::<dyn Source>(&mut pages);
    add::<dyn Channel>(&mut pages);
    add::<dyn Sink>(&mut pages);
    add::<dyn Interceptor>(&mut pages);
    add::<dyn ChannelSelector>(&mut pages);
    add::<dyn EventSerializer>(&mut pages);
    add::<dyn SinkProcessor>(&mut pages);
    pages
}

fn add<K: ComponentKind + ?Sized + 'static>(pages: &mut Vec<Page>) {
    pages.extend(K::tables(&REGISTRY).iter().copied().flatten().map(|row| {
        let title = row.title();
        let class = if row.name.is_empty() { "" } else { row.class };
        let text = reference(title, class, row.doc, &(row.properties)());
        Page {
            kind: K::NAME,
            title,
            class: row.class,
            doc: row.doc,
            text,
        }
    }));
}

/// Components of Flume that no row of the registry stands for.
fn missing(pages: &[Page]) -> impl Iterator<Item = &'static Known> {
    let built = |known: &&Known| {
        pages
            .iter()
            .any(|page| page.kind == known.kind && page.class == known.class)
    };
    KNOWN.iter().filter(move |known| !built(known))
}

fn list() -> String {
    let pages = pages();
    let mut text = String::new();
    let mut kind = "";
    for page in &pages {
        if page.kind != kind {
            kind = page.kind;
            text += &format!("{kind}s\n");
        }
        let first = page.doc.split_inclusive(". ").next().unwrap_or_default();
        text += &format!("  {:20} {}\n", page.title, first.trim_end());
    }
    let kinds: Vec<_> = pages.iter().map(|page| page.kind).collect();
    let absent: Vec<_> = missing(&pages)
        .filter(|known| kinds.contains(&known.kind))
        .collect();
    text += "components of Flume that this build does not have\n";
    for kind in [
        "source",
        "channel",
        "sink",
        "interceptor",
        "channel selector",
        "serializer",
        "sink processor",
    ] {
        let names = absent.iter().filter(|known| known.kind == kind);
        let names: Vec<_> = names
            .map(|known| {
                if known.name.is_empty() {
                    known.class
                } else {
                    known.name
                }
            })
            .collect();
        text += &format!("  {kind}s: {}\n", names.join(", "));
    }
    text
}

fn describe(name: &str) -> Result<String, Failure> {
    let pages = pages();
    let is = |page: &&Page| {
        page.title.eq_ignore_ascii_case(name) || page.class.eq_ignore_ascii_case(name)
    };
    let found: Vec<_> = pages
        .iter()
        .filter(is)
        .map(|page| page.text.as_str())
        .collect();
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    let absent = |known: &&Known| {
        known.name.eq_ignore_ascii_case(name) || known.class.eq_ignore_ascii_case(name)
    };
    if let Some(known) = KNOWN
        .iter()
        .filter(|known| !known.name.is_empty() || !known.class.is_empty())
        .find(absent)
    {
        let text = known.missing(name);
        return Err(Failure::Usage(text));
    }
    let near = nearest(name, pages.iter().map(|page| page.title));
    let hint = near
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default();
    Err(Failure::Usage(format!(
        "there is no component `{name}`{hint}"
    )))
}

/// The reference manual.
fn manual() -> String {
    let mut text = String::from(
        "# Components\n\nGenerated from the declarations by `flume-ng describe --all`.\n\n\
         A property of type `milliseconds` or `seconds` is a number of that unit. One of type `no effect` is accepted, \
         because Flume has it, and does nothing here; its description says why.\n",
    );
    let mut kind = "";
    for page in pages() {
        if page.kind != kind {
            kind = page.kind;
            let mut letters = kind.chars();
            let first = letters
                .next()
                .map(|letter| letter.to_ascii_uppercase())
                .unwrap_or_default();
            text += &format!("\n## {first}{}s\n", letters.as_str());
            let common = match kind {
                "source" => Some((SourceFrame::DOC, SourceFrame::properties())),
                "sink" => Some((RunnerConfig::DOC, RunnerConfig::properties())),
                _ => None,
            };
            if let Some((doc, rows)) = common {
                text += &format!("\n{}", reference(&format!("Every {kind}"), "", doc, &rows));
            }
        }
        text += &format!("\n{}", page.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_components_of_flume_are_known() {
        assert_eq!(KNOWN.len(), 132);
        for page in pages() {
            let known = KNOWN
                .iter()
                .any(|known| known.kind == page.kind && known.class == page.class);
            assert!(
                known,
                "{} {} is not a {} of Flume",
                page.title, page.class, page.kind
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
