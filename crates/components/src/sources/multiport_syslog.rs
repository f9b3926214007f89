//! `multiport_syslogtcp`: syslog over TCP on several ports.

use std::{collections::HashMap, num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use flume_core::{
    BuildError, Component, Config, Context, Event, Headers, Hold, ListenPort, Source,
    SourceContext, SourceError, Str,
    config::{Ignored, Names, Prefix},
    with_causes,
};
use flume_java::charset::Charset;
use flume_net::{
    Connection, ListenError, Listener, ListenerConfig, ListenerSettings, intake::converse,
};
use flume_wire::syslog::{
    Clock, INCOMPLETE, INVALID, KeptFields, STATUS, stream::StreamDialect, strict,
};
use futures_util::future::join_all;

use super::syslog::{MessageParser, SyslogConfig, SyslogConversation};

/// How often a port that could not be bound is tried again.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// Listens on several ports for syslog messages of RFC 3164 and RFC 5424. A message that fits neither becomes an event
/// with the header `flume.syslog.status`. While the channels are full, nothing is read.
#[derive(Clone, Config)]
pub(super) struct MultiportSyslogConfig {
    /// Ports to listen on.
    #[prop("ports")]
    ports: Names,
    /// Host name or address to listen on.
    #[prop("host", default = "0.0.0.0")]
    host: String,
    /// Most bytes of a message, its line feed included. The rest of a longer one is a message of its own; counted ones
    /// lose their rest.
    #[prop("eventSize", default = 2500)]
    event_size: NonZeroUsize,
    /// Most events that are put together; unset: as many as the channels take.
    #[prop("batchSize")]
    batch_size: Option<NonZeroUsize>,
    /// Header that receives the port; unset: no header.
    #[prop("portHeader")]
    port_header: Option<String>,
    /// Character set of the messages.
    #[prop("charset.default", default = "UTF-8")]
    charset: Charset,
    /// `charset.port.<port>`: character set of the messages of that port.
    #[prop("charset.port")]
    port_charsets: Prefix<Charset>,
    /// The runtime shares its threads among all connections.
    #[prop("numProcessors")]
    _num_processors: Ignored,
    /// Reads are as large as what has come, up to 64 KiB.
    #[prop("readBufferBytes", alias = "readBufferSize")]
    _read_buffer_bytes: Ignored,
    #[prop(flatten)]
    syslog: SyslogConfig,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(super) struct MultiportSyslogSource {
    config: MultiportSyslogConfig,
    charsets: HashMap<u16, Charset>,
    listener: ListenerSettings,
    hold: Hold,
}

impl Component for MultiportSyslogSource {
    type Config = MultiportSyslogConfig;
    fn build(config: MultiportSyslogConfig, cx: &Context) -> Result<Self, BuildError> {
        let mut charsets = HashMap::new();
        for text in config.ports.texts() {
            let port = text.parse().map_err(|_| {
                BuildError::at(
                    "ports",
                    format!("expected ports from 0 to 65535, found `{text}`"),
                )
            })?;
            let own = config.port_charsets.0.get(text);
            charsets.insert(port, own.copied().unwrap_or(config.charset));
        }
        let listed = |port: &String| config.ports.texts().any(|text| text == port);
        if let Some(port) = config.port_charsets.0.keys().find(|port| !listed(port)) {
            let key = format!("charset.port.{port}");
            return Err(BuildError::at(
                &key,
                format!("`{port}` is not one of ports"),
            ));
        }
        Ok(MultiportSyslogSource {
            listener: config.listener.build(cx)?,
            config,
            charsets,
            hold: Hold::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for MultiportSyslogSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let mut bound = vec![];
        let mut failed = vec![];
        for (port, charset) in &self.charsets {
            match Listener::bind(&self.config.host, *port, &self.listener).await {
                Ok(listener) => bound.push((listener, *charset)),
                Err(error) => failed.push((*port, *charset, error)),
            }
        }
        if bound.is_empty()
            && let Some((_, _, error)) = failed.pop()
        {
            return Err(error.into());
        }
        cx.ready(bound.first().and_then(|(listener, _)| listener.address()));
        let served = bound
            .into_iter()
            .map(|(listener, charset)| self.serve(listener, charset, cx));
        let retried = failed
            .into_iter()
            .map(|(port, charset, error)| self.retry(port, charset, error, cx));
        tokio::join!(join_all(served), join_all(retried));
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.config.batch_size.map_or(1, NonZeroUsize::get)
    }

    fn ports(&self) -> Vec<ListenPort> {
        let ports = self.charsets.keys();
        ports
            .map(|port| ListenPort {
                key: "ports",
                ..ListenPort::tcp(&self.config.host, *port)
            })
            .collect()
    }
}

impl MultiportSyslogSource {
    async fn serve(&self, listener: Listener, charset: Charset, cx: &SourceContext) {
        let port = listener.address().map_or(0, |address| address.port());
        let mut headers = vec![];
        if let Some(name) = &self.config.port_header {
            headers.push((Str::from(name.as_str()), Str::from(port.to_string())));
        }
        let config = self.config.clone();
        let hold = self.hold.clone();
        let source = cx.clone();
        let serve = move |connection| {
            let port = PortSettings {
                config: config.clone(),
                charset,
                headers: headers.clone(),
            };
            port.serve(source.clone(), hold.clone(), connection)
        };
        listener.serve(&cx.stop, serve).await;
    }

    /// Ports that are in use now do not keep the others from being served.
    async fn retry(&self, port: u16, charset: Charset, error: ListenError, cx: &SourceContext) {
        let error = SourceError::from(error);
        tracing::error!("{}; retrying every {BIND_RETRY:?}", with_causes(&error));
        while !cx.stop.is_requested() {
            cx.stop.sleep(BIND_RETRY).await;
            if let Ok(listener) = Listener::bind(&self.config.host, port, &self.listener).await {
                tracing::info!("listens on port {port}");
                return self.serve(listener, charset, cx).await;
            }
        }
    }
}

/// What the connections of one port have in common.
struct PortSettings {
    config: MultiportSyslogConfig,
    charset: Charset,
    headers: Vec<(Str, Str)>,
}

impl PortSettings {
    async fn serve(self, cx: SourceContext, hold: Hold, connection: Connection) {
        let mut clients = self.config.syslog.clients();
        let mut headers = self.headers;
        headers.extend(clients.headers(connection.peer().ip()).await);
        let parser = StrictParser {
            keep: self.config.syslog.kept(),
            charset: self.charset,
        };
        let max_bytes = self.config.event_size.get();
        let max_batch = self.config.batch_size.map_or(usize::MAX, NonZeroUsize::get);
        let conversation =
            SyslogConversation::new(StreamDialect::Strict, max_bytes, parser, headers);
        converse(connection, cx, hold, conversation.at_most(max_batch)).await;
    }
}

struct StrictParser {
    keep: KeptFields,
    charset: Charset,
}

impl MessageParser for StrictParser {
    fn parse(&mut self, message: &[u8], is_cut: bool, clock: &Clock) -> Event {
        let mut text = String::new();
        let decoded = self.charset.decoder().decode(message, &mut text, true);
        let parsed = match decoded {
            Ok(()) => strict::parse(&text, self.keep, clock).ok(),
            Err(_) => None,
        };
        let Some(parsed) = parsed else {
            return Event {
                headers: Headers::from_iter([(STATUS, INVALID)]),
                body: Bytes::copy_from_slice(message),
            };
        };
        let mut event = Event {
            headers: parsed.headers,
            body: self.charset.encode(&parsed.body).into(),
        };
        if is_cut {
            event.headers.set(STATUS, INCOMPLETE);
        }
        event
    }
}
