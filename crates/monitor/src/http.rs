//! The read-only monitoring port: `/metrics` as Flume serves it, Prometheus text, health. Never event contents.

use std::time::Duration;

use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use flume_core::{Stop, Switch};
use flume_net::{
    Listener, ListenerSettings,
    http::{self, HttpLimits},
};
use tokio::time::sleep;

use crate::{board::Board, metrics};

/// More are not needed to watch an agent, and each costs a file descriptor that a source may want.
const MAX_CONNECTIONS: usize = 64;
/// Flume's type, with its spelling.
const JSON: &str = "application/json;charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The pause before the port is tried again, as Flume's supervisor has it.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// Where monitoring listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoringAddress {
    /// A name or an address; `0.0.0.0` means every address of IPv6 as well.
    pub host: String,
    /// A port; 0 takes a free one.
    pub port: u16,
}

/// Serves at `address` as long as the switch that it returns is kept. As in Flume the agent runs without its monitoring
/// if it has to; unlike there, a port in use is tried again.
pub async fn serve(address: MonitoringAddress, board: Board) -> Switch {
    let (switch, stop) = Stop::new();
    let first = listen(&address).await;
    tokio::spawn(async move {
        let mut next = first;
        while !stop.is_requested() {
            if let Some(listener) = next {
                let answer = move |request: http::Request<http::Incoming>| {
                    let board = board.clone();
                    async move {
                        let (head, _) = request.into_parts();
                        answer(&board, &head.method, &head.uri, &head.headers)
                    }
                };
                return http::serve(listener, &stop, HttpLimits::default(), answer).await;
            }
            sleep(RETRY_PAUSE).await;
            next = listen(&address).await;
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

fn answer(board: &Board, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if matches!(*method, Method::TRACE | Method::OPTIONS) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match uri.path().to_ascii_lowercase().as_str() {
        "/metrics" if wants_prometheus(headers) => typed(PROMETHEUS, metrics::prometheus(board)),
        "/metrics" => typed(JSON, metrics::json(board)),
        "/metrics/prometheus" => typed(PROMETHEUS, metrics::prometheus(board)),
        "/healthz" => typed("text/plain", "ok\n".into()),
        "/readyz" => ready(board),
        "/" => typed(
            "text/html",
            "<html><body><a href=\"/metrics\">metrics</a></body></html>".into(),
        ),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn typed(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
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
        return typed("text/plain", "ready\n".into());
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
