//! The read-only monitoring port: the page, `/metrics` as Flume serves it, Prometheus text, health. Never event contents.
//!
//! Browsers may read it from pages of other agents only if the operator names those pages as origins. A page of a
//! stranger whose name leads to this address has the origin of this port for a browser. So the page and its data are
//! for requests that name this host.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use flume_core::{Stop, Switch};
use flume_net::{
    Listener, ListenerSettings,
    http::{self, HttpLimits},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    board::Board,
    live::Live,
    metrics,
    status::{Detail, report},
};

/// More are not needed to watch an agent, and each costs a file descriptor that a source may want.
const MAX_CONNECTIONS: usize = 64;
/// Clients that keep the server waiting cost nobody else anything.
const LIMITS: HttpLimits = HttpLimits {
    header_timeout: Duration::from_secs(10),
    max_header_bytes: 16 << 10,
    body_timeout: Duration::from_secs(1),
    max_body_bytes: 0,
    write_timeout: Duration::from_secs(10),
    make_room: true,
    http2: false,
};
/// Flume's type, with its spelling.
const JSON: &str = "application/json;charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const EVENT_STREAM: &str = "text/event-stream";

/// What the page may do: run its own script, and ask agents for their state. The user types their addresses in.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                           connect-src 'self' http: https:; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

/// The page's files. They have names of their own, so that the policy needs no exception for scripts in the page.
const FILES: &[(&str, &str, &str)] = &[
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("page/page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    ),
    (
        "/graph.js",
        "text/javascript; charset=utf-8",
        include_str!("page/graph.js"),
    ),
];

/// For a request that names another host.
const MISDIRECTED: &str = "this agent does not know the host name of the request; use an address, or start the agent \
                           with -Dflume.monitoring.hostNames=NAME (several names with blanks between them)\n";
/// The pause before the port is tried again, as Flume's supervisor has it.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// How an agent is monitored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Where it listens.
    pub address: MonitoringAddress,
    /// Pages of other agents that may read this one: `http://host:41414`.
    pub origins: Vec<String>,
    /// Names of this host, in lower case, that requests for the page may have; addresses may always be used.
    pub host_names: Vec<String>,
    /// Whether it shows the settings of components, without secrets.
    pub settings: bool,
    /// Whether it shows texts that may have something in them that came with an event.
    pub event_texts: bool,
}

/// Where monitoring listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoringAddress {
    /// A name or an address; `0.0.0.0` means every address of IPv6 as well.
    pub host: String,
    /// A port; 0 takes a free one.
    pub port: u16,
}

/// Serves as long as the switch that it returns is kept. As in Flume the agent runs without its monitoring if it has to;
/// unlike there, a port in use is tried again.
pub async fn serve(monitoring: Monitoring, board: Board) -> Switch {
    let (switch, stop) = Stop::new();
    let first = listen(&monitoring.address).await;
    tokio::spawn(async move {
        let mut next = first;
        while !stop.is_requested() {
            if let Some(listener) = next {
                let port = std::sync::Arc::new(Port {
                    live: Live::start(board.clone(), stop.clone()),
                    board,
                    monitoring,
                    stop: stop.clone(),
                });
                let answer = move |request: http::Request<http::Incoming>| {
                    let port = port.clone();
                    async move {
                        let (head, _) = request.into_parts();
                        port.answer(&head.method, &head.uri, &head.headers)
                    }
                };
                return http::serve(listener, &stop, LIMITS, answer).await;
            }
            sleep(RETRY_PAUSE).await;
            next = listen(&monitoring.address).await;
        }
    });
    switch
}

/// Says a failure once, and again when it has changed.
async fn listen(address: &MonitoringAddress) -> Option<Listener> {
    let settings = ListenerSettings::plain(MAX_CONNECTIONS);
    match Listener::bind(&address.host, address.port, &settings).await {
        Ok(listener) => {
            if let Some(bound) = listener.address() {
                tracing::info!("monitoring listens at {bound}");
            }
            Some(listener)
        }
        Err(error) => {
            let error = flume_core::with_causes(&error);
            tracing::error!("monitoring is off: failed to {error}; retrying every {RETRY_PAUSE:?}");
            None
        }
    }
}

/// What answers need.
struct Port {
    board: Board,
    live: Live,
    monitoring: Monitoring,
    stop: Stop,
}

impl Port {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        if matches!(*method, Method::TRACE | Method::OPTIONS) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let event_texts = self.monitoring.event_texts;
        let prometheus = || typed(PROMETHEUS, metrics::prometheus(&self.board, event_texts));
        match uri.path().to_ascii_lowercase().as_str() {
            "/metrics" if wants_prometheus(headers) => prometheus(),
            "/metrics" => typed(JSON, metrics::json(&self.board, event_texts)),
            "/metrics/prometheus" => prometheus(),
            "/healthz" => typed("text/plain", "ok\n"),
            "/readyz" => ready(&self.board),
            path => {
                let mut answer = if !self.is_for_us(uri, headers) {
                    (StatusCode::MISDIRECTED_REQUEST, MISDIRECTED).into_response()
                } else if matches!(*method, Method::GET | Method::HEAD) {
                    // Names of components are as they are written.
                    self.page(path, uri.path())
                } else {
                    StatusCode::METHOD_NOT_ALLOWED.into_response()
                };
                self.protect(answer.headers_mut(), headers);
                answer
            }
        }
    }

    /// Whether every host that a request names is this one. Browsers always name one.
    fn is_for_us(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let is_ours = |authority: &str| {
            is_own_name(
                authority,
                &self.monitoring.address.host,
                &self.monitoring.host_names,
            )
        };
        let mut named = headers.get_all(header::HOST).iter();
        named.all(|host| host.to_str().is_ok_and(is_ours))
            && uri.authority().is_none_or(|host| is_ours(host.as_str()))
    }

    /// The page, and what it asks for.
    fn page(&self, path: &str, as_written: &str) -> Response {
        if let Some((_, kind, text)) = FILES.iter().find(|(name, _, _)| *name == path) {
            return typed(kind, *text);
        }
        match path {
            "/api/status" => typed(JSON, self.live.json()),
            "/api/flow" => typed(JSON, self.flow()),
            "/api/events" => match self.live.read(&self.stop) {
                Some(body) => typed(EVENT_STREAM, body),
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            },
            _ => self.component(as_written),
        }
    }

    /// `/api/components/sink/k1`.
    fn component(&self, path: &str) -> Response {
        let names = path.strip_prefix("/api/components/");
        let Some((kind, name)) = names.and_then(|names| names.split_once('/')) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let detail = if self.monitoring.event_texts {
            Detail::Full
        } else {
            Detail::Public
        };
        match report(&self.board, kind, &percent_decoded(name), detail) {
            Some(report) => typed(JSON, serde_json::to_string(&report).unwrap_or_default()),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn flow(&self) -> String {
        let shape = self.board.flow();
        let shape = if self.monitoring.settings {
            shape
        } else {
            shape.without_settings().into()
        };
        let reloads = self.board.reloads().into_iter();
        let reloads = reloads.map(
            |reload| json!({"at": crate::status::timestamp(reload.at), "error": reload.error}),
        );
        let reloads: Vec<_> = reloads.collect();
        json!({
            "agent": self.board.agent().name,
            "version": env!("CARGO_PKG_VERSION"),
            "flow": *shape,
            "settings_shown": self.monitoring.settings,
            "reloads": reloads,
        })
        .to_string()
    }

    /// What a browser may do with an answer.
    fn protect(&self, answer: &mut HeaderMap, request: &HeaderMap) {
        let fixed = [
            (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
            (header::VARY, "Origin"),
        ];
        for (name, value) in fixed {
            answer.insert(name, HeaderValue::from_static(value));
        }
        let origin = request.get(header::ORIGIN);
        let origins = &self.monitoring.origins;
        let allowed = origin.filter(|origin| origins.iter().any(|known| *origin == known.as_str()));
        if let Some(origin) = allowed {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// Whether `host:port` has an address, or a name that is known.
fn is_own_name(authority: &str, bound: &str, names: &[String]) -> bool {
    let host = if let Some(rest) = authority.strip_prefix('[') {
        let address = rest.split_once(']').map_or(rest, |(address, _)| address);
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    } else {
        authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<std::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.eq_ignore_ascii_case(bound)
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// A part of a path without its `%41`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let digits = after.get(1..3).filter(is_hex);
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(b'%'));
        rest = &after[if decoded.is_some() { 3 } else { 1 }..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// A scraper asks for its formats by name and for no JSON; everybody else gets Flume's.
fn wants_prometheus(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let named = ["text/plain", "application/openmetrics-text"]
        .iter()
        .any(|kind| accept.contains(kind));
    named && !accept.contains("json")
}

fn ready(board: &Board) -> Response {
    let unready = board.unready();
    if unready.is_empty() {
        return typed("text/plain", "ready\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &'static str, expected: bool) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(wants_prometheus(&headers), expected, "{accept}");
    }

    #[test]
    fn hosts_of_requests() {
        let names = ["node7".to_string(), "node7.example.com".to_string()];
        for (host, expected) in [
            ("127.0.0.1:41414", true),
            ("10.1.2.3", true),
            ("[::1]:41414", true),
            ("LocalHost:1", true),
            ("bound:1", true),
            ("Node7.Example.COM.:41414", true),
            ("node7", true),
            ("evil.example:41414", false),
            ("node7.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost@evil", false),
            ("[evil]", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(host, "bound", &names), expected, "{host}");
        }
    }

    #[test]
    fn names_in_paths() {
        for (path, expected) in [
            ("k1", "k1"),
            ("a%20b%2Fc", "a b/c"),
            ("%C3%A9%", "é%"),
            ("%zz%+1%é", "%zz%+1%é"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(percent_decoded(path), expected, "{path}");
        }
    }

    #[test]
    fn scrapers_get_their_format_and_nobody_else() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        check(prometheus, true);
        check("text/plain", true);
        check("*/*", false);
        check("text/html,application/xhtml+xml", false);
        // Libraries for JSON often accept text besides.
        check("application/json, text/plain, */*", false);
    }
}
