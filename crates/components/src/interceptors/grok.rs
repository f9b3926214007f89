//! `grok`: parts of the body as headers, by patterns with names.

use std::collections::BTreeMap;

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str,
    config::{FreeText, Prefix},
    metrics::Counter,
};
use flume_java::regex::JavaRegex;

use super::{
    grok_patterns::PATTERNS,
    search::{RegexSearch, text},
};

/// Most patterns within patterns.
const MAX_DEPTH: usize = 32;
/// Most bytes of an expression with all its patterns written out.
const MAX_EXPANDED_BYTES: usize = 256 << 10;
/// What begins the names of groups that are headers.
const GROUP: &str = "grokHeader";

/// Makes headers of parts of the body. `%{NAME:header}` in a pattern stands for the expression NAME, and its text becomes
/// the header; `%{NAME}` sets none; `(?<header>...)` works, too. The usual names are known: WORD, NUMBER, IPORHOST,
/// TIMESTAMP_ISO8601, LOGLEVEL, COMBINEDAPACHELOG, SYSLOGBASE and so on. A part that is empty or took no part in the match
/// sets nothing. A body that does not match passes unchanged; `GrokFailureCount` counts these. Not an interceptor of
/// Flume.
#[derive(Clone, Config)]
pub(super) struct GrokConfig {
    /// The pattern, in Java's dialect with `%{...}`. It is searched anywhere in the body, which is read as UTF-8.
    #[prop("match")]
    pattern: FreeText,
    /// `match.KEY`: further patterns, tried in the order of their keys if those before do not match.
    #[prop("match")]
    more: Prefix<FreeText>,
    /// `patterns.NAME`: an expression of your own for `%{NAME}`.
    #[prop("patterns")]
    patterns: Prefix<FreeText>,
    /// Whether a header that is already there stays.
    #[prop("preserveExisting", default = false)]
    preserve_existing: bool,
    /// A header that gets the value `true` if no pattern matches; unset: none.
    #[prop("failureHeader")]
    failure_header: Option<String>,
}

pub(super) struct GrokInterceptor {
    searches: Vec<GrokSearch>,
    preserve_existing: bool,
    failure_header: Option<Str>,
    failures: Counter,
}

struct GrokSearch {
    search: RegexSearch,
    /// Groups with their headers.
    headers: Vec<(usize, Str)>,
}

impl Component for GrokInterceptor {
    type Config = GrokConfig;
    fn build(config: GrokConfig, cx: &Context) -> Result<Self, BuildError> {
        let known = library(&config.patterns.0)?;
        let more = config.more.0.iter();
        let more = more.map(|(key, pattern)| (format!("match.{key}"), pattern));
        let searches = std::iter::once(("match".to_string(), &config.pattern))
            .chain(more)
            .map(|(key, pattern)| {
                search(pattern, &known, cx).map_err(|wrong| BuildError::at(&key, wrong))
            });
        Ok(GrokInterceptor {
            searches: searches.collect::<Result<_, _>>()?,
            preserve_existing: config.preserve_existing,
            failure_header: config.failure_header.map(Str::from),
            failures: cx.metrics.counter("GrokFailureCount"),
        })
    }
}

type Library<'a> = BTreeMap<&'a str, &'a str>;

/// All patterns. Those of the configuration come first, and each has to be right, even if nothing names it.
fn library(own: &BTreeMap<String, FreeText>) -> Result<Library<'_>, BuildError> {
    let mut known: Library<'_> = PATTERNS.iter().copied().collect();
    known.extend(own.iter().map(|(name, pattern)| (&**name, &**pattern)));
    for (name, pattern) in own {
        let key = format!("patterns.{name}");
        if !is_pattern_name(name) {
            let text = "names consist of letters, digits and `_`";
            return Err(BuildError::at(&key, text));
        }
        compile(pattern, &known).map_err(|wrong| BuildError::at(&key, wrong))?;
    }
    Ok(known)
}

fn is_pattern_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn search(pattern: &str, known: &Library<'_>, cx: &Context) -> Result<GrokSearch, String> {
    let (regex, names) = compile(pattern, known)?;
    if names.is_empty() {
        let remedy = "give a part a header: `%{NAME:header}`";
        return Err(format!(
            "no part has a header, so nothing is extracted; {remedy}"
        ));
    }
    let headers = names.into_iter().enumerate().filter_map(|(place, name)| {
        let group = regex.group(&format!("{GROUP}{place}"))?;
        Some((group, Str::from(name)))
    });
    Ok(GrokSearch {
        headers: headers.collect(),
        search: RegexSearch::new(regex, cx),
    })
}

/// The expression, and the header of each of its named groups.
fn compile(pattern: &str, known: &Library<'_>) -> Result<(JavaRegex, Vec<String>), String> {
    let mut expansion = GrokExpansion {
        known,
        text: String::new(),
        headers: vec![],
        within: vec![],
    };
    expansion.expand(pattern)?;
    let regex = JavaRegex::new(&expansion.text).map_err(|wrong| {
        format!(
            "{wrong}; with its patterns written out it reads `{}`",
            expansion.text
        )
    })?;
    Ok((regex, expansion.headers))
}

/// A pattern on its way to an expression of Java.
struct GrokExpansion<'a> {
    known: &'a Library<'a>,
    text: String,
    headers: Vec<String>,
    /// Names of the patterns around.
    within: Vec<&'a str>,
}

impl<'a> GrokExpansion<'a> {
    fn expand(&mut self, pattern: &'a str) -> Result<(), String> {
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if self.text.len() > MAX_EXPANDED_BYTES {
                return Err(format!(
                    "with its patterns written out it has more than {MAX_EXPANDED_BYTES} bytes"
                ));
            }
            let taken = if first == '\\' {
                let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
                self.text.push_str(&rest[..1 + escaped]);
                1 + escaped
            } else if let Some(reference) = rest.strip_prefix("%{") {
                let end = reference.find('}');
                let end = end.ok_or_else(|| format!("`}}` is missing after `{rest:.40}`"))?;
                self.reference(&reference[..end])?;
                end + 3
            } else if let Some(name) = named_group(rest) {
                self.begin_group(name);
                name.len() + 4
            } else {
                self.text.push(first);
                first.len_utf8()
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// What stands in `%{...}`.
    fn reference(&mut self, reference: &'a str) -> Result<(), String> {
        let mut parts = reference.splitn(3, ':');
        let name = parts.next().unwrap_or_default();
        let header = parts.next();
        if let Some(kind) = parts.next()
            && !["int", "float", "string"].contains(&kind)
        {
            let known = "`int`, `float` and `string`; headers are text with each of them";
            return Err(format!("`%{{{reference}}}`: the known types are {known}"));
        }
        if header == Some("") {
            return Err(format!(
                "`%{{{reference}}}`: the name of the header is empty"
            ));
        }
        let Some(pattern) = self.known.get(name) else {
            let remedy = format!("set `patterns.{name}`, or name one of the known patterns");
            return Err(format!(
                "`%{{{reference}}}`: there is no pattern `{name}`; {remedy}"
            ));
        };
        if self.within.contains(&name) || self.within.len() >= MAX_DEPTH {
            let way = self.within.join(", ");
            return Err(format!(
                "the pattern `{name}` contains itself by way of {way}"
            ));
        }
        match header {
            Some(header) => self.begin_group(header),
            None => self.text.push_str("(?:"),
        }
        self.within.push(name);
        self.expand(pattern)?;
        self.within.pop();
        self.text.push(')');
        Ok(())
    }

    /// Java's names of groups have neither `_` nor `.`, and are unique.
    fn begin_group(&mut self, header: &str) {
        let group = format!("(?<{GROUP}{}>", self.headers.len());
        self.text.push_str(&group);
        self.headers.push(header.into());
    }
}

/// The name in `(?<name>`.
fn named_group(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix("(?<")?.split_once('>')?;
    let is_name = |c: char| c.is_alphanumeric() || "_.-".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

impl GrokInterceptor {
    fn extract(&self, event: &mut Event) -> bool {
        let body = event.body.clone();
        let text = text(&body);
        let mut tried = self.searches.iter();
        let found = tried.find_map(|one| Some((one, one.search.find(&text)?)));
        let Some((search, groups)) = found else {
            return false;
        };
        // Of two groups for one header the first that took part counts, so it is set last.
        for (group, name) in search.headers.iter().rev() {
            let Some(range) = groups.get(*group).filter(|range| !range.is_empty()) else {
                continue;
            };
            if !self.preserve_existing || event.headers.get(name).is_none() {
                event.headers.set(name.clone(), text[range].into());
            }
        }
        true
    }
}

impl Interceptor for GrokInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            if self.extract(event) {
                continue;
            }
            self.failures.add(1);
            if let Some(name) = &self.failure_header {
                event.headers.set(name.clone(), "true".into());
            }
        }
        Ok(())
    }

    fn may_set(&self, name: &str) -> bool {
        let mut headers = self.searches.iter().flat_map(|search| &search.headers);
        headers.any(|(_, header)| &**header == name) || self.failure_header.as_deref() == Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_library_compiles() {
        let own = BTreeMap::new();
        let known = library(&own).unwrap();
        for (name, pattern) in PATTERNS {
            compile(pattern, &known).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        }
        assert_eq!(known.len(), PATTERNS.len(), "no name is there twice");
    }

    /// Each whole text is a match of the pattern; after the bar are texts that are not.
    #[test]
    fn patterns_match_what_they_say() {
        let own = BTreeMap::new();
        let known = library(&own).unwrap();
        for (name, right, wrong) in [
            ("INT", "0|-12|+7", "x|1.5|"),
            ("NUMBER", "1|-1.5|.5|3.", "x|1e"),
            ("UUID", "123e4567-e89b-12d3-A456-426614174000", "123e4567"),
            ("IPV4", "0.0.0.0|255.1.20.199", "256.1.1.1|1.2.3"),
            (
                "IPV6",
                "::1|fe80::1%eth0|2001:db8:0:0:0:0:2:1|::|::ffff:10.0.0.1",
                "1:2|x::",
            ),
            ("IPORHOST", "10.0.0.1|a|a-b.example.com|::1", "-a"),
            ("MAC", "00:1A:2b:3c:4d:5e|001a.2b3c.4d5e", "00:1A"),
            ("EMAILADDRESS", "a.b+c@example.com", "a@|@b"),
            ("QS", r#""a \" b"|'x'|"""#, r#""a|a""#),
            ("UNIXPATH", "/|/var/log/a-b.log", "var"),
            ("WINPATH", r"C:\a\b.txt", "a"),
            ("URI", "http://a.b:80/c?d=e|ftp://u:p@h/x", "//a"),
            ("MONTH", "Jan|September|jul", "Foo|Janu"),
            ("DAY", "Mon|Tuesday|Thurs", "M"),
            ("TIME", "23:59:60|1:02|12:00:00.123", "24:00:00"),
            (
                "TIMESTAMP_ISO8601",
                "2025-01-31T10:20:30.5Z|2025-1-3 10:20|2025-01-31T10:20:30+02:00",
                "2025-13-01T00:00:00",
            ),
            ("SYSLOGTIMESTAMP", "Jan  1 00:00:00", "1 Jan"),
            ("HTTPDATE", "10/Oct/2000:13:55:36 -0700", "10-Oct-2000"),
            ("LOGLEVEL", "ERROR|warn|Information", "loud"),
            ("DATE", "12/31/2024|31.12.2024", "2024"),
            ("JAVACLASS", "org.a.B$C|B", "1a"),
        ] {
            let pattern = format!("^(?:%{{{name}:it}})$");
            let (regex, _) = compile(&pattern, &known).unwrap();
            for text in right.split('|') {
                assert!(regex.is_found(text).unwrap(), "{name} {text}");
            }
            for text in wrong.split('|') {
                assert!(!regex.is_found(text).unwrap(), "{name} {text}");
            }
        }
    }
}
