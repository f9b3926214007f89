//! What sources share that take HTTP requests: the server, bodies within limits, and refusals.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use flume_core::{FrameReservation, SourceContext};
use flume_net::{
    Listener,
    http::{self, Body, HttpLimits, Incoming, Request, Response, StatusCode},
};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a client may pause; Jetty's idle time.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What a client that finds the channel full is asked to wait.
pub(super) const RETRY_AFTER_SECONDS: u32 = 1;
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(600);
/// A body up to this size needs no room in the source's budget, so slow clients cannot hold up small requests.
const UNRESERVED_BYTES: usize = 4 << 10;
/// Most bytes of the reason of a refusal.
const MAX_REFUSAL_BYTES: usize = 1 << 10;
/// How long a request waits for memory that other requests hold.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a request is refused.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Whether the same request may be accepted soon.
    pub(super) is_worth_a_retry: bool,
}

impl Refusal {
    /// A text may quote what the client has sent, so it is cut.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_REFUSAL_BYTES));
        Refusal {
            status,
            text,
            is_worth_a_retry: false,
        }
    }

    /// For a request that may come again.
    pub(super) fn for_now(status: StatusCode, text: impl Into<String>) -> Self {
        Refusal {
            is_worth_a_retry: true,
            ..Refusal::new(status, text)
        }
    }

    pub(super) fn too_large(max_bytes: usize) -> Self {
        let text = format!("the body has more than {max_bytes} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }
}

/// Answers requests until the source is to stop; with `http2` those of both versions.
pub(super) async fn serve<F, B>(
    listener: Listener,
    cx: &SourceContext,
    http2: bool,
    answer: impl Fn(Request<Incoming>, SourceContext) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    cx.ready(listener.address());
    let limits = HttpLimits {
        header_timeout: STALL_TIMEOUT,
        http2,
        ..HttpLimits::default()
    };
    let source = cx.clone();
    let answer = move |request| answer(request, source.clone());
    http::serve(listener, &cx.stop, limits, answer).await;
}

/// The whole body. It holds memory of the source's budget, but only for what has come.
pub(super) async fn read_body(
    mut body: Incoming,
    max_bytes: usize,
    reservation: &mut FrameReservation,
) -> Result<Bytes, Refusal> {
    let end = Instant::now() + BODY_TIMEOUT;
    let mut whole = Bytes::new();
    let mut gathered = BytesMut::new();
    loop {
        let deadline = end.min(Instant::now() + STALL_TIMEOUT);
        let next = timeout_at(deadline, http::next_part(&mut body)).await;
        let Some(part) =
            next.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
        else {
            break;
        };
        let part =
            part.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        let bytes = whole.len() + gathered.len() + part.len();
        if bytes > max_bytes {
            return Err(Refusal::too_large(max_bytes));
        }
        hold(bytes, reservation).await?;
        if bytes == part.len() {
            whole = part;
            continue;
        }
        gathered.extend_from_slice(&std::mem::take(&mut whole));
        gathered.extend_from_slice(&part);
    }
    Ok(if gathered.is_empty() {
        whole
    } else {
        gathered.freeze()
    })
}

/// Waits for the memory of a request that has so many bytes.
pub(super) async fn hold(bytes: usize, reservation: &mut FrameReservation) -> Result<(), Refusal> {
    if bytes <= UNRESERVED_BYTES {
        return Ok(());
    }
    let room = timeout(MEMORY_TIMEOUT, reservation.grow_to(bytes)).await;
    room.map_err(|_| {
        let text = "other requests hold all memory of the source";
        Refusal::for_now(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}
