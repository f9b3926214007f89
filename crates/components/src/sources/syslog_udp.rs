//! `syslogudp`: syslog in datagrams.

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Event, Hold, ListenPort, Source, SourceContext,
    SourceError,
};
use flume_net::bind_udp;
use flume_wire::syslog::{classic::ClassicParser, stream::first_message};
use jiff::tz::TimeZone;
use tokio::net::UdpSocket;

use super::syslog::{ClientNames, SyslogConfig, add_headers, clock};

/// The largest datagram there is.
const MAX_DATAGRAM_BYTES: usize = 64 << 10;
/// Most datagrams that are put together.
const MAX_DATAGRAMS: usize = 1000;

/// Listens on a UDP port for syslog messages of RFC 3164 and RFC 5424, one in each datagram.
#[derive(Clone, Config)]
pub(super) struct SyslogUdpConfig {
    /// Host name or address to listen on.
    #[prop("host", default = "0.0.0.0")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    #[prop(flatten)]
    syslog: SyslogConfig,
}

pub(super) struct SyslogUdpSource {
    config: SyslogUdpConfig,
    parser: ClassicParser,
    clients: ClientNames,
    hold: Hold,
}

impl Component for SyslogUdpSource {
    type Config = SyslogUdpConfig;
    fn build(config: SyslogUdpConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(SyslogUdpSource {
            parser: ClassicParser::new(config.syslog.kept()),
            clients: config.syslog.clients(),
            config,
            hold: Hold::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for SyslogUdpSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort {
            is_udp: true,
            ..ListenPort::tcp(&self.config.host, self.config.port)
        }]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let socket = bind_udp(&self.config.host, self.config.port).await?;
        cx.ready(socket.local_addr().ok());
        let zone = flume_java::defaults::time_zone();
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        loop {
            tokio::select! {
                biased;
                () = cx.stop.requested() => return Ok(()),
                ready = socket.readable() => ready.map_err(SourceError::at("receive datagrams"))?,
            }
            let max_events = cx.out.batch_limit().min(MAX_DATAGRAMS);
            let batch = self.receive(&socket, &mut buffer, &zone, max_events).await;
            let batch = batch.map_err(SourceError::at("receive datagrams"))?;
            if !batch.is_empty() {
                self.hold.put(cx, batch).await;
            }
        }
    }
}

impl SyslogUdpSource {
    /// What has come. Waits for nothing but the names of senders.
    async fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        zone: &TimeZone,
        max_events: usize,
    ) -> io::Result<Vec<Event>> {
        let clock = clock(zone);
        let mut batch = vec![];
        while batch.len() < max_events {
            let (length, sender) = match socket.try_recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            // An empty datagram is no message.
            let Some(message) = first_message(&buffer[..length]) else {
                continue;
            };
            let mut event = self.parser.parse(message, false, &clock);
            self.name_sender(&mut event, sender).await;
            batch.push(event);
        }
        Ok(batch)
    }

    async fn name_sender(&mut self, event: &mut Event, sender: SocketAddr) {
        if self.clients.are_wanted() {
            let headers = self.clients.headers(sender.ip()).await;
            add_headers(event, &headers);
        }
    }
}
