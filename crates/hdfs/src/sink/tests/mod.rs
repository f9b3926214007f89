//! The sink on the local file system, and on one that fails as a test says.

mod crashes;
mod faults;
mod local;
mod model;
mod schemas;

use flume_core::{Cause, Context, Event, Registry};
use flume_testkit::parts;

use super::*;

static REGISTRY: Registry = Registry {
    includes: &[&crate::REGISTRY, &flume_components::REGISTRY],
    ..Registry::EMPTY
};

/// A sink of `key = value` lines.
fn sink(text: &str, cx: &Context) -> HdfsSink {
    let (config, wrong) = parts::read::<HdfsConfig>(&REGISTRY, &cx.name, text);
    assert!(wrong.is_empty(), "{wrong:?}");
    HdfsSink::build(config.unwrap(), cx).unwrap()
}

/// What is wrong with `key = value` lines.
fn wrong(text: &str) -> String {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let (config, mut wrong) = parts::read::<HdfsConfig>(&REGISTRY, &cx.name, text);
    wrong.extend(
        config
            .and_then(|config| HdfsSink::build(config, &cx).err())
            .map(|error| error.to_string()),
    );
    wrong.join("\n")
}

/// `h1:a h2:b`: bodies with a header `h`; without a colon there is none.
fn events(words: &str) -> Vec<Event> {
    words.split_whitespace().map(event).collect()
}

fn event(word: &str) -> Event {
    let (header, body) = word.split_once(':').unwrap_or(("", word));
    let mut event = Event::from(body.to_string());
    if !header.is_empty() {
        event.headers.set("h".into(), header.to_string().into());
    }
    event
}
