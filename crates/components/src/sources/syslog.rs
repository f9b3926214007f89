//! What the three syslog sources have in common.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use flume_core::{Code, Config, Event, Str, config::Scalar};
use flume_net::{
    address::{java_address, java_host_name},
    intake::Conversation,
};
use flume_wire::syslog::{
    Clock, KeptFields,
    classic::ClassicParser,
    stream::{StreamDialect, SyslogStream},
};
use jiff::tz::TimeZone;

/// Names of hosts that are remembered; then they are looked up again.
const MAX_KNOWN_HOSTS: usize = 1000;
/// A look-up that takes longer shows that the name service is slow.
const SLOW_LOOKUP: Duration = Duration::from_secs(1);
/// How long senders then go by their addresses.
const LOOKUP_PAUSE: Duration = Duration::from_secs(60);

/// The properties that all of them have.
#[derive(Clone, Config)]
pub(super) struct SyslogConfig {
    /// Which fields stay in front of the body: `none`, `all`, or some of `priority version timestamp hostname`.
    #[prop("keepFields", default = "none")]
    keep_fields: KeepFields,
    /// Header that receives the address of the sender; unset: no header.
    #[prop("clientIPHeader")]
    client_ip_header: Option<String>,
    /// Header that receives the name of the sender's host; unset: no header.
    #[prop("clientHostnameHeader")]
    client_hostname_header: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct KeepFields(KeptFields);

impl Scalar for KeepFields {
    const TYPE: &'static str = "fields";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(KeepFields(KeptFields::parse(text)))
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        let says_none = ["none", "false", ""]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
        let keeps_none = KeptFields::parse(text) == KeptFields::default();
        let doubt = "names no field, so none is kept";
        (keeps_none && !says_none).then_some((Code::FallsBack, doubt))
    }
}

impl SyslogConfig {
    pub(super) fn kept(&self) -> KeptFields {
        self.keep_fields.0
    }

    pub(super) fn clients(&self) -> ClientNames {
        ClientNames {
            ip_header: self.client_ip_header.clone().map(Str::from),
            hostname_header: self.client_hostname_header.clone().map(Str::from),
            known: HashMap::new(),
            slow_until: None,
        }
    }
}

/// Headers that tell where events come from.
#[derive(Clone)]
pub(super) struct ClientNames {
    ip_header: Option<Str>,
    hostname_header: Option<Str>,
    known: HashMap<IpAddr, Str>,
    /// Until then nothing is looked up.
    slow_until: Option<Instant>,
}

impl ClientNames {
    /// Whether there are any.
    pub(super) fn are_wanted(&self) -> bool {
        self.ip_header.is_some() || self.hostname_header.is_some()
    }

    /// The headers of this sender's events. May ask a name service.
    pub(super) async fn headers(&mut self, sender: IpAddr) -> Vec<(Str, Str)> {
        let mut headers = vec![];
        if let Some(name) = &self.ip_header {
            headers.push((name.clone(), java_address(sender).into()));
        }
        if let Some(name) = self.hostname_header.clone() {
            headers.push((name, self.host_name(sender).await));
        }
        headers
    }

    async fn host_name(&mut self, sender: IpAddr) -> Str {
        if let Some(known) = self.known.get(&sender) {
            return known.clone();
        }
        // A name service that is slow must not stop the source: for a while senders go by their addresses.
        if self.slow_until.is_some_and(|until| Instant::now() < until) {
            return java_address(sender).into();
        }
        if self.known.len() == MAX_KNOWN_HOSTS {
            self.known.clear();
        }
        let begun = Instant::now();
        let name = Str::from(java_host_name(sender).await);
        if begun.elapsed() >= SLOW_LOOKUP {
            self.slow_until = Some(Instant::now() + LOOKUP_PAUSE);
        }
        self.known.insert(sender, name.clone());
        name
    }
}

/// Adds headers to an event.
pub(super) fn add_headers(event: &mut Event, headers: &[(Str, Str)]) {
    for (name, value) in headers {
        event.headers.set(name.clone(), value.clone());
    }
}

/// What a message of a stream becomes.
pub(super) trait MessageParser: Send {
    /// The event of a message.
    fn parse(&mut self, message: &[u8], is_cut: bool, clock: &Clock) -> Event;
}

impl MessageParser for ClassicParser {
    fn parse(&mut self, message: &[u8], is_cut: bool, clock: &Clock) -> Event {
        ClassicParser::parse(self, message, is_cut, clock)
    }
}

/// One connection: messages in, nothing out.
pub(super) struct SyslogConversation<P> {
    stream: SyslogStream,
    parser: P,
    zone: TimeZone,
    /// Of every event.
    headers: Vec<(Str, Str)>,
    max_batch: usize,
}

impl<P: MessageParser> SyslogConversation<P> {
    pub(super) fn new(
        dialect: StreamDialect,
        max_message_bytes: usize,
        parser: P,
        headers: Vec<(Str, Str)>,
    ) -> Self {
        SyslogConversation {
            stream: SyslogStream::new(dialect, max_message_bytes),
            parser,
            zone: flume_java::defaults::time_zone(),
            headers,
            max_batch: usize::MAX,
        }
    }

    /// Puts at most so many events together.
    pub(super) fn at_most(self, max_batch: usize) -> Self {
        SyslogConversation { max_batch, ..self }
    }
}

impl<P: MessageParser> Conversation for SyslogConversation<P> {
    fn feed(&mut self, received: &[u8]) {
        self.stream.feed(received);
    }

    fn next_batch(&mut self, max_events: usize) -> Vec<Event> {
        let clock = clock(&self.zone);
        let mut events = vec![];
        while events.len() < max_events.min(self.max_batch) {
            let Some(message) = self.stream.next_message() else {
                break;
            };
            let mut event = self.parser.parse(message.bytes, message.is_cut, &clock);
            add_headers(&mut event, &self.headers);
            events.push(event);
        }
        events
    }

    fn held_bytes(&self) -> usize {
        self.stream.held_bytes()
    }

    fn settle(&mut self, _: &mut BytesMut) -> bool {
        self.stream.settle();
        true
    }
}

/// Now, for messages that do not say everything about their time.
pub(super) fn clock(zone: &TimeZone) -> Clock {
    Clock {
        now: jiff::Timestamp::now().as_millisecond(),
        zone: zone.clone(),
    }
}
