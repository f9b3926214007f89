//! Small parts that tests are made of: components from text, events from words.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flume_core::{
    BuildError, Context, Event, Registry, Take,
    config::Config,
    props::{Props, Section, Setting},
    registry::ComponentKind,
};

/// A component of the tables from `key = value` lines.
///
/// # Panics
/// With everything that is wrong with the text.
pub fn build<K: ComponentKind + ?Sized + 'static>(
    registry: &Registry,
    name: &str,
    text: &str,
    cx: &Context,
) -> Box<K> {
    try_build(registry, name, text, cx).unwrap_or_else(|error| panic!("{error}"))
}

/// The same for a text that is right in each property and may be wrong as a whole.
///
/// # Panics
/// With everything that is wrong with single properties.
pub fn try_build<K: ComponentKind + ?Sized + 'static>(
    registry: &Registry,
    name: &str,
    text: &str,
    cx: &Context,
) -> Result<Box<K>, BuildError> {
    let mut props = Props::new(registry, section(&cx.name, text));
    let found = registry
        .find::<K>(name)
        .unwrap_or_else(|unknown| panic!("{}", unknown.text));
    let constructor = found.parse(&mut props);
    props.warn_unread(&(found.row.properties)());
    assert!(props.diagnostics.is_empty(), "{:#?}", props.diagnostics);
    constructor.expect("a constructor, as nothing is wrong")(cx)
}

/// A declared set of properties from `key = value` lines; what is wrong is left in the reader.
pub fn read<C: Config>(registry: &Registry, name: &str, text: &str) -> (Option<C>, Vec<String>) {
    let mut props = Props::new(registry, section(name, text));
    let config = C::parse(&mut props);
    props.warn_unread(&C::properties());
    (
        config,
        props
            .diagnostics
            .iter()
            .map(|found| format!("{}: {}: {}", found.severity(), found.key, found.text))
            .collect(),
    )
}

fn section(name: &str, text: &str) -> Section {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let setting = |value: &str| Setting {
        text: value.trim().into(),
        ..Setting::default()
    };
    let settings = pairs
        .map(|(key, value)| (key.trim().into(), setting(value)))
        .collect();
    Section {
        name: name.into(),
        settings,
        ..Section::default()
    }
}

/// One event per word.
pub fn events(words: &str) -> Vec<Event> {
    words
        .split_whitespace()
        .map(|word| Event::from(word.to_string()))
        .collect()
}

/// The inverse of [`events`].
pub fn words(events: &[Event]) -> String {
    events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.body))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The headers of an event, in order: `a=1, b=2`.
pub fn headers(event: &Event) -> String {
    let headers = event.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    headers.join(", ")
}

/// What a take holds.
pub fn held(take: &dyn Take) -> String {
    words(take.events())
}

/// Every file below a directory with its bytes, in order.
pub fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = vec![];
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files_below(&path));
        } else {
            all.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
    all.sort();
    all
}
