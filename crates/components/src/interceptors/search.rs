//! What the interceptors share that search bodies with a regular expression.

use std::borrow::Cow;

use flume_core::{Context, metrics::Counter};
use flume_java::regex::{Groups, JavaRegex};

/// Searches texts, and counts those on which the pattern takes too many steps.
pub(super) struct RegexSearch {
    pub(super) regex: JavaRegex,
    given_up: Counter,
    component: String,
}

impl RegexSearch {
    pub(super) fn new(regex: JavaRegex, cx: &Context) -> Self {
        RegexSearch {
            regex,
            given_up: cx.metrics.counter("RegexGivenUpCount"),
            component: cx.name.to_string(),
        }
    }

    /// The first match.
    pub(super) fn find(&self, text: &str) -> Option<Groups> {
        let found = self.regex.find_at(text, 0);
        found.unwrap_or_else(|error| {
            self.give_up(&error);
            None
        })
    }

    /// Counts a text that counts as one without a match; says so the first time.
    pub(super) fn give_up(&self, error: &dyn std::error::Error) {
        if self.given_up.get() == 0 {
            let component = &self.component;
            let pattern = &self.regex;
            tracing::warn!(
                "{component}: {error}, so it counts as not matching; RegexGivenUpCount counts these: {pattern:?}"
            );
        }
        self.given_up.add(1);
    }
}

/// A body as Java reads UTF-8: what is malformed becomes U+FFFD.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}
