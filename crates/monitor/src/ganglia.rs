//! Sends all numbers to Ganglia, as Flume does: one metric for each attribute, by UDP.

use std::{collections::BTreeMap, time::Duration};

use tokio::{net::UdpSocket, time::interval};

use crate::{board::Board, metrics::all_attributes};

/// As Flume's.
const DEFAULT_POLL_SECONDS: u64 = 60;
/// A longer value does not fit into a packet.
const MAX_VALUE_BYTES: usize = 1_000;
/// The kind of a value that may grow and shrink.
const SLOPE_BOTH: u32 = 3;
const MAX_TIME_BETWEEN: u32 = 60;
/// A metric that is not heard of any longer is never removed.
const NEVER_DELETED: u32 = 0;
/// The packets of Ganglia 3.1: what a metric is, and its value.
const METADATA: u32 = 128;
const STRING_VALUE: u32 = 133;
/// The packet of Ganglia 3.0.
const USER_DEFINED: u32 = 0;

/// Where numbers are sent, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GangliaSettings {
    /// Each `host:port`.
    pub hosts: Vec<String>,
    /// How often.
    pub every: Duration,
    /// Whether packets are those of Ganglia 3.0.
    pub is_ganglia3: bool,
    /// The name of this host.
    pub own_name: String,
}

impl GangliaSettings {
    /// Reads `flume.monitoring.*`.
    ///
    /// # Errors
    /// A property is missing or wrong.
    pub fn of(properties: &BTreeMap<String, String>, own_name: &str) -> Result<Self, String> {
        let get = |name: &str| properties.get(&format!("flume.monitoring.{name}"));
        let hosts =
            get("hosts").ok_or("flume.monitoring.hosts is not set; write HOST:PORT,HOST:PORT")?;
        let hosts: Vec<String> = hosts
            .split([',', ' '])
            .filter(|host| !host.is_empty())
            .map(String::from)
            .collect();
        let is_address = |host: &String| {
            let parts = host.rsplit_once(':');
            parts.is_some_and(|(name, port)| {
                !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if let Some(wrong) = hosts.iter().find(|host| !is_address(host)) {
            return Err(format!(
                "flume.monitoring.hosts: `{wrong}` is not HOST:PORT"
            ));
        }
        if hosts.is_empty() {
            return Err("flume.monitoring.hosts names no host; write HOST:PORT,HOST:PORT".into());
        }
        let seconds = match get("pollFrequency") {
            None => DEFAULT_POLL_SECONDS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| {
                    format!("flume.monitoring.pollFrequency takes seconds from 1, not `{text}`")
                })?,
        };
        Ok(GangliaSettings {
            hosts,
            every: Duration::from_secs(seconds),
            is_ganglia3: get("isGanglia3").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            own_name: own_name.into(),
        })
    }

    /// The packets of one attribute: `flume.CHANNEL.c1.ChannelSize`.
    fn packets(&self, name: &str, value: &str) -> Vec<Vec<u8>> {
        let kind = if value.parse::<f32>().is_ok() {
            "float"
        } else {
            "string"
        };
        if self.is_ganglia3 {
            let mut packet = Xdr::default();
            packet.number(USER_DEFINED);
            packet.text(kind);
            packet.text(&format!("{}.{name}", self.own_name));
            packet.text(value);
            packet.properties();
            return vec![packet.0];
        }
        let mut metadata = Xdr::default();
        metadata.number(METADATA);
        metadata.text(&self.own_name);
        metadata.text(name);
        metadata.number(0);
        metadata.text(kind);
        metadata.text(name);
        metadata.properties();
        metadata.number(1);
        metadata.text("GROUP");
        metadata.text("flume");
        let mut packet = Xdr::default();
        packet.number(STRING_VALUE);
        packet.text(&self.own_name);
        packet.text(name);
        packet.number(0);
        packet.text("%s");
        packet.text(value);
        vec![metadata.0, packet.0]
    }
}

/// Bytes as XDR (RFC 4506) has them.
#[derive(Default)]
struct Xdr(Vec<u8>);

impl Xdr {
    fn number(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
    }

    /// Units, slope and times: what all metrics have in common.
    fn properties(&mut self) {
        self.text("");
        self.number(SLOPE_BOTH);
        self.number(MAX_TIME_BETWEEN);
        self.number(NEVER_DELETED);
    }
}

/// Sends all attributes now and after each interval, for ever. A host that cannot be reached is named once.
pub async fn report(settings: GangliaSettings, board: Board) {
    let mut tick = interval(settings.every);
    let mut broken: BTreeMap<String, String> = BTreeMap::new();
    loop {
        tick.tick().await;
        let attributes = all_attributes(&board);
        for host in &settings.hosts {
            match send(&settings, host, &attributes).await {
                Ok(()) => {
                    if broken.remove(host).is_some() {
                        tracing::info!("Ganglia at {host} can be reached again");
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if broken.insert(host.clone(), text.clone()).as_ref() != Some(&text) {
                        tracing::error!("failed to send metrics to Ganglia at {host}: {text}");
                    }
                }
            }
        }
    }
}

async fn send(
    settings: &GangliaSettings,
    host: &str,
    attributes: &[(String, String)],
) -> std::io::Result<()> {
    let socket = match UdpSocket::bind("[::]:0").await {
        Ok(socket) => socket,
        Err(_) => UdpSocket::bind("0.0.0.0:0").await?,
    };
    socket.connect(host).await?;
    let sendable = attributes
        .iter()
        .filter(|(_, value)| value.len() <= MAX_VALUE_BYTES);
    for (name, value) in sendable {
        for packet in settings.packets(name, value) {
            socket.send(&packet).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<GangliaSettings, String> {
        let pairs = pairs.iter();
        let properties =
            pairs.map(|(name, value)| (format!("flume.monitoring.{name}"), value.to_string()));
        GangliaSettings::of(&properties.collect(), "vm")
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sent by Java Flume 1.11 on a host called `vm`: `flume-ng agent -Dflume.monitoring.type=ganglia
    /// -Dflume.monitoring.hosts=127.0.0.1:PORT`, received by a UDP socket.
    #[test]
    fn packets_are_those_of_java_flume() {
        let check = |is_ganglia3: &str, name: &str, value: &str, expected: &[&str]| {
            let settings = settings(&[("hosts", "h:1"), ("isGanglia3", is_ganglia3)]).unwrap();
            let packets: Vec<_> = settings
                .packets(name, value)
                .iter()
                .map(|packet| hex(packet))
                .collect();
            assert_eq!(packets, expected, "{name}");
        };
        check(
            "false",
            "flume.CHANNEL.c1.ChannelCapacity",
            "100",
            &[
                "0000008000000002766d000000000020666c756d652e4348414e4e454c2e63312e4368616e6e656c4361706163697479000000000000\
             0005666c6f617400000000000020666c756d652e4348414e4e454c2e63312e4368616e6e656c43617061636974790000000000000003\
             0000003c00000000000000010000000547524f555000000000000005666c756d65000000",
                "0000008500000002766d000000000020666c756d652e4348414e4e454c2e63312e4368616e6e656c4361706163697479000000000000\
             0002257300000000000331303000",
            ],
        );
        check(
            "TRUE",
            "flume.CHANNEL.c1.ChannelFillPercentage",
            "3.0",
            &[
                "0000000000000005666c6f617400000000000029766d2e666c756d652e4348414e4e454c2e63312e4368616e6e656c46696c6c506572\
             63656e7461676500000000000003332e300000000000000000030000003c00000000",
            ],
        );
        check(
            "true",
            "flume.SOURCE.r1.Type",
            "SOURCE",
            &[
                "0000000000000006737472696e67000000000017766d2e666c756d652e534f555243452e72312e547970650000000006534f55524345\
             000000000000000000030000003c00000000",
            ],
        );
    }

    #[test]
    fn settings_are_checked() {
        let good = settings(&[("hosts", "a:1, b:2"), ("pollFrequency", "5")]).unwrap();
        assert_eq!(good.hosts, ["a:1", "b:2"]);
        assert_eq!(good.every, Duration::from_secs(5));
        assert!(!good.is_ganglia3);
        for (pairs, expected) in [
            (&[][..], "hosts is not set"),
            (&[("hosts", "a")][..], "`a` is not HOST:PORT"),
            (&[("hosts", "a:0")][..], "`a:0` is not HOST:PORT"),
            (&[("hosts", " ,")][..], "names no host"),
            (
                &[("hosts", "a:1"), ("pollFrequency", "0")][..],
                "takes seconds from 1, not `0`",
            ),
        ] {
            let error = settings(pairs).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
