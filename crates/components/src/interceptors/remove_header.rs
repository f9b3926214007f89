//! `remove_header`: takes headers away.

use std::collections::BTreeSet;

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str};
use flume_java::regex::{JavaRegex, NamePattern};

/// Removes headers by name, from a list, or by a pattern of their names.
#[derive(Clone, Config)]
pub(super) struct RemoveHeaderConfig {
    /// Name of a header to remove.
    #[prop("withName")]
    with_name: Option<String>,
    /// Names of headers to remove.
    #[prop("fromList")]
    from_list: Option<String>,
    /// A regular expression in Java's dialect that stands between the names of `fromList`.
    #[prop("fromListSeparator", default = r"\s*,\s*")]
    from_list_separator: JavaRegex,
    /// A regular expression in Java's dialect; headers are removed whose whole name it matches.
    #[prop("matching")]
    matching: Option<NamePattern>,
}

pub(super) struct RemoveHeaderInterceptor {
    names: BTreeSet<String>,
    matching: Option<NamePattern>,
}

impl Component for RemoveHeaderInterceptor {
    type Config = RemoveHeaderConfig;
    fn build(config: RemoveHeaderConfig, _: &Context) -> Result<Self, BuildError> {
        let list = config.from_list.unwrap_or_default();
        let names = config.from_list_separator.split(&list);
        let names =
            names.map_err(|error| BuildError::at("fromListSeparator", error.to_string()))?;
        let mut names: BTreeSet<_> = names.into_iter().map(String::from).collect();
        names.extend(config.with_name);
        Ok(RemoveHeaderInterceptor {
            names,
            matching: config.matching,
        })
    }
}

impl RemoveHeaderInterceptor {
    fn removes(&self, name: &str) -> bool {
        self.names.contains(name)
            || self
                .matching
                .as_ref()
                .is_some_and(|pattern| pattern.matches(name))
    }
}

impl Interceptor for RemoveHeaderInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            let names = event.headers.iter().map(|(name, _)| name);
            let removed: Vec<Str> = names.filter(|name| self.removes(name)).cloned().collect();
            for name in removed {
                event.headers.remove(&name);
            }
        }
        Ok(())
    }

    fn may_set(&self, _header: &str) -> bool {
        false
    }
}
