//! The routes of a configuration, and those that no test took.

use std::collections::BTreeSet;

use flume_conf::{Plan, SourcePlan};
use flume_core::{Event, component::short_name};

/// A way that events can take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Full name of the source.
    pub source: String,
    /// What it is: `interceptor i1 changes an event`, `header state has the value CZ`, `channel c1 gets an event`.
    pub text: String,
}

impl Route {
    pub(crate) fn changed(source: &str, interceptor: &str) -> Route {
        Route {
            source: source.into(),
            text: format!("interceptor {interceptor} changes or drops an event"),
        }
    }

    pub(crate) fn channel(source: &str, channel: &str) -> Route {
        Route {
            source: source.into(),
            text: format!("channel {channel} gets an event"),
        }
    }

    fn branch(source: &str, header: &str, value: Option<&str>) -> Route {
        let text = match value {
            Some(value) => format!("header {header} has the value {value}"),
            None => format!("header {header} has none of the mapped values"),
        };
        Route {
            source: source.into(),
            text,
        }
    }
}

/// All routes of a plan.
pub(crate) fn routes(plan: &Plan) -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for source in &plan.sources {
        let name = &source.section.name;
        routes.extend(
            interceptors(source)
                .into_iter()
                .map(|interceptor| Route::changed(name, &interceptor)),
        );
        routes.extend(
            source
                .frame
                .channels
                .texts()
                .map(|channel| Route::channel(name, channel)),
        );
        if let Some(branches) = Branches::of(source) {
            routes.extend(
                branches
                    .values
                    .iter()
                    .map(|value| Route::branch(name, &branches.header, Some(value))),
            );
            routes.insert(Route::branch(name, &branches.header, None));
        }
    }
    routes
}

/// Names of a source's interceptors, in their order.
pub(crate) fn interceptors(source: &SourcePlan) -> Vec<String> {
    let names = source.frame_section.settings.get("interceptors");
    let names = names.map_or("", |setting| &setting.text);
    names
        .split([' ', '\t', ','])
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect()
}

/// The branches of a selector that looks at a header.
pub(crate) struct Branches {
    header: String,
    values: BTreeSet<String>,
}

impl Branches {
    pub(crate) fn of(source: &SourcePlan) -> Option<Branches> {
        let settings = &source.frame_section.settings;
        let mapped = |key: &str| {
            let value = key.strip_prefix("selector.mapping.");
            value
                .or_else(|| key.strip_prefix("selector.optional."))
                .map(String::from)
        };
        let values: BTreeSet<_> = settings.keys().filter_map(|key| mapped(key)).collect();
        let header = settings
            .get("selector.header")
            .map_or("flume.selector.header", |setting| &setting.text);
        (!values.is_empty()).then(|| Branches {
            header: header.into(),
            values,
        })
    }

    /// The branch that an event takes.
    pub(crate) fn taken(&self, source: &str, event: &Event) -> Route {
        let value = event
            .headers
            .get(&self.header)
            .map(|value| value.to_string());
        let value = value.filter(|value| self.values.contains(value));
        Route::branch(source, &self.header, value.as_deref())
    }
}

/// The short name of the source.
pub(crate) fn is_named(source: &SourcePlan, name: &str) -> bool {
    short_name(&source.section.name) == name
}
