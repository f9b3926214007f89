//! The read-only monitoring port: `/metrics` as Flume serves it, Prometheus text, health. Never event contents.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, time::sleep};

use crate::{board::Board, metrics};

/// Flume's type, with its spelling.
const JSON: &str = "application/json;charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The pause before the port is tried again, as Flume's supervisor has it.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// Serves at `address` until the agent ends. As in Flume the agent runs without its monitoring if it has to; unlike
/// there, a port in use is tried again.
pub async fn serve(address: SocketAddr, board: Board) {
    let first = listen(address).await;
    if let Err(error) = &first {
        tracing::error!(
            "failed to listen at {address} for monitoring; retrying every {RETRY_PAUSE:?}: {error}"
        );
    }
    tokio::spawn(async move {
        let mut next = first;
        loop {
            match next {
                Ok(listener) => {
                    let router = Router::new().fallback(answer).with_state(board);
                    if let Err(error) = axum::serve(listener, router).await {
                        tracing::error!("the monitoring port failed: {error}");
                    }
                    return;
                }
                Err(_) => sleep(RETRY_PAUSE).await,
            }
            next = listen(address).await;
        }
    });
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!("monitoring listens at {}", listener.local_addr()?);
    Ok(listener)
}

async fn answer(
    State(board): State<Board>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method == Method::TRACE || method == Method::OPTIONS {
        return StatusCode::FORBIDDEN.into_response();
    }
    match uri.path().to_ascii_lowercase().as_str() {
        "/metrics" if wants_prometheus(&headers) => typed(PROMETHEUS, metrics::prometheus(&board)),
        "/metrics" => typed(JSON, metrics::json(&board)),
        "/metrics/prometheus" => typed(PROMETHEUS, metrics::prometheus(&board)),
        "/healthz" => typed("text/plain", "ok\n".into()),
        "/readyz" => ready(&board),
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
