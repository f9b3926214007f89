//! `netcatudp`: an event per datagram.

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Event, Hold, ListenPort, Source, SourceContext,
    SourceError, Str,
};
use flume_net::{address::java_socket_address, bind_udp};
use memchr::memchr;
use tokio::net::UdpSocket;

/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Most datagrams that are put together.
const MAX_DATAGRAMS: usize = 1000;

/// Listens on a UDP port and turns each datagram into an event, up to its first line feed.
#[derive(Clone, Config)]
pub(super) struct NetcatUdpConfig {
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Host name or address to listen on.
    #[prop("bind", default = "0.0.0.0")]
    bind: String,
    /// Header that receives the address of the sender, as `/127.0.0.1:4711`; unset: no header. Flume's guide
    /// calls it `remoteAddressHeader`, Flume itself does not know that name.
    #[prop("remoteAddress", alias = "remoteAddressHeader")]
    remote_address: Option<String>,
}

pub(super) struct NetcatUdpSource {
    config: NetcatUdpConfig,
    header: Option<Str>,
    hold: Hold,
}

impl Component for NetcatUdpSource {
    type Config = NetcatUdpConfig;
    fn build(config: NetcatUdpConfig, cx: &Context) -> Result<Self, BuildError> {
        let header = config.remote_address.clone().map(Str::from);
        Ok(NetcatUdpSource {
            config,
            header,
            hold: Hold::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for NetcatUdpSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort {
            is_udp: true,
            ..ListenPort::tcp(&self.config.bind, self.config.port)
        }]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let socket = bind_udp(&self.config.bind, self.config.port).await?;
        cx.ready(socket.local_addr().ok());
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            tokio::select! {
                biased;
                () = cx.stop.requested() => return Ok(()),
                ready = socket.readable() => ready.map_err(SourceError::at("receive datagrams"))?,
            }
            let most = cx.out.batch_limit().min(MAX_DATAGRAMS);
            let batch = self.receive(&socket, &mut buffer, most);
            let batch = batch.map_err(SourceError::at("receive datagrams"))?;
            if !batch.is_empty() {
                self.hold.put(cx, batch).await;
            }
        }
    }

    fn may_set(&self, header: &str) -> bool {
        self.header.as_deref() == Some(header)
    }
}

impl NetcatUdpSource {
    /// What has come, without waiting.
    fn receive(
        &self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        most: usize,
    ) -> io::Result<Vec<Event>> {
        let mut batch = vec![];
        while batch.len() < most {
            match socket.try_recv_from(buffer) {
                Ok((length, sender)) => batch.push(self.event(&buffer[..length], sender)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }

    fn event(&self, datagram: &[u8], sender: SocketAddr) -> Event {
        let line = &datagram[..memchr(b'\n', datagram).unwrap_or(datagram.len())];
        let mut event = Event::from(line.to_vec());
        if let Some(header) = &self.header {
            event
                .headers
                .set(header.clone(), java_socket_address(sender).into());
        }
        event
    }
}
