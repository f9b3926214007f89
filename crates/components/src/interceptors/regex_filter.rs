//! `regex_filter`: keeps or drops events by what their bodies contain.

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor};
use flume_java::regex::JavaRegex;

use super::search::{RegexSearch, text};

/// Keeps the events whose body contains a match of a regular expression, or drops them.
#[derive(Clone, Config)]
pub(super) struct RegexFilterConfig {
    /// The expression, in Java's dialect. It is searched anywhere in the body, which is read as UTF-8.
    #[prop("regex", default = ".*")]
    regex: JavaRegex,
    /// Whether events that match are dropped, rather than those that do not.
    #[prop("excludeEvents", default = false)]
    exclude_events: bool,
}

pub(super) struct RegexFilterInterceptor {
    search: RegexSearch,
    exclude_events: bool,
}

impl Component for RegexFilterInterceptor {
    type Config = RegexFilterConfig;
    fn build(config: RegexFilterConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(RegexFilterInterceptor {
            search: RegexSearch::new(config.regex, cx),
            exclude_events: config.exclude_events,
        })
    }
}

impl Interceptor for RegexFilterInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        batch.retain(|event| {
            let text = text(&event.body);
            let found = self.search.regex.is_found(&text).unwrap_or_else(|error| {
                self.search.give_up(&error);
                false
            });
            found != self.exclude_events
        });
        Ok(())
    }

    fn may_set(&self, _header: &str) -> bool {
        false
    }
}
