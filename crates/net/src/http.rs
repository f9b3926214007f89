//! An HTTP server with its limits in one place: HTTP/1.1, and HTTP/2 for callers that want it.
//!
//! A client that says nothing, or says it slowly, costs one of the listener's connections and a buffer of limited size,
//! and only for a limited time. What a request means is up to the caller.

use std::{
    convert::Infallible,
    error::Error,
    future::ready,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flume_core::Stop;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
pub use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Body, Incoming},
    header::{self, HeaderValue},
};
use hyper::{
    body::{Frame, SizeHint},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::time::{sleep, timeout};

use crate::{
    Connection, Listener,
    pace::{Crowd, Pace, Sending, Watched},
};

/// What clients of a server may do.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// How long the header of a request may take. An idle connection is closed after the same time.
    pub header_timeout: Duration,
    /// Most bytes of a header; below 8192 it counts as 8192.
    pub max_header_bytes: usize,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// Most bytes of a body.
    pub max_body_bytes: usize,
    /// How long a client may take to read an answer, or a part of one that is sent in parts.
    pub write_timeout: Duration,
    /// Whether a new connection may take the place of the one whose client has kept the server waiting for longest,
    /// when there are as many as the listener allows. Then clients that do nothing keep nobody out.
    pub make_room: bool,
    /// Whether clients may speak HTTP/2, too.
    pub http2: bool,
}

/// Most requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 100;
/// What one HTTP/2 connection may send ahead of what was read.
const MAX_AHEAD_BYTES: u32 = 1 << 20;

/// Least bytes that the server can be told to keep for a header.
const MIN_HEADER_BYTES: usize = 8192;

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 << 10,
            body_timeout: Duration::from_secs(30),
            max_body_bytes: 64 << 20,
            write_timeout: Duration::from_secs(30),
            make_room: false,
            http2: false,
        }
    }
}

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than allowed.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// It took too long.
    #[error("the body did not come within {0:?}")]
    TooSlow(Duration),
    /// The connection is broken, or what came is no HTTP.
    #[error("failed to read the body: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

/// Answers requests until a stop is requested; those under way are still answered.
pub async fn serve<H, F, B>(listener: Listener, stop: &Stop, limits: HttpLimits, answer: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stopping = stop.clone();
    let crowd = limits
        .make_room
        .then(|| Crowd::new(listener.max_connections()));
    let handle = move |connection| {
        let pace = Arc::new(Pace::default());
        let member = crowd.as_ref().map(|crowd| crowd.join(&pace));
        let served = serve_connection(
            connection,
            stopping.clone(),
            limits,
            answer.clone(),
            pace.clone(),
        );
        async move {
            let _member = member;
            tokio::select! {
                () = served => {}
                () = pace.asked_to_leave() => tracing::debug!("an HTTP connection made room for another"),
            }
        }
    };
    listener.serve(stop, handle).await;
}

async fn serve_connection<H, F, B>(
    connection: Connection,
    stop: Stop,
    limits: HttpLimits,
    answer: H,
    pace: Arc<Pace>,
) where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let peer = connection.peer();
    let watched = Watched::new(connection, pace.clone(), limits.write_timeout);
    let idle = pace.clone();
    let service = service_fn(move |request| {
        let busy = pace.busy();
        let answered = answer(request);
        async move {
            let answered = answered.await;
            let answered = answered.map(|body| AnswerBody {
                body: Box::pin(body),
                _sending: busy.sending(),
            });
            Ok::<_, Infallible>(answered)
        }
    });
    let io = TokioIo::new(watched);
    let outcome = if limits.http2 {
        serve_either(io, service, &stop, limits, &idle).await
    } else {
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            // A client that says no more still wants its answer.
            .half_close(true)
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.max_header_bytes.max(MIN_HEADER_BYTES))
            .serve_connection(io, service);
        let mut served = pin!(served);
        let outcome = tokio::select! {
            outcome = &mut served => outcome,
            () = stop.requested() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        outcome.map_err(Into::into)
    };
    if let Err(error) = outcome {
        tracing::debug!("the HTTP connection from {peer} is broken: {error}");
    }
}

const NOT_READ: &str = "the client does not take an answer";

/// Serves the version that the client begins with.
async fn serve_either<S, B>(
    io: TokioIo<Watched>,
    service: S,
    stop: &Stop,
    limits: HttpLimits,
    pace: &Pace,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .half_close(true)
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(MIN_HEADER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(MAX_AHEAD_BYTES)
        .max_header_list_size(limits.max_header_bytes.try_into().unwrap_or(u32::MAX));
    let mut served = pin!(builder.serve_connection(io, service));
    tokio::select! {
        outcome = &mut served => return outcome,
        () = stop.requested() => {}
        // Neither a client that has not shown its version nor one of HTTP/2 has a time limit in the library.
        () = pace.idle_for(limits.header_timeout) => {}
        () = pace.overdue(limits.write_timeout) => return Err(NOT_READ.into()),
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        outcome = served => outcome,
        // The client does not answer the farewell.
        () = async { sleep(limits.header_timeout).await; pace.idle_for(limits.header_timeout).await } => Ok(()),
        () = pace.overdue(limits.write_timeout) => Err(NOT_READ.into()),
    }
}

/// The body of an answer; the client is being served as long as it lives.
struct AnswerBody<B> {
    body: Pin<Box<B>>,
    _sending: Sending,
}

impl<B: Body> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer of these bytes, and of trailers behind them.
pub fn with_trailers(
    bytes: Bytes,
    trailers: Option<HeaderMap>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
    Full::new(bytes).with_trailers(ready(trailers.map(Ok)))
}

/// Receives a whole body.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body(body: Incoming, limits: HttpLimits) -> Result<Bytes, BodyError> {
    let collected = Limited::new(body, limits.max_body_bytes).collect();
    match timeout(limits.body_timeout, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(BodyError::TooLarge(limits.max_body_bytes))
        }
        Ok(Err(error)) => Err(BodyError::Broken(error)),
        Err(_) => Err(BodyError::TooSlow(limits.body_timeout)),
    }
}

/// The next bytes of a body; `None` behind the last.
///
/// # Errors
/// The connection is broken, or what came is no HTTP.
pub async fn next_part(body: &mut Incoming) -> Option<Result<Bytes, BodyError>> {
    loop {
        match body.frame().await? {
            Err(error) => return Some(Err(BodyError::Broken(error.into()))),
            Ok(frame) => {
                // Anything else is a trailer.
                if let Ok(part) = frame.into_data() {
                    return Some(Ok(part));
                }
            }
        }
    }
}
