//! Fetches a document over HTTP, with limits on its size and on how long it may take.

use std::{io, time::Duration};

use bytes::Bytes;
use flume_core::{Config, Context, props::Props};
use http_body_util::Empty;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri, body::Incoming, client::conn::http1, header,
};
use hyper_util::rt::TokioIo;

use crate::{
    Dialer, DialerConfig,
    http::{HttpLimits, read_body},
};

/// As `HttpURLConnection`, one more than it follows at most by default counts as a circle.
const MAX_REDIRECTS: usize = 20;

/// Fetches documents. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct HttpClient {
    /// How long connecting, and how long an answer may take.
    pub timeout: Duration,
    /// Most bytes of a document.
    pub max_bytes: usize,
}

/// An answer.
#[derive(Debug)]
pub struct Fetched {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl HttpClient {
    /// Gets a document. Redirects are followed to the same scheme, as Java does; `authorization` goes to the first host
    /// alone. `cx` has the system properties that say which certificates to trust.
    ///
    /// # Errors
    /// The address is no HTTP address, the host does not answer in time, or what it says is no HTTP.
    pub async fn get(&self, uri: &Uri, headers: &HeaderMap, cx: &Context) -> io::Result<Fetched> {
        let mut at = uri.clone();
        let mut headers = headers.clone();
        for _ in 0..MAX_REDIRECTS {
            let fetched = self.get_once(&at, &headers, cx).await?;
            let location = fetched.headers.get(header::LOCATION);
            let Some(location) = location.filter(|_| fetched.status.is_redirection()) else {
                return Ok(fetched);
            };
            if fetched.status == StatusCode::NOT_MODIFIED {
                return Ok(fetched);
            }
            let text = location.to_str().map_err(io::Error::other)?;
            let next = resolve(&at, text)?;
            if next.scheme() != at.scheme() {
                return Err(io::Error::other(format!(
                    "redirected to {next}, which has another scheme"
                )));
            }
            if next.authority() != at.authority() {
                headers.remove(header::AUTHORIZATION);
            }
            at = next;
        }
        Err(io::Error::other("redirected too often"))
    }

    async fn get_once(&self, uri: &Uri, headers: &HeaderMap, cx: &Context) -> io::Result<Fetched> {
        let mut dialer = dialer(uri, cx)?;
        dialer.connect_timeout = self.timeout;
        dialer.request_timeout = self.timeout;
        let connection = dialer.connect().await?;
        let work = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(connection))
                .await
                .map_err(io::Error::other)?;
            // The connection moves bytes while somebody polls it, and ends with the request.
            let ask = async {
                let answer = sender.send_request(request(uri, headers)?).await;
                self.received(answer.map_err(io::Error::other)?).await
            };
            tokio::pin!(connection);
            tokio::pin!(ask);
            tokio::select! {
                fetched = &mut ask => fetched,
                ended = &mut connection => match ended {
                    Ok(()) => ask.await,
                    Err(error) => Err(io::Error::other(error)),
                },
            }
        };
        dialer.request(work).await
    }

    async fn received(&self, answer: hyper::Response<Incoming>) -> io::Result<Fetched> {
        let (head, body) = answer.into_parts();
        let limits = HttpLimits {
            body_timeout: self.timeout,
            max_body_bytes: self.max_bytes,
            ..HttpLimits::default()
        };
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body: read_body(body, limits).await.map_err(io::Error::other)?,
        })
    }
}

fn dialer(uri: &Uri, cx: &Context) -> io::Result<Dialer> {
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => {
            return Err(io::Error::other(format!(
                "{uri} begins with neither http nor https"
            )));
        }
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(io::Error::other(format!("{uri} names no host")));
    }
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    if !is_tls {
        return Ok(Dialer::new(host, port));
    }
    // A browser's rules: the certificate must be for this host.
    let mut props = Props::of("https", &[("ssl", "true"), ("verify-hostname", "true")]);
    let config = DialerConfig::parse(&mut props)
        .ok_or_else(|| io::Error::other("the defaults of TLS are wrong"))?;
    config.build(host, port, cx).map_err(io::Error::other)
}

fn request(uri: &Uri, headers: &HeaderMap) -> io::Result<Request<Empty<Bytes>>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // A user in the address is not for the server's log.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, host)
        .header(
            header::USER_AGENT,
            concat!("flume-ng/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(io::Error::other)?;
    request.headers_mut().extend(headers.clone());
    Ok(request)
}

/// Where a redirect leads: a whole address, or a path on the same host.
fn resolve(from: &Uri, location: &str) -> io::Result<Uri> {
    let whole = if location.contains("://") {
        location.to_string()
    } else {
        let scheme = from.scheme_str().unwrap_or("http");
        let authority = from.authority().map_or("", |authority| authority.as_str());
        let slash = if location.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{authority}{slash}{location}")
    };
    whole.parse().map_err(io::Error::other)
}
