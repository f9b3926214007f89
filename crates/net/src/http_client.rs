//! Asks a server over HTTP, with limits on the size of its answers and on how long they may take.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use flume_core::{Config, Context, props::Props};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;

use crate::{
    Dialer, DialerConfig,
    http::{BodyError, HttpLimits, read_body},
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
        let limits = AnswerLimits {
            connect_timeout: self.timeout,
            request_timeout: self.timeout,
            max_bytes: self.max_bytes,
        };
        let mut peer = HttpPeer::new(uri, limits, cx)?;
        let mut request = peer.request(Method::GET, Bytes::new())?;
        request
            .headers_mut()
            .insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        request
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        request.headers_mut().extend(headers.clone());
        let answer = peer.send(request).await?;
        Ok(Fetched {
            status: answer.status,
            headers: answer.headers,
            body: answer.body.map_err(io::Error::other)?,
        })
    }
}

/// What a server is asked.
pub type HttpRequest = Request<Full<Bytes>>;

/// What a server said.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body, or why it was not received.
    pub body: Result<Bytes, BodyError>,
}

/// How long a server may take, and how much it may say.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Most bytes of an answer's body.
    pub max_bytes: usize,
}

/// A server that is asked again and again, for one address. The connection is kept as long as the server keeps it.
pub struct HttpPeer {
    dialer: Dialer,
    path: Uri,
    host: HeaderValue,
    max_answer_bytes: usize,
    kept: Option<OpenConnection>,
}

struct OpenConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Moves the bytes while somebody polls it.
    mover: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
}

impl HttpPeer {
    /// The server of an address. `cx` has the system properties that say which certificates to trust. Opens nothing.
    ///
    /// # Errors
    /// It is no HTTP address.
    pub fn new(uri: &Uri, limits: AnswerLimits, cx: &Context) -> io::Result<HttpPeer> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // A user in the address is not for the server's log.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut dialer = dialer(uri, cx)?;
        dialer.connect_timeout = limits.connect_timeout;
        dialer.request_timeout = limits.request_timeout;
        Ok(HttpPeer {
            dialer,
            path: path.parse().map_err(io::Error::other)?,
            host: HeaderValue::from_str(host).map_err(io::Error::other)?,
            max_answer_bytes: limits.max_bytes,
            kept: None,
        })
    }

    /// A request for the address.
    ///
    /// # Errors
    /// None that is known; the library's types allow for one.
    pub fn request(&self, method: Method, body: Bytes) -> io::Result<HttpRequest> {
        let request = Request::builder()
            .method(method)
            .uri(self.path.clone())
            .header(header::HOST, self.host.clone())
            .header(
                header::USER_AGENT,
                concat!("flume-ng/", env!("CARGO_PKG_VERSION")),
            );
        request.body(Full::new(body)).map_err(io::Error::other)
    }

    /// Asks, and waits for the answer. A server may close a kept connection at any time; a request that it did not
    /// answer for that is sent once more, as Java does.
    ///
    /// # Errors
    /// The host does not answer in time, or what it says is no HTTP.
    pub async fn send(&mut self, request: HttpRequest) -> io::Result<HttpAnswer> {
        if let Some(kept) = self.kept.take() {
            match self.ask(kept, request.clone()).await {
                Err(error) if error.kind() != io::ErrorKind::TimedOut => {}
                answered => return answered,
            }
        }
        let connection = self.dialer.connect().await?;
        let opening = async {
            let (sender, connection) = http1::handshake(TokioIo::new(connection))
                .await
                .map_err(io::Error::other)?;
            Ok(OpenConnection {
                sender,
                mover: Box::pin(connection),
            })
        };
        let open = self.dialer.request(opening).await?;
        self.ask(open, request).await
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.kept = None;
    }

    async fn ask(
        &mut self,
        mut open: OpenConnection,
        request: HttpRequest,
    ) -> io::Result<HttpAnswer> {
        let limits = HttpLimits {
            body_timeout: self.dialer.request_timeout,
            max_body_bytes: self.max_answer_bytes,
            ..HttpLimits::default()
        };
        let exchange = async {
            let ask = async {
                let answer = open.sender.send_request(request).await;
                let (head, body) = answer.map_err(io::Error::other)?.into_parts();
                Ok(HttpAnswer {
                    status: head.status,
                    headers: head.headers,
                    body: read_body(body, limits).await,
                })
            };
            tokio::pin!(ask);
            tokio::select! {
                biased;
                answer = &mut ask => answer.map(|answer| (answer, true)),
                // An answer may have come before the connection broke.
                ended = &mut open.mover => match (ask.await, ended) {
                    (Ok(answer), _) => Ok((answer, false)),
                    (Err(_), Err(error)) => Err(io::Error::other(error)),
                    (Err(error), Ok(())) => Err(error),
                },
            }
        };
        let (answer, is_open) = self.dialer.request(exchange).await?;
        if is_open && answer.body.is_ok() && !open.sender.is_closed() {
            self.kept = Some(open);
        }
        Ok(answer)
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
