//! Components whose classes nobody knows when this program is built: they run in a process beside it, such as a JVM.
//!
//! A host registers one row for each kind that it can run. Such a row stands for every class the host takes; its
//! configuration is a [`ForeignConfig`], an open set of properties, because only the class itself can judge them.

use std::collections::BTreeMap;

use crate::{
    config::{Config, Property},
    props::Props,
    registry::Registry,
};

/// What runs foreign classes.
pub struct ForeignHost {
    /// What messages call it: `a JVM`.
    pub name: &'static str,
    /// Whether it runs a class: as the user wrote it, or the class of a component of Flume that this program lacks.
    pub takes: fn(class: &str) -> Hosting,
    /// At most one row of each kind. A class of another kind runs only inside a component that the host runs as a
    /// whole.
    pub components: &'static Registry,
}

/// A host's answer about a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// It runs the class.
    Takes,
    /// It would, but something is missing: what to do about that.
    Unavailable(String),
    /// The class is nothing for this host.
    Refuses,
}

/// The configuration of a component that somebody else reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignConfig {
    /// The class to run.
    pub class: String,
    /// Everything in the component's section, `type` and channels included, by the key after the prefix.
    pub properties: BTreeMap<String, String>,
}

impl Config for ForeignConfig {
    const DOC: &'static str =
        "Runs a class that is not part of this program. Every property is passed on to it.";

    fn properties() -> Vec<Property> {
        vec![]
    }

    fn parse(props: &mut Props<'_>) -> Option<Self> {
        let settings = props.claim("").into_iter();
        Some(ForeignConfig {
            class: props.class.clone(),
            properties: settings.map(|(key, setting)| (key, setting.text)).collect(),
        })
    }
}
