//! `regex_extractor`: parts of the body as headers.

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str,
    config::{Names, Prefix},
    metrics::Counter,
};
use flume_java::{date_pattern::DatePattern, defaults, regex::JavaRegex};

use super::search::{RegexSearch, text};

/// Makes headers of what the groups of a regular expression match: the first group goes through the first serializer,
/// and so on. Groups beyond the serializers are left out, and so is one that took no part in the match.
#[derive(Clone, Config)]
pub(super) struct RegexExtractorConfig {
    /// The expression, in Java's dialect. It is searched anywhere in the body, which is read as UTF-8.
    #[prop("regex")]
    regex: JavaRegex,
    /// Names of the serializers, one for each group.
    #[prop("serializers")]
    serializers: Names,
    /// `serializers.NAME.name`: the header. `serializers.NAME.type`: `DEFAULT` keeps the text,
    /// `org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer` makes milliseconds since 1970 of a date.
    /// `serializers.NAME.pattern`: how that date is written, in the letters of Joda-Time.
    #[prop("serializers")]
    settings: Prefix<String>,
}

pub(super) struct RegexExtractorInterceptor {
    search: RegexSearch,
    headers: Vec<ExtractedHeader>,
    unreadable: Counter,
}

/// Where the text of a group goes.
struct ExtractedHeader {
    name: Str,
    /// Of a date, which becomes milliseconds.
    date: Option<DatePattern>,
}

const PASS_THROUGH: [&str; 2] = [
    "DEFAULT",
    "org.apache.flume.interceptor.RegexExtractorInterceptorPassThroughSerializer",
];
const MILLIS: &str = "org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer";

impl Component for RegexExtractorInterceptor {
    type Config = RegexExtractorConfig;
    fn build(config: RegexExtractorConfig, cx: &Context) -> Result<Self, BuildError> {
        let groups = config.regex.groups();
        if groups == 0 {
            return Err(BuildError::at(
                "regex",
                "it has no group, so it extracts nothing",
            ));
        }
        let names: Vec<_> = config.serializers.texts().collect();
        for key in config.settings.0.keys() {
            let known = key.rsplit_once('.').is_some_and(|(name, property)| {
                names.contains(&name) && ["name", "type", "pattern"].contains(&property)
            });
            if !known {
                let text = "expected `name`, `type` or `pattern` of a name that is listed in `serializers`";
                return Err(BuildError::at(&format!("serializers.{key}"), text));
            }
        }
        let headers = names
            .iter()
            .map(|name| extracted_header(name, &config.settings));
        let headers: Vec<_> = headers.collect::<Result<_, _>>()?;
        if headers.len() > groups {
            let text = format!("there are {} for {groups} groups of `regex`", headers.len());
            return Err(BuildError::at("serializers", text));
        }
        Ok(RegexExtractorInterceptor {
            search: RegexSearch::new(config.regex, cx),
            headers,
            unreadable: cx.metrics.counter("DateUnreadableCount"),
        })
    }
}

fn extracted_header(name: &str, settings: &Prefix<String>) -> Result<ExtractedHeader, BuildError> {
    let setting = |property: &str| {
        let value = settings
            .0
            .get(&format!("{name}.{property}"))
            .map(String::as_str);
        value.filter(|value| !value.is_empty())
    };
    let wrong = |property: &str, text: String| {
        BuildError::at(&format!("serializers.{name}.{property}"), text)
    };
    let missing = |property| wrong(property, "it has to be set".into());
    let header = setting("name").ok_or_else(|| missing("name"))?;
    let kind = setting("type").unwrap_or("DEFAULT");
    let date = if PASS_THROUGH
        .iter()
        .any(|known| known.eq_ignore_ascii_case(kind))
    {
        None
    } else if kind == MILLIS {
        let pattern = setting("pattern").ok_or_else(|| missing("pattern"))?;
        let date = DatePattern::new(pattern, defaults::time_zone());
        Some(date.map_err(|text| wrong("pattern", text))?)
    } else {
        return Err(wrong(
            "type",
            format!("expected `DEFAULT` or `{MILLIS}`, found `{kind}`"),
        ));
    };
    Ok(ExtractedHeader {
        name: header.into(),
        date,
    })
}

impl Interceptor for RegexExtractorInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            let body = event.body.clone();
            let text = text(&body);
            let Some(groups) = self.search.find(&text) else {
                continue;
            };
            for (place, header) in self.headers.iter().enumerate() {
                let Some(range) = groups.get(place + 1) else {
                    continue;
                };
                match header.value(&text[range]) {
                    Some(value) => event.headers.set(header.name.clone(), value),
                    None => self.unreadable.add(1),
                }
            }
        }
        Ok(())
    }

    fn may_set(&self, name: &str) -> bool {
        self.headers.iter().any(|header| &*header.name == name)
    }
}

impl ExtractedHeader {
    /// None for a date that cannot be read.
    fn value(&self, text: &str) -> Option<Str> {
        match &self.date {
            None => Some(text.into()),
            Some(date) => date.millis(text).map(|millis| millis.to_string().into()),
        }
    }
}
