//! `otlp`: logs of OpenTelemetry, over gRPC and HTTP.

use std::{convert::Infallible, io::Read, num::NonZeroUsize};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use flume_core::{
    BuildError, ChannelError, Component, Config, Context, Event, FrameReservation, ListenPort,
    PutError, Source, SourceContext, SourceError, detach_small_part, metrics::Counter, with_causes,
};
use flume_net::{
    Complaints, Listener, ListenerConfig, ListenerSettings,
    http::{
        self, Body, HeaderMap, Incoming, Method, Request, Response, StatusCode, header,
        header::{HeaderName, HeaderValue},
    },
};
use flume_wire::otlp::{
    OtlpError, events_of_json, events_of_protobuf,
    rpc::{ExportResponse, GrpcCode, GrpcMessage, RpcStatus},
};
use tokio::task::{spawn_blocking, yield_now};

use super::request::{RETRY_AFTER_SECONDS, Refusal, hold, read_body, serve};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const HTTP_PATH: &str = "/v1/logs";
const GRPC: &str = "application/grpc";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// Decompressed at once.
const PIECE_BYTES: usize = 64 << 10;
/// A body of so many bytes is decoded on a thread of its own.
const LARGE_BODY_BYTES: usize = 256 << 10;

/// Takes logs from OpenTelemetry's SDKs and collectors, over gRPC and over HTTP (protobuf or JSON at `/v1/logs`), both at
/// one port, also compressed with gzip. Success means that the channels have the records. While they are full, the sender
/// is told to come again: over HTTP with 503 and `Retry-After`, over gRPC with `UNAVAILABLE` and `RetryInfo`. A record that
/// can never fit into the channel is rejected alone (partial success). Traces and metrics are refused.
///
/// The body of an event is the record's body: its text or bytes, or else its value as JSON. Headers are `timestamp` in
/// milliseconds since 1970, `severity_text`, `severity_number`, `scope_name`, `trace_id` and `span_id` in hex,
/// `event_name`, and the attributes of resource, scope and record under their names. Of equal names the record's counts,
/// then the scope's; an attribute never replaces one of the headers named here. Not a source of Flume.
#[derive(Clone, Config)]
pub(super) struct OtlpConfig {
    /// Host name or address to listen on.
    #[prop("bind", default = "0.0.0.0")]
    bind: String,
    /// Port to listen on; 0 takes a free one. Senders usually use 4317 for gRPC and 4318 for HTTP; point both here.
    #[prop("port", default = 4317)]
    port: u16,
    /// Most bytes of a request, and of what it holds when it is decompressed.
    #[prop("maxRequestBytes", default = 16777216)]
    max_request_bytes: NonZeroUsize,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(super) struct OtlpSource {
    config: OtlpConfig,
    listener: ListenerSettings,
    door: Door,
}

/// What every request needs.
#[derive(Clone)]
struct Door {
    complaints: Complaints,
    max_request_bytes: usize,
    requests: Counter,
    accepted_requests: Counter,
    bad_requests: Counter,
}

impl Component for OtlpSource {
    type Config = OtlpConfig;
    fn build(config: OtlpConfig, cx: &Context) -> Result<Self, BuildError> {
        let mut listener = config.listener.build(cx)?;
        listener.offer_http2();
        Ok(OtlpSource {
            door: Door {
                complaints: listener.complaints.clone(),
                max_request_bytes: config.max_request_bytes.get(),
                requests: cx.metrics.counter("AppendBatchReceivedCount"),
                accepted_requests: cx.metrics.counter("AppendBatchAcceptedCount"),
                bad_requests: cx.metrics.counter("EventReadFail"),
            },
            config,
            listener,
        })
    }
}

#[async_trait]
impl Source for OtlpSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort::tcp(&self.config.bind, self.config.port)]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.config.bind, self.config.port, &self.listener).await?;
        let door = self.door.clone();
        let answer = move |request, cx| {
            let door = door.clone();
            async move { door.answer(request, &cx).await.into_response() }
        };
        serve(listener, cx, true, answer).await;
        Ok(())
    }
}

/// How a request is written, and how its answer has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Grpc,
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Form> {
        let kind = text_of(headers, header::CONTENT_TYPE);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        Some(match kind {
            PROTOBUF => Form::Protobuf,
            JSON => Form::Json,
            kind if kind.starts_with(GRPC) => Form::Grpc,
            _ => return None,
        })
    }

    fn events(self, body: &Bytes) -> Result<Vec<Event>, OtlpError> {
        let mut events = match self {
            Form::Grpc | Form::Protobuf => events_of_protobuf(body)?,
            Form::Json => events_of_json(body)?,
        };
        detach_small_part(&mut events, body.len());
        Ok(events)
    }

    fn content_type(self) -> &'static str {
        match self {
            Form::Grpc => GRPC,
            Form::Protobuf => PROTOBUF,
            Form::Json => JSON,
        }
    }
}

fn text_of(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

impl Door {
    async fn answer(&self, request: Request<Incoming>, cx: &SourceContext) -> Answer {
        let form = Form::of(request.headers());
        let outcome = match form {
            Some(form) => self.receive(request, form, cx).await,
            None => {
                let text = format!("expected the content type {PROTOBUF}, {JSON} or {GRPC}");
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
            }
        };
        if let Err(Refusal { status, text, .. }) = &outcome {
            let text = format!("refused a request with {status}: {text}");
            self.complaints.complain(&text);
        }
        let form = form.unwrap_or(Form::Json);
        match outcome {
            Ok(response) => Answer::accepted(form, &response),
            Err(refusal) => Answer::refused(form, refusal),
        }
    }

    async fn receive(
        &self,
        request: Request<Incoming>,
        form: Form,
        cx: &SourceContext,
    ) -> Result<ExportResponse, Refusal> {
        self.requests.add(1);
        let mut reservation = cx.frame_reservation();
        let events = self.read(request, form, &mut reservation).await;
        let events = events.inspect_err(|_| self.bad_requests.add(1))?;
        let response = put(events, cx).await.map_err(|error| {
            cx.refused(&error);
            let status = match error {
                PutError::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
                PutError::Channel { .. } | PutError::Intercept(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            };
            let text = format!("the records are not stored: {}", with_causes(&error));
            Refusal::for_now(status, text)
        })?;
        self.accepted_requests.add(1);
        cx.state.running();
        Ok(response)
    }

    async fn read(
        &self,
        request: Request<Incoming>,
        form: Form,
        reservation: &mut FrameReservation,
    ) -> Result<Vec<Event>, Refusal> {
        let (head, body) = request.into_parts();
        let path = if form == Form::Grpc {
            GRPC_PATH
        } else {
            HTTP_PATH
        };
        if head.uri.path() != path {
            let text = format!("only logs are taken, at {path}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, text));
        }
        if head.method != Method::POST {
            let text = "expected the method POST";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let mut body = read_body(body, self.max_request_bytes, reservation).await?;
        let encoding = match form {
            Form::Grpc => {
                let message = GrpcMessage::read(&body).map_err(bad_request)?;
                body = message.bytes;
                if message.is_compressed {
                    text_of(&head.headers, "grpc-encoding")
                } else {
                    ""
                }
            }
            Form::Protobuf | Form::Json => text_of(&head.headers, header::CONTENT_ENCODING),
        };
        let body = match encoding {
            "" | "identity" => body,
            "gzip" => self.decompress(body, reservation).await?,
            other => {
                let text = format!("the compression `{other}` is not known; gzip is");
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
            }
        };
        if body.len() < LARGE_BODY_BYTES {
            return form.events(&body).map_err(bad_request);
        }
        let decoded = spawn_blocking(move || form.events(&body)).await;
        let decoded = decoded.map_err(|error| {
            let text = format!("the request cannot be decoded: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        decoded.map_err(bad_request)
    }

    async fn decompress(
        &self,
        body: Bytes,
        reservation: &mut FrameReservation,
    ) -> Result<Bytes, Refusal> {
        let compressed = body.len();
        let mut decoder = MultiGzDecoder::new(body.reader());
        let mut whole = vec![];
        loop {
            hold(compressed + whole.len() + PIECE_BYTES, reservation).await?;
            let piece = decoder.by_ref().take(PIECE_BYTES as u64);
            let read = { piece }.read_to_end(&mut whole);
            let read = read.map_err(|error| {
                let text = format!("the body is not compressed with gzip: {error}");
                Refusal::new(StatusCode::BAD_REQUEST, text)
            })?;
            if whole.len() > self.max_request_bytes {
                return Err(Refusal::too_large(self.max_request_bytes));
            }
            // A large body must not keep a runtime thread from other connections.
            yield_now().await;
            if read == 0 {
                whole.shrink_to_fit();
                return Ok(whole.into());
            }
        }
    }
}

fn bad_request(error: OtlpError) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
}

/// Puts the events, at most as many at once as the channels take. An error means that the sender has to send all again,
/// also those that were put before it.
async fn put(events: Vec<Event>, cx: &SourceContext) -> Result<ExportResponse, PutError> {
    let mut response = ExportResponse::default();
    for batch in events.chunks(cx.out.batch_limit()) {
        let Some(error) = put_fitting(batch, cx).await? else {
            continue;
        };
        if batch.len() == 1 {
            response.reject(&error);
            continue;
        }
        for event in batch {
            if let Some(error) = put_fitting(std::slice::from_ref(event), cx).await? {
                response.reject(&error);
            }
        }
    }
    Ok(response)
}

/// Why the batch can never fit, if so.
async fn put_fitting(batch: &[Event], cx: &SourceContext) -> Result<Option<PutError>, PutError> {
    match cx.out.put(batch.to_vec()).await {
        Ok(()) => Ok(None),
        Err(
            error @ PutError::Channel {
                source: ChannelError::TooLarge { .. },
                ..
            },
        ) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn new(form: Form, status: StatusCode, body: impl Into<Bytes>) -> Self {
        let kind = HeaderValue::from_static(form.content_type());
        Answer {
            status,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]),
            body: body.into(),
            trailers: None,
        }
    }

    fn accepted(form: Form, response: &ExportResponse) -> Self {
        match form {
            Form::Protobuf => Answer::new(form, StatusCode::OK, response.protobuf()),
            Form::Json => Answer::new(form, StatusCode::OK, response.json()),
            Form::Grpc => {
                let message = GrpcMessage::write(&response.protobuf());
                let ok = HeaderMap::from_iter([(GRPC_STATUS, number(GrpcCode::Ok))]);
                Answer {
                    trailers: Some(ok),
                    ..Answer::new(form, StatusCode::OK, message)
                }
            }
        }
    }

    fn refused(form: Form, refusal: Refusal) -> Self {
        let status = RpcStatus {
            code: code(refusal.status),
            text: refusal.text,
            retry_seconds: refusal.is_worth_a_retry.then_some(RETRY_AFTER_SECONDS),
        };
        let mut answer = match form {
            Form::Protobuf => Answer::new(form, refusal.status, status.protobuf()),
            Form::Json => Answer::new(form, refusal.status, status.json()),
            Form::Grpc => {
                // Without a message the trailers come as headers.
                let mut answer = Answer::new(form, StatusCode::OK, Bytes::new());
                answer.headers.insert(GRPC_STATUS, number(status.code));
                let texts = [
                    (GRPC_MESSAGE, status.message()),
                    (GRPC_DETAILS, status.details()),
                ];
                let texts = texts.into_iter().filter_map(|(name, text)| {
                    let text = HeaderValue::try_from(text).ok()?;
                    Some((name, text))
                });
                answer.headers.extend(texts);
                return answer;
            }
        };
        if refusal.is_worth_a_retry {
            let pause = HeaderValue::from(RETRY_AFTER_SECONDS);
            answer.headers.insert(header::RETRY_AFTER, pause);
        }
        answer
    }

    fn into_response(
        self,
    ) -> Response<impl Body<Data = Bytes, Error = Infallible> + Send + 'static> {
        let mut response = Response::new(http::with_trailers(self.body, self.trailers));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn number(code: GrpcCode) -> HeaderValue {
    HeaderValue::from(code as u16)
}

/// What gRPC calls it.
fn code(status: StatusCode) -> GrpcCode {
    match status {
        StatusCode::BAD_REQUEST => GrpcCode::InvalidArgument,
        StatusCode::REQUEST_TIMEOUT => GrpcCode::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => {
            GrpcCode::ResourceExhausted
        }
        StatusCode::SERVICE_UNAVAILABLE => GrpcCode::Unavailable,
        _ => GrpcCode::Unimplemented,
    }
}
