//! `search_replace`: edits bodies.

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, config::FreeText,
};
use flume_java::{
    charset::Charset,
    regex::{JavaRegex, Replacement},
};

use super::search::RegexSearch;

/// Replaces every match of a regular expression in the body.
#[derive(Clone, Config)]
pub(super) struct SearchReplaceConfig {
    /// The expression, in Java's dialect.
    #[prop("searchPattern")]
    search_pattern: JavaRegex,
    /// What a match becomes. `$1` and `${name}` stand for what a group matched, `\$` for a dollar.
    #[prop("replaceString", default = "")]
    replace_string: FreeText,
    /// Character set of the bodies.
    #[prop("charset", default = "UTF-8")]
    charset: Charset,
}

pub(super) struct SearchReplaceInterceptor {
    search: RegexSearch,
    replacement: Replacement,
    charset: Charset,
}

impl Component for SearchReplaceInterceptor {
    type Config = SearchReplaceConfig;
    fn build(config: SearchReplaceConfig, cx: &Context) -> Result<Self, BuildError> {
        let replacement = Replacement::parse(&config.replace_string, &config.search_pattern)
            .map_err(|text| BuildError::at("replaceString", text))?;
        Ok(SearchReplaceInterceptor {
            search: RegexSearch::new(config.search_pattern, cx),
            replacement,
            charset: config.charset,
        })
    }
}

impl Interceptor for SearchReplaceInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            let text = self.charset.decode_lossy(&event.body);
            match self.search.regex.replace_all(&text, &self.replacement) {
                Ok(Some(replaced)) => event.body = self.charset.encode(&replaced).into(),
                Ok(None) => {}
                Err(error) => self.search.give_up(&error),
            }
        }
        Ok(())
    }

    fn may_set(&self, _header: &str) -> bool {
        false
    }
}
