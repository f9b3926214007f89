//! One request to an HTTP server, with a limit on the time and size of its answer.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Gets `path` from a server.
///
/// # Errors
/// When the server cannot be reached, takes longer than `limit`, answers with another status than 200 or with more than
/// `max_bytes`.
pub async fn get(
    host: &str,
    port: u16,
    path: &str,
    limit: Duration,
    max_bytes: usize,
) -> io::Result<Bytes> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"));
    timeout(limit, fetch(host, port, path, max_bytes))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn fetch(host: &str, port: u16, path: &str, max_bytes: usize) -> io::Result<Bytes> {
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let talking = tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if !answer.status().is_success() {
        return Err(io::Error::other(format!("{path}: status {}", answer.status())));
    }
    let body = Limited::new(answer.into_body(), max_bytes).collect().await;
    talking.abort();
    Ok(body.map_err(io::Error::other)?.to_bytes())
}
