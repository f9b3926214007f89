//! What becomes of a record that no event can be made of, or of an event that no record can be made of.

use flume_core::config::Scalar;

/// `stop`, `drop` or `topic:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadRecords {
    /// It stays where it is, and what is behind it in its partition waits.
    Stop,
    /// It is counted and left out.
    Drop,
    /// It goes to a topic as it is.
    Topic(String),
}

impl Scalar for BadRecords {
    const TYPE: &'static str = "choice";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("stop") => Ok(BadRecords::Stop),
            _ if text.eq_ignore_ascii_case("drop") => Ok(BadRecords::Drop),
            _ => match text.strip_prefix("topic:").map(str::trim) {
                Some(topic) if !topic.is_empty() => Ok(BadRecords::Topic(topic.into())),
                _ => Err("`stop`, `drop` or `topic:` and the name of a topic".into()),
            },
        }
    }
}
