//! The read-only monitoring port: `/metrics` as Flume serves it, Prometheus text, health. Never event contents.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::net::TcpListener;

use crate::{board::Board, metrics};

/// Flume's type, with its spelling.
const JSON: &str = "application/json;charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Binds the port; the answer is where it listens.
pub(crate) async fn serve(address: SocketAddr, board: Board) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let router = Router::new().fallback(answer).with_state(board);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the monitoring port failed: {error}");
        }
    });
    Ok(bound)
}

async fn answer(State(board): State<Board>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method == Method::TRACE || method == Method::OPTIONS {
        return StatusCode::FORBIDDEN.into_response();
    }
    match uri.path().to_ascii_lowercase().as_str() {
        "/metrics" if wants_prometheus(&headers) => typed(PROMETHEUS, metrics::prometheus(&board)),
        "/metrics" => typed(JSON, metrics::json(&board)),
        "/metrics/prometheus" => typed(PROMETHEUS, metrics::prometheus(&board)),
        "/healthz" => typed("text/plain", "ok\n".into()),
        "/readyz" => ready(&board),
        "/" => typed("text/html", "<html><body><a href=\"/metrics\">metrics</a></body></html>".into()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn typed(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A scraper asks for its formats by name; everybody else gets Flume's.
fn wants_prometheus(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    ["text/plain", "application/openmetrics-text"].iter().any(|kind| accept.contains(kind))
}

fn ready(board: &Board) -> Response {
    let unready = board.unready();
    if unready.is_empty() {
        return typed("text/plain", "ready\n".into());
    }
    (StatusCode::SERVICE_UNAVAILABLE, unready.join("\n") + "\n").into_response()
}
