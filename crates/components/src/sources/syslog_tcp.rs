//! `syslogtcp`: syslog over TCP.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Hold, ListenPort, Source, SourceContext, SourceError,
};
use flume_net::{Connection, Listener, ListenerConfig, ListenerSettings, intake::converse};
use flume_wire::syslog::{classic::ClassicParser, stream::StreamDialect};

use super::syslog::{ClientNames, SyslogConfig, SyslogConversation};

/// Listens for syslog messages of RFC 3164 and RFC 5424, which end with a line feed or come behind a count of octets
/// (RFC 6587). While the channels are full, nothing is read.
#[derive(Clone, Config)]
pub(super) struct SyslogTcpConfig {
    /// Host name or address to listen on.
    #[prop("host")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Most bytes of a message. The rest of a longer one is a message of its own; counted ones lose their rest.
    #[prop("eventSize", default = 2500)]
    event_size: NonZeroUsize,
    #[prop(flatten)]
    syslog: SyslogConfig,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(super) struct SyslogTcpSource {
    config: SyslogTcpConfig,
    listener: ListenerSettings,
    hold: Hold,
}

impl Component for SyslogTcpSource {
    type Config = SyslogTcpConfig;
    fn build(config: SyslogTcpConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(SyslogTcpSource {
            listener: config.listener.build(cx)?,
            config,
            hold: Hold::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for SyslogTcpSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort::tcp(&self.config.host, self.config.port)]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.config.host, self.config.port, &self.listener).await?;
        cx.ready(listener.address());
        let config = self.config.clone();
        let hold = self.hold.clone();
        let source = cx.clone();
        let serve = move |connection| {
            let clients = config.syslog.clients();
            serve(
                config.clone(),
                clients,
                source.clone(),
                hold.clone(),
                connection,
            )
        };
        listener.serve(&cx.stop, serve).await;
        Ok(())
    }
}

async fn serve(
    config: SyslogTcpConfig,
    mut clients: ClientNames,
    cx: SourceContext,
    hold: Hold,
    connection: Connection,
) {
    let headers = clients.headers(connection.peer().ip()).await;
    let parser = ClassicParser::new(config.syslog.kept());
    let max_bytes = config.event_size.get();
    let conversation = SyslogConversation::new(StreamDialect::Classic, max_bytes, parser, headers);
    converse(connection, cx, hold, conversation).await;
}
