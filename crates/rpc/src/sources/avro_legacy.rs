//! The source for agents of Flume 0.9 that send over Avro: calls are HTTP requests.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flume_core::{
    BuildError, Component, Config, Context, ListenPort, Source, SourceContext, SourceError,
};
use flume_net::{
    Listener,
    http::{self, HttpLimits, Incoming, Method, Request, Response, StatusCode, header},
};
use flume_wire::avro::ipc::{read_legacy_request, write_legacy_answer};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

use super::serve::{LegacyPortConfig, Port};
use crate::conversation::{put, told};

/// Most bytes of a call. Flume 0.9 allows bodies of 32 KiB.
const MAX_CALL_BYTES: usize = 1 << 20;
/// How long a call may take to come, and to wait for memory that other calls hold.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Of calls and answers.
const CONTENT_TYPE: &str = "avro/binary";

/// Takes events from agents of Flume 0.9 over Avro in HTTP. Host, timestamp, priority, nanoseconds and fields become
/// headers. A client whose event the channels refuse is told so, and may send it again; Java Flume says nothing.
#[derive(Clone, Config)]
pub(crate) struct AvroLegacyConfig {
    #[prop(flatten)]
    port: LegacyPortConfig,
}

pub(crate) struct AvroLegacySource {
    port: Port,
}

impl Component for AvroLegacySource {
    type Config = AvroLegacyConfig;
    fn build(config: AvroLegacyConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(AvroLegacySource {
            port: config.port.build(cx)?,
        })
    }
}

#[async_trait]
impl Source for AvroLegacySource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![self.port.listen_port()]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let Port {
            host,
            port,
            listener: settings,
            ..
        } = &self.port;
        let listener = Listener::bind(host, *port, settings).await?;
        cx.ready(listener.address());
        let source = cx.clone();
        let complaints = settings.complaints.clone();
        let answer = move |request: Request<Incoming>| {
            let source = source.clone();
            let complaints = complaints.clone();
            async move {
                match take_call(request, &source).await {
                    Ok(answer) => response(StatusCode::OK, answer.into()),
                    Err((status, text)) => {
                        complaints.complain(&format!("a request was refused: {text}"));
                        response(status, text.into())
                    }
                }
            }
        };
        http::serve(listener, &cx.stop, HttpLimits::default(), answer).await;
        Ok(())
    }
}

/// The answer to a call, or the status and the reason why it is none.
async fn take_call(
    request: Request<Incoming>,
    cx: &SourceContext,
) -> Result<Vec<u8>, (StatusCode, String)> {
    if request.method() != Method::POST {
        let text = format!(
            "{} is not POST: this port takes Avro calls",
            request.method()
        );
        return Err((StatusCode::METHOD_NOT_ALLOWED, text));
    }
    let mut call = timeout(CALL_TIMEOUT, receive(request.into_body(), cx))
        .await
        .unwrap_or_else(|_| {
            let text = format!("the call did not come within {CALL_TIMEOUT:?}");
            Err((StatusCode::REQUEST_TIMEOUT, text))
        })?;
    let bytes = call.received.len();
    let event = read_legacy_request(&call.received);
    let event = event.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    call.received = BytesMut::new();
    let outcome = put(cx, vec![event], bytes).await;
    let mut answer = vec![];
    write_legacy_answer(
        outcome.err().map(|error| told(&error)).as_deref(),
        &mut answer,
    );
    Ok(answer)
}

/// The body of a request, within the source's budget of memory.
struct ReceivedCall {
    received: BytesMut,
    _reserved: flume_core::FrameReservation,
}

async fn receive(
    mut body: Incoming,
    cx: &SourceContext,
) -> Result<ReceivedCall, (StatusCode, String)> {
    let mut received = BytesMut::new();
    let mut reserved = cx.frame_reservation();
    while let Some(part) = body.frame().await {
        let part = part.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let Ok(part) = part.into_data() else {
            continue;
        };
        let bytes = received.len() + part.len();
        if bytes > MAX_CALL_BYTES {
            let text = format!("a call has more than {MAX_CALL_BYTES} bytes");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        reserved.grow_to(bytes).await;
        received.extend_from_slice(&part);
    }
    Ok(ReceivedCall {
        received,
        _reserved: reserved,
    })
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = if status.is_success() {
        CONTENT_TYPE
    } else {
        "text/plain"
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
