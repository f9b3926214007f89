//! What a stop could not deliver and could not keep.

use std::collections::BTreeMap;

/// Events that are lost with the channels that were closed, by channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remained {
    /// All of them.
    pub events: BTreeMap<String, usize>,
    /// Those among them whose channel promised to keep them.
    pub unsaved: usize,
}

impl Remained {
    /// Nothing.
    pub fn new() -> Self {
        Remained::default()
    }

    /// Adds what a channel lost when it was closed.
    pub fn add(&mut self, channel: &str, events: usize, durable: bool) {
        if events > 0 {
            *self.events.entry(channel.into()).or_default() += events;
            self.unsaved += if durable { events } else { 0 };
        }
    }

    /// Adds all of another count.
    pub fn merge(&mut self, other: Remained) {
        for (channel, events) in other.events {
            *self.events.entry(channel).or_default() += events;
        }
        self.unsaved += other.unsaved;
    }

    /// Whether no event is lost.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many are lost.
    pub fn count(&self) -> usize {
        self.events.values().sum()
    }
}
