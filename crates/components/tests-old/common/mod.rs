//! Builds components from the tables, as an agent would.
#![allow(dead_code, reason = "not every user needs every helper")]

use flume_components::REGISTRY;
use flume_core::{
    Context, Event, Take,
    component::{Kind, find},
    props::Props,
};

/// `key = value` lines as the properties of `at`.
pub(crate) fn props(at: &str, text: &str) -> Props<'static> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let values = pairs.map(|(key, value)| (key.trim().into(), value.trim().into())).collect();
    Props::new(&REGISTRY, at, values)
}

/// A component of the table, or a panic with everything that is wrong.
pub(crate) fn build<K: Kind + ?Sized + 'static>(name: &str, text: &str, cx: &Context) -> Box<K> {
    let mut props = props(&cx.name, text);
    let constructor = find(K::table(&REGISTRY), name).expect("known").parse(&mut props);
    assert!(
        props.problems.is_empty() && props.warnings.is_empty(),
        "{:?} {:?}",
        props.problems,
        props.warnings
    );
    constructor.expect("no problems")(cx).expect("built")
}

/// One event per word.
pub(crate) fn events(words: &'static str) -> Vec<Event> {
    words.split_whitespace().map(Event::from).collect()
}

/// The inverse of [`events`].
pub(crate) fn words(events: &[Event]) -> String {
    events.iter().map(|event| String::from_utf8_lossy(&event.body)).collect::<Vec<_>>().join(" ")
}

/// What a take holds.
pub(crate) fn held(take: &dyn Take) -> String {
    words(take.events())
}
