//! `http`: posts events to a web server.

use std::time::Duration;

use async_trait::async_trait;
use flume_core::{
    BuildError, Code, Component, Config, Context, Delivered, Event, Kept, Sink, SinkError, Want,
    config::{Ignored, Millis, Prefix},
};
use flume_net::{
    Complaints,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    http_client::{AnswerLimits, HttpAnswer, HttpPeer},
};

/// Bytes of an answer that are read. The connection is closed if there are more.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Characters of an answer that an error quotes.
const QUOTED_CHARS: usize = 200;

/// Posts the body of each event in a request of its own.
///
/// The status of the answer decides what becomes of the event. For each decision the sink looks for the status itself
/// (`rollback.503`), then for its class (`rollback.5XX`), and then takes the default. An event that is rolled back is
/// sent again. An event without a body is left out, with a line in the log.
#[derive(Clone, Config)]
pub(super) struct HttpSinkConfig {
    /// Where events are posted, `http://host:port/path` or `https://…`.
    #[prop("endpoint")]
    endpoint: String,
    /// How long connecting may take, in milliseconds, the TLS handshake included.
    #[prop("connectTimeout", default = 5000)]
    connect_timeout: Millis,
    /// How long an answer may take, in milliseconds.
    #[prop("requestTimeout", default = 5000)]
    request_timeout: Millis,
    /// `Content-Type` of the requests.
    #[prop("contentTypeHeader", default = "text/plain")]
    content_type: String,
    /// `Accept` of the requests.
    #[prop("acceptHeader", default = "text/plain")]
    accept: String,
    /// Whether the sink pauses after an answer with a status that `backoff.*` does not name.
    #[prop("defaultBackoff", default = true)]
    default_backoff: bool,
    /// Whether an event is sent again after an answer with a status that `rollback.*` does not name, 200 included.
    #[prop("defaultRollback", default = true)]
    default_rollback: bool,
    /// What was not rolled back counts as delivered.
    #[prop("defaultIncrementMetrics")]
    _default_increment_metrics: Ignored,
    /// Whether the sink pauses after this status: `backoff.503` or `backoff.5XX`.
    #[prop("backoff")]
    backoff: Prefix<bool>,
    /// Whether the event is sent again after this status: `rollback.200` or `rollback.2XX`.
    #[prop("rollback")]
    rollback: Prefix<bool>,
    /// Accepted for Flume's sake: what was not rolled back counts as delivered.
    #[prop("incrementMetrics")]
    _increment_metrics: Prefix<bool>,
}

pub(super) struct HttpSink {
    config: HttpSinkConfig,
    peer: HttpPeer,
    content_type: HeaderValue,
    accept: HeaderValue,
    complaints: Complaints,
}

impl Component for HttpSink {
    type Config = HttpSinkConfig;
    fn build(config: HttpSinkConfig, cx: &Context) -> Result<Self, BuildError> {
        let wrong = |error: &dyn std::fmt::Display| BuildError::at("endpoint", error.to_string());
        let uri: Uri = config
            .endpoint
            .trim()
            .parse()
            .map_err(|error| wrong(&error))?;
        let limits = AnswerLimits {
            connect_timeout: positive("connectTimeout", config.connect_timeout)?,
            request_timeout: positive("requestTimeout", config.request_timeout)?,
            max_bytes: MAX_ANSWER_BYTES,
        };
        let peer = HttpPeer::new(&uri, limits, cx).map_err(|error| wrong(&error))?;
        Ok(HttpSink {
            peer,
            content_type: value("contentTypeHeader", &config.content_type)?,
            accept: value("acceptHeader", &config.accept)?,
            complaints: Complaints::new(cx.name.clone()),
            config,
        })
    }
}

fn positive(key: &str, Millis(limit): Millis) -> Result<Duration, BuildError> {
    if limit.is_zero() {
        return Err(BuildError::at(key, "must be at least 1"));
    }
    Ok(limit)
}

fn value(key: &str, text: &str) -> Result<HeaderValue, BuildError> {
    HeaderValue::from_str(text).map_err(|_| {
        BuildError::at(
            key,
            "is not a value of an HTTP header: it has a control character",
        )
    })
}

#[async_trait]
impl Sink for HttpSink {
    fn want(&self) -> Want {
        Want::events(1)
    }

    fn remarks(&self, _may_have: &dyn Fn(&str) -> bool) -> Vec<BuildError> {
        let mut remarks = vec![];
        for (key, rules) in [
            ("backoff", &self.config.backoff),
            ("rollback", &self.config.rollback),
        ] {
            for status in rules.0.keys().filter(|status| !is_status(status)) {
                let text =
                    "names no status: write three digits, or a digit and `XX`, such as 503 or 5XX";
                remarks.push(BuildError::of(
                    Code::WrongSetting,
                    &format!("{key}.{status}"),
                    text,
                ));
            }
        }
        if self.rolls_back(StatusCode::OK) {
            let text = "an event that the server accepts with 200 is sent again for ever, unless `rollback.200 = false` \
                        or `defaultRollback = false` is set";
            remarks.push(BuildError::of(Code::SentForEver, "rollback.200", text));
        }
        remarks
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let mut pause = false;
        for (index, event) in batch.iter().enumerate() {
            match self.post(event).await {
                Ok(wants_pause) => pause |= wants_pause,
                Err(error) if index == 0 => return Err(error),
                Err(why) => {
                    return Ok(Delivered {
                        pause,
                        kept: Some(Kept { from: index, why }),
                        ..Delivered::default()
                    });
                }
            }
        }
        Ok(Delivered {
            pause,
            ..Delivered::default()
        })
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.peer.close();
        Ok(())
    }
}

impl HttpSink {
    /// Posts an event; whether the sink should pause after it.
    async fn post(&mut self, event: &Event) -> Result<bool, SinkError> {
        if event.body.is_empty() {
            self.complaints
                .complain("an event without a body was left out");
            return Ok(false);
        }
        let answer = match self.exchange(event).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.failure(error)),
        };
        let status = answer.status;
        let backs_off = decision(&self.config.backoff, status, self.config.default_backoff);
        if !self.rolls_back(status) {
            return Ok(backs_off);
        }
        let mut failure = self.failure(refusal(&answer));
        failure.pause = backs_off;
        Err(failure)
    }

    async fn exchange(&mut self, event: &Event) -> std::io::Result<HttpAnswer> {
        let mut request = self.peer.request(Method::POST, event.body.clone())?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::ACCEPT, self.accept.clone());
        self.peer.send(request).await
    }

    fn rolls_back(&self, status: StatusCode) -> bool {
        decision(&self.config.rollback, status, self.config.default_rollback)
    }

    fn failure(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        let endpoint = flume_core::secrets::masked(&self.config.endpoint);
        SinkError::new(format!("post to {endpoint}"), cause)
    }
}

fn is_status(text: &str) -> bool {
    let (class, rest) = text.split_at_checked(1).unwrap_or(("", ""));
    let is_code = rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit());
    matches!(class, "1" | "2" | "3" | "4" | "5") && (is_code || rest == "XX")
}

fn decision(rules: &Prefix<bool>, status: StatusCode, default: bool) -> bool {
    let class = format!("{}XX", status.as_u16() / 100);
    let rule = rules.0.get(status.as_str()).or_else(|| rules.0.get(&class));
    rule.copied().unwrap_or(default)
}

/// The status, and the beginning of what the server says about it.
fn refusal(answer: &HttpAnswer) -> String {
    let body = answer.body.as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let quoted: String = text.trim().escape_debug().take(QUOTED_CHARS).collect();
    match quoted.as_str() {
        "" => format!("the server answered {}", answer.status),
        quoted => format!("the server answered {}: {quoted}", answer.status),
    }
}
