//! Sends the spans of batches to a collector of OpenTelemetry: OTLP over HTTP, as JSON.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use flume_core::{
    AgentInfo, Context,
    component::short_name,
    secrets,
    spans::{Span, SpanStep},
};
use flume_net::http_client::{AnswerLimits, HttpPeer};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

/// How often spans are sent.
const SEND_INTERVAL: Duration = Duration::from_millis(500);
/// Most spans of one request.
const MAX_SPANS_PER_REQUEST: usize = 1000;
/// How long the last spans may take when the agent stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
const LIMITS: AnswerLimits = AnswerLimits {
    connect_timeout: Duration::from_secs(5),
    request_timeout: Duration::from_secs(10),
    max_bytes: 64 << 10,
};
/// What OTLP calls them.
const KIND_INTERNAL: u8 = 1;
const STATUS_ERROR: u8 = 2;

/// Where spans are sent, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The part of all batches that is recorded.
    pub ratio: f64,
    /// The name of this host.
    host: String,
}

impl OtlpSettings {
    /// Reads `flume.otlp.*`; `None`: nobody asks for spans.
    ///
    /// # Errors
    /// A property is wrong.
    pub fn of(properties: &BTreeMap<String, String>, host: &str) -> Result<Option<Self>, String> {
        let get = |name: &str| properties.get(&format!("flume.otlp.{name}"));
        let Some(endpoint) = get("endpoint") else {
            let stray = ["headers", "ratio"]
                .into_iter()
                .find(|name| get(name).is_some());
            return match stray {
                Some(name) => Err(format!(
                    "flume.otlp.{name} is set and flume.otlp.endpoint is not; write the address of a collector: http://host:4318"
                )),
                None => Ok(None),
            };
        };
        let wrong = || {
            format!(
                "flume.otlp.endpoint takes an address such as http://host:4318, not `{endpoint}`"
            )
        };
        let uri: Uri = format!("{}/v1/traces", endpoint.trim_end_matches('/'))
            .parse()
            .map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(wrong());
        }
        let ratio = get("ratio").map_or(Ok(1.0), |text| {
            let ratio = text.parse().ok();
            let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio
                .ok_or_else(|| format!("flume.otlp.ratio takes a number from 0 to 1, not `{text}`"))
        })?;
        let headers = get("headers").map_or("", String::as_str).split(',');
        let headers = headers.map(str::trim).filter(|pair| !pair.is_empty());
        Ok(Some(OtlpSettings {
            uri,
            headers: headers.map(header).collect::<Result<_, _>>()?,
            ratio,
            host: host.into(),
        }))
    }
}

/// `name=value`. The value may be a secret: nothing shows it.
fn header(pair: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = pair
        .split_once('=')
        .ok_or("flume.otlp.headers takes NAME=VALUE,NAME=VALUE")?;
    let [name, value] = [name, value].map(str::trim);
    secrets::remember(value);
    let parsed = name.parse().ok().zip(HeaderValue::from_str(value).ok());
    let wrong = || format!("flume.otlp.headers: `{name}` and its value are no header of HTTP");
    let (name, mut value) = parsed.ok_or_else(wrong)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The task that sends spans.
pub struct SpanExport {
    ending: Arc<Notify>,
    task: JoinHandle<()>,
}

impl SpanExport {
    /// Begins to send what the agent records.
    pub fn start(settings: OtlpSettings, agent: Arc<AgentInfo>) -> Self {
        let ending = Arc::new(Notify::new());
        let task = tokio::spawn(export(settings, agent, ending.clone()));
        SpanExport { ending, task }
    }

    /// Sends what is left, unless that takes too long.
    pub async fn finish(self) {
        self.ending.notify_one();
        let _ = timeout(FINISH_TIMEOUT, self.task).await;
    }
}

async fn export(settings: OtlpSettings, agent: Arc<AgentInfo>, ending: Arc<Notify>) {
    let cx = Context::of_agent(&format!("{}.otlp", agent.name), vec![], agent.clone());
    let peer = match HttpPeer::new(&settings.uri, LIMITS, &cx) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::error!("failed to send spans to {}: {error}", settings.uri);
            return;
        }
    };
    let mut exporter = Exporter {
        settings,
        agent,
        peer,
        fails: false,
    };
    let mut tick = interval(SEND_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            _ = tick.tick() => false,
            () = ending.notified() => true,
        };
        exporter.export().await;
        if is_last {
            return;
        }
    }
}

struct Exporter {
    settings: OtlpSettings,
    agent: Arc<AgentInfo>,
    peer: HttpPeer,
    /// Whether the last request failed.
    fails: bool,
}

impl Exporter {
    /// Sends what was recorded. What the collector does not take is lost: events matter more than their traces.
    async fn export(&mut self) {
        for spans in self.agent.spans.drain().chunks(MAX_SPANS_PER_REQUEST) {
            match self.send(spans).await {
                Ok(refused) => {
                    self.agent.spans.lost(refused.min(spans.len()));
                    if self.fails {
                        tracing::info!("{} takes spans again", self.settings.uri);
                    }
                    self.fails = false;
                }
                Err(error) => {
                    self.agent.spans.lost(spans.len());
                    if !self.fails {
                        tracing::warn!(
                            "failed to send spans to {}: {error}; SpanLostCount counts what is lost until it takes them",
                            self.settings.uri
                        );
                    }
                    self.fails = true;
                }
            }
        }
    }

    /// How many spans the collector refused.
    async fn send(&mut self, spans: &[Span]) -> io::Result<usize> {
        let body = request_body(&self.agent.name, &self.settings.host, spans).to_string();
        let mut request = self.peer.request(Method::POST, body.into())?;
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.extend(self.settings.headers.iter().cloned());
        let answer = self.peer.send(request).await?;
        if !answer.status.is_success() {
            return Err(io::Error::other(format!("it answers {}", answer.status)));
        }
        let answer: Value =
            serde_json::from_slice(&answer.body.unwrap_or_default()).unwrap_or_default();
        let refused = &answer["partialSuccess"]["rejectedSpans"];
        // A number of 64 bits is a text in the JSON of Protocol Buffers.
        let refused = refused.as_u64().or_else(|| refused.as_str()?.parse().ok());
        Ok(refused.map_or(0, |refused| usize::try_from(refused).unwrap_or(usize::MAX)))
    }
}

/// An `ExportTraceServiceRequest`.
fn request_body(agent: &str, host: &str, spans: &[Span]) -> Value {
    let spans: Vec<_> = spans.iter().map(span_json).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            attribute("service.name", "flume"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("host.name", host),
            attribute("flume.agent", agent),
        ]},
        "scopeSpans": [{
            "scope": {"name": "flume", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

fn span_json(span: &Span) -> Value {
    let name = short_name(&span.component);
    let name = match span.step {
        SpanStep::Source => format!("source {name}"),
        SpanStep::Put => format!("put {name}"),
        SpanStep::Take => format!("take {name}"),
        SpanStep::Sink => format!("sink {name}"),
    };
    let mut shown = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "name": name,
        "kind": KIND_INTERNAL,
        "startTimeUnixNano": nanos(span.began).to_string(),
        "endTimeUnixNano": nanos(span.began + span.took).to_string(),
        "attributes": [
            attribute("flume.component", &span.component),
            json!({"key": "flume.events", "value": {"intValue": span.events.to_string()}}),
        ],
    });
    if let Some(parent) = span.parent {
        shown["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(error) = &span.error {
        shown["status"] = json!({"code": STATUS_ERROR, "message": error});
    }
    shown
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> Result<Option<OtlpSettings>, String> {
        let properties = properties.iter();
        let properties =
            properties.map(|(key, value)| (format!("flume.otlp.{key}"), value.to_string()));
        OtlpSettings::of(&properties.collect(), "host")
    }

    #[test]
    fn properties_say_where_spans_go() {
        assert_eq!(settings(&[]).unwrap(), None);
        let all = settings(&[
            ("endpoint", "https://collector:4318/"),
            ("headers", "x-key=a=b, other = c"),
            ("ratio", "0.25"),
        ]);
        let all = all.unwrap().unwrap();
        assert_eq!(all.uri, "https://collector:4318/v1/traces");
        let headers: Vec<_> = all
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        assert_eq!(
            headers,
            [
                ("x-key", &"a=b".parse().unwrap()),
                ("other", &"c".parse().unwrap())
            ]
        );
        assert_eq!(all.ratio, 0.25);
    }

    #[test]
    fn a_wrong_property_is_told_without_its_secret() {
        for (properties, expected) in [
            (&[("ratio", "1")][..], "flume.otlp.endpoint is not"),
            (
                &[("endpoint", "collector:4318")],
                "takes an address such as",
            ),
            (
                &[("endpoint", "ftp://collector")],
                "takes an address such as",
            ),
            (
                &[("endpoint", "http://c"), ("ratio", "2")],
                "from 0 to 1, not `2`",
            ),
            (&[("endpoint", "http://c"), ("ratio", "NaN")], "from 0 to 1"),
            (
                &[("endpoint", "http://c"), ("headers", "secret")],
                "NAME=VALUE",
            ),
            (
                &[("endpoint", "http://c"), ("headers", "a b=secret")],
                "`a b` and its value",
            ),
        ] {
            let error = settings(properties).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
