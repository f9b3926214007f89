//! What becomes of a record that no event can be made of, or of an event that no record can be made of.

use std::time::Duration;

use flume_core::{Context, config::Scalar};
use rdkafka::{
    ClientConfig, Message,
    message::{BorrowedMessage, Header, OwnedHeaders},
};

use crate::publisher::{OutgoingRecord, Publisher};

/// Header of a dead letter: what is wrong with it.
pub(crate) const ERROR_HEADER: &str = "flume.error";
/// Header of a dead letter: where it was, as `topic-partition@offset`, or the sink that could not deliver it.
pub(crate) const ORIGIN_HEADER: &str = "flume.origin";

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

/// Does with a bad record what is to be done with it.
pub(crate) struct Disposal {
    policy: BadRecords,
    /// Of the producer of dead letters, which is made when the first comes.
    config: ClientConfig,
    publisher: Option<Publisher>,
    cx: Context,
}

/// What became of a bad record.
pub(crate) enum Disposed {
    Kept,
    Dropped,
    /// It is in this topic now.
    Buried(String),
}

impl Disposal {
    pub(crate) fn new(policy: BadRecords, config: ClientConfig, cx: &Context) -> Self {
        Disposal {
            policy,
            config,
            publisher: None,
            cx: cx.clone(),
        }
    }

    /// Blocks until a dead letter is acknowledged; `Err` says why it is not.
    pub(crate) fn dispose(
        &mut self,
        message: &BorrowedMessage<'_>,
        reason: &str,
    ) -> Result<Disposed, String> {
        let topic = match &self.policy {
            BadRecords::Stop => return Ok(Disposed::Kept),
            BadRecords::Drop => return Ok(Disposed::Dropped),
            BadRecords::Topic(topic) => topic.clone(),
        };
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => {
                let made = Publisher::new(&self.config, Duration::ZERO, &self.cx);
                none.insert(made.map_err(|error| error.to_string())?)
            }
        };
        let origin = format!(
            "{}-{}@{}",
            message.topic(),
            message.partition(),
            message.offset()
        );
        let headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, |headers| headers.detach());
        let headers = headers
            .insert(Header {
                key: ORIGIN_HEADER,
                value: Some(&origin),
            })
            .insert(Header {
                key: ERROR_HEADER,
                value: Some(reason),
            });
        let mut record = OutgoingRecord {
            topic: &topic,
            key: message.key(),
            value: message.payload(),
            headers: Some(headers),
            timestamp: message.timestamp().to_millis(),
            ..OutgoingRecord::default()
        };
        let sending = publisher.begin();
        sending
            .try_add(0, &mut record)
            .map_err(|error| error.to_string())?;
        match sending.finish_blocking().pop() {
            None => Ok(Disposed::Buried(topic)),
            Some(undelivered) => Err(undelivered.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways() {
        assert_eq!(BadRecords::parse("STOP"), Ok(BadRecords::Stop));
        assert_eq!(BadRecords::parse("drop"), Ok(BadRecords::Drop));
        assert_eq!(
            BadRecords::parse("topic: dead"),
            Ok(BadRecords::Topic("dead".into()))
        );
        for wrong in ["", "topic:", "dead", "keep"] {
            assert!(BadRecords::parse(wrong).is_err(), "{wrong}");
        }
    }
}
