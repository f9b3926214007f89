//! Trying Java components without an agent: each class is loaded and configured in a JVM, and thrown away.

use std::{thread, time::Duration};

use flume_core::props::did_you_mean;
use parking_lot::Mutex;

use crate::{
    connection::{BlockingLane, HostError},
    worker::Worker,
};

/// How long a class may take to be loaded and configured.
const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(60);
/// A class that ends the JVM must not keep the next one from its trial: the JVM starts again after a pause.
const CONNECT_ATTEMPTS: usize = 8;
const CONNECT_PAUSE: Duration = Duration::from_millis(1100);
/// What Flume reads of a component's section, not the class.
const FRAME_WORDS: &[&str] = &["type", "channel", "channels", "interceptors", "selector"];

static RECORDED: Mutex<Option<Vec<Worker>>> = Mutex::new(None);

/// From now on Java components that are built are kept for [`try_recorded`].
pub fn record_components() {
    *RECORDED.lock() = Some(vec![]);
}

pub(crate) fn record(worker: &Worker) {
    if let Some(recorded) = RECORDED.lock().as_mut() {
        // A component may be built more than once.
        if !(recorded.iter()).any(|known| known.full_name == worker.full_name) {
            recorded.push(worker.clone());
        }
    }
}

/// What became of a Java component that was tried.
#[derive(Debug)]
pub struct Trial {
    /// Its full name: `a1.sources.r1.interceptors.i1`.
    pub component: String,
    /// Its class.
    pub class: String,
    /// The properties that it never asked for, or why it fails.
    pub outcome: Result<Vec<Unread>, String>,
}

/// A property that a class did not ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its key in the component's section.
    pub key: String,
    /// A key that it asked for and that is spelt alike.
    pub near: Option<String>,
}

/// Loads and configures each component that was built since [`record_components`], in a JVM. Blocks.
pub fn try_recorded() -> Vec<Trial> {
    let recorded = RECORDED.lock().take().unwrap_or_default();
    let tried = recorded.iter().map(|worker| Trial {
        component: worker.full_name.clone(),
        class: worker.title.clone(),
        outcome: try_out(worker).map_err(|error| error.to_string()),
    });
    tried.collect()
}

fn try_out(worker: &Worker) -> Result<Vec<Unread>, HostError> {
    let lane = connect(worker)?;
    let asked = worker.configure(&lane, CONFIGURE_TIMEOUT)?;
    let unread = unread(worker.properties.keys(), &asked);
    let of_the_class = |unread: &Unread| {
        let first = unread.key.split('.').next().unwrap_or_default();
        !FRAME_WORDS.contains(&first)
    };
    Ok(unread.into_iter().filter(of_the_class).collect())
}

fn connect(worker: &Worker) -> Result<BlockingLane, HostError> {
    let mut connected = worker.connect();
    for _ in 1..CONNECT_ATTEMPTS {
        if connected.is_ok() {
            break;
        }
        thread::sleep(CONNECT_PAUSE);
        connected = worker.connect();
    }
    Ok(connected?.blocking_lane(worker.lane_owner()))
}

/// Keys that are not among those that a component asked for. A name that ends with a dot stands for all below it.
pub(crate) fn unread<'a>(
    keys: impl Iterator<Item = &'a String>,
    asked: &[impl AsRef<str>],
) -> Vec<Unread> {
    let asked: Vec<&str> = asked.iter().map(AsRef::as_ref).collect();
    let is_asked = |key: &str| {
        let covers =
            |asked: &&str| *asked == key || (asked.ends_with('.') && key.starts_with(asked));
        asked.iter().any(covers)
    };
    let unread = keys.filter(|key| !is_asked(key)).map(|key| Unread {
        key: key.clone(),
        near: did_you_mean(key, asked.iter().copied()),
    });
    unread.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_class_never_asked_for_is_named() {
        let keys = ["rolInterval", "pool.size", "directory", "note"].map(String::from);
        let found = unread(keys.iter(), &["directory", "pool.", "rollInterval"]);
        let found: Vec<_> = found
            .iter()
            .map(|unread| (&unread.key[..], unread.near.is_some()))
            .collect();
        assert_eq!(found, [("rolInterval", true), ("note", false)]);
    }
}
