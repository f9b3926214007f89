//! `http`: events in requests.

use std::{num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use flume_core::{
    BuildError, ChannelError, Component, Config, Context, Event, FrameReservation, HandlerError,
    HttpHandler, HttpMessage, ListenPort, PutError, Source, SourceContext, SourceError,
    config::{Nested, Prefix, Property},
    metrics::Counter,
    props::Props,
    with_causes,
};
use flume_net::{
    Complaints, Listener, ListenerConfig, ListenerSettings,
    http::{Incoming, Method, Request, Response, StatusCode, header},
};

use super::request::{RETRY_AFTER_SECONDS, Refusal, read_body, serve};

/// Names of Flume 1.8 and before.
const OLD_NAMES: [(&str, &str); 3] = [
    ("enableSSL", "ssl"),
    ("keystorePassword", "keystore-password"),
    ("excludeProtocols", "exclude-protocols"),
];

/// Takes events from HTTP requests, POST or GET, at any path. The answer 200 means that the channels have the events.
/// 400: the request is wrong. 503: the channels are full; `Retry-After` says when to send it again.
#[derive(Clone, Config)]
pub(super) struct HttpProperties {
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Host name or address to listen on.
    #[prop("bind", default = "0.0.0.0")]
    bind: String,
    /// What makes events of requests: a class; `handler.*` are its properties.
    #[prop("handler", default = "org.apache.flume.source.http.JSONHandler")]
    handler: Nested<dyn HttpHandler>,
    /// Most bytes of a request's body. Not a property of Flume.
    #[prop("maxRequestBytes", default = 67108864)]
    max_request_bytes: NonZeroUsize,
    /// Connections share the agent's threads: settings of Jetty's thread pool have no effect.
    #[prop("QueuedThreadPool")]
    _thread_pool: Prefix<String>,
    /// Settings of Jetty have no effect.
    #[prop("HttpConfiguration")]
    _http_configuration: Prefix<String>,
    /// Settings of Jetty have no effect; `ssl`, `include-protocols` and so on do what they did.
    #[prop("SslContextFactory")]
    _ssl_context_factory: Prefix<String>,
    /// Settings of Jetty have no effect.
    #[prop("ServerConnector")]
    _server_connector: Prefix<String>,
    #[prop(flatten)]
    listener: ListenerConfig,
}

/// The properties under all their names.
#[derive(Clone)]
pub(super) struct HttpConfig(HttpProperties);

impl Config for HttpConfig {
    const DOC: &'static str = HttpProperties::DOC;

    fn properties() -> Vec<Property> {
        HttpProperties::properties()
    }

    fn parse(props: &mut Props<'_>) -> Option<Self> {
        for (old, new) in OLD_NAMES {
            props.rename(old, new);
        }
        HttpProperties::parse(props).map(HttpConfig)
    }
}

pub(super) struct HttpSource {
    bind: String,
    port: u16,
    listener: ListenerSettings,
    door: Door,
}

/// What every request needs.
#[derive(Clone)]
struct Door {
    complaints: Complaints,
    handler: Arc<dyn HttpHandler>,
    max_request_bytes: usize,
    requests: Counter,
    accepted_requests: Counter,
    bad_requests: Counter,
}

impl Component for HttpSource {
    type Config = HttpConfig;
    fn build(config: HttpConfig, cx: &Context) -> Result<Self, BuildError> {
        let config = config.0;
        let listener = config.listener.build(cx)?;
        let complaints = listener.complaints.clone();
        Ok(HttpSource {
            listener,
            bind: config.bind,
            port: config.port,
            door: Door {
                complaints,
                handler: config.handler.create(cx)?.into(),
                max_request_bytes: config.max_request_bytes.get(),
                requests: cx.metrics.counter("AppendBatchReceivedCount"),
                accepted_requests: cx.metrics.counter("AppendBatchAcceptedCount"),
                bad_requests: cx.metrics.counter("EventReadFail"),
            },
        })
    }
}

#[async_trait]
impl Source for HttpSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort::tcp(&self.bind, self.port)]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.bind, self.port, &self.listener).await?;
        let door = self.door.clone();
        let answer = move |request, cx| {
            let door = door.clone();
            async move { door.answer(request, &cx).await }
        };
        serve(listener, cx, false, answer).await;
        Ok(())
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>, cx: &SourceContext) -> Response<String> {
        match *request.method() {
            Method::POST | Method::GET | Method::HEAD => {}
            Method::OPTIONS | Method::TRACE => return plain(StatusCode::FORBIDDEN),
            Method::PUT | Method::DELETE => return plain(StatusCode::METHOD_NOT_ALLOWED),
            _ => return plain(StatusCode::NOT_IMPLEMENTED),
        }
        match self.receive(request, cx).await {
            Ok(()) => plain(StatusCode::OK),
            Err(refusal) => {
                self.tell(&refusal);
                let mut response = Response::new(refusal.text + "\n");
                *response.status_mut() = refusal.status;
                let headers = response.headers_mut();
                let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
                headers.insert(header::CONTENT_TYPE, kind);
                if refusal.is_worth_a_retry {
                    let pause = header::HeaderValue::from(RETRY_AFTER_SECONDS);
                    headers.insert(header::RETRY_AFTER, pause);
                }
                response
            }
        }
    }

    /// The counters have every refusal, and so has the log at DEBUG.
    fn tell(&self, refusal: &Refusal) {
        let Refusal { status, text, .. } = refusal;
        let text = format!("refused a request with {status}: {text}");
        self.complaints.complain(&text);
    }

    async fn receive(&self, request: Request<Incoming>, cx: &SourceContext) -> Result<(), Refusal> {
        self.requests.add(1);
        let mut reservation = cx.frame_reservation();
        let events = self.read(request, &mut reservation).await;
        let events = events.inspect_err(|_| self.bad_requests.add(1))?;
        cx.out.put(events).await.map_err(|error| {
            cx.refused(&error);
            let text = format!("the events are not stored: {}", with_causes(&error));
            match error {
                PutError::Intercept(_) => {
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, with_causes(&error))
                }
                PutError::Channel {
                    source: ChannelError::TooLarge { .. },
                    ..
                } => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text),
                PutError::Channel { .. } | PutError::Throttled(_) => {
                    Refusal::for_now(StatusCode::SERVICE_UNAVAILABLE, text)
                }
            }
        })?;
        self.accepted_requests.add(1);
        cx.state.running();
        Ok(())
    }

    /// What the handler makes of the request.
    async fn read(
        &self,
        request: Request<Incoming>,
        reservation: &mut FrameReservation,
    ) -> Result<Vec<Event>, Refusal> {
        let (head, body) = request.into_parts();
        let body = read_body(body, self.max_request_bytes, reservation).await?;
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let message = HttpMessage {
            content_type: content_type.and_then(|kind| kind.to_str().ok()),
            query: head.uri.query().unwrap_or_default(),
            body: &body,
        };
        self.handler.events(&message).map_err(|error| match error {
            HandlerError::BadRequest(text) => Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("bad request from client: {text}"),
            ),
            HandlerError::Failed(text) => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the handler failed: {text}"),
            ),
        })
    }
}

fn plain(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}
