//! `fluent`: the forward protocol of Fluentd and Fluent Bit.

use std::{collections::VecDeque, num::NonZeroUsize};

use async_trait::async_trait;
use bytes::BytesMut;
use flume_core::{
    BuildError, Component, Config, Context, Event, Hold, ListenPort, PutError, Source,
    SourceContext, SourceError, config::Secret, metrics::Counter,
};
use flume_host::names::LocalHost;
use flume_net::{
    Complaints, Listener, ListenerConfig, ListenerSettings,
    intake::{Conversation, converse},
};
use flume_wire::fluent::{
    FluentError, FluentHeaders, FluentMessage, FluentStream, Handshake, acknowledgement,
};

/// Most messages without a chunk that are put together.
const MAX_TOGETHER: usize = 1000;
/// A batch with more bytes takes no further event: a small compressed message may hold a lot.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Takes events from Fluentd and Fluent Bit over their forward protocol, in all its modes, also compressed with gzip or
/// zstd. The record becomes the body, as JSON; tag and time become headers. A sender that asks for acknowledgements
/// (`require_ack_response`) gets one when the channels have its chunk, and sends the chunk again otherwise. While the
/// channels are full, nothing is read. Heartbeats come over TCP; there is no port for UDP. Not a source of Flume.
#[derive(Clone, Config)]
pub(super) struct FluentConfig {
    /// Host name or address to listen on.
    #[prop("bind", default = "0.0.0.0")]
    bind: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port", default = 24224)]
    port: u16,
    /// A key that senders have to know (`shared_key`, `Shared_Key`); unset: everybody may send. Use it with TLS.
    #[prop("sharedKey")]
    shared_key: Option<Secret>,
    /// Header with the tag.
    #[prop("tagHeader", default = "tag")]
    tag_header: String,
    /// Header with the time, in milliseconds since 1970.
    #[prop("timeHeader", default = "timestamp")]
    time_header: String,
    /// Most bytes of a message, and of what it holds when it is decompressed. A connection with a larger one is closed.
    #[prop("maxMessageBytes", default = 67108864)]
    max_message_bytes: NonZeroUsize,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(super) struct FluentSource {
    config: FluentConfig,
    listener: ListenerSettings,
    hold: Hold,
    failures: Counter,
}

impl Component for FluentSource {
    type Config = FluentConfig;
    fn build(config: FluentConfig, cx: &Context) -> Result<Self, BuildError> {
        if config
            .shared_key
            .as_ref()
            .is_some_and(|key| key.0.is_empty())
        {
            return Err(BuildError::at("sharedKey", "must not be empty"));
        }
        Ok(FluentSource {
            listener: config.listener.build(cx)?,
            config,
            hold: Hold::new(&cx.metrics),
            failures: cx.metrics.counter("EventReadFail"),
        })
    }
}

#[async_trait]
impl Source for FluentSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort::tcp(&self.config.bind, self.config.port)]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.config.bind, self.config.port, &self.listener).await?;
        cx.ready(listener.address());
        let hostname = LocalHost::look_up().canonical_name;
        let config = self.config.clone();
        let headers = FluentHeaders {
            tag: config.tag_header.clone().into(),
            time: config.time_header.clone().into(),
        };
        let hold = self.hold.clone();
        let failures = self.failures.clone();
        let complaints = self.listener.complaints.clone();
        let source = cx.clone();
        let serve = move |connection: flume_net::Connection| {
            let key = config.shared_key.as_ref();
            let nonce = uuid::Uuid::new_v4().into_bytes();
            let conversation = FluentConversation {
                stream: FluentStream::new(config.max_message_bytes.get()),
                handshake: key.map(|key| Handshake::new(&key.0, &hostname, nonce)),
                has_greeted: false,
                answer: vec![],
                headers: headers.clone(),
                current: None,
                unanswered: VecDeque::new(),
                broken: None,
                failures: failures.clone(),
                complaints: complaints.clone(),
                peer: connection.peer().to_string(),
            };
            converse(connection, source.clone(), hold.clone(), conversation)
        };
        listener.serve(&cx.stop, serve).await;
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        [&self.config.tag_header, &self.config.time_header].contains(&&header.to_string())
    }
}

struct FluentConversation {
    stream: FluentStream,
    /// While the sender has not proved that it knows the key.
    handshake: Option<Handshake>,
    has_greeted: bool,
    /// Of the handshake.
    answer: Vec<u8>,
    headers: FluentHeaders,
    /// The message that is being read.
    current: Option<FluentMessage>,
    /// The chunk of the last batch, once all of its events are in that batch or before.
    unanswered: VecDeque<Outstanding>,
    broken: Option<FluentError>,
    failures: Counter,
    complaints: Complaints,
    peer: String,
}

/// A message with a chunk whose events are being put.
struct Outstanding {
    chunk: Vec<u8>,
    /// Whether no more events follow.
    is_whole: bool,
    is_refused: bool,
}

impl FluentConversation {
    fn shake_hands(&mut self) -> Result<(), FluentError> {
        let Some(handshake) = &self.handshake else {
            return Ok(());
        };
        if let Some(pong) = handshake.answer(&mut self.stream)? {
            self.answer = pong.answer;
            pong.outcome?;
            self.handshake = None;
        }
        Ok(())
    }

    /// Reads one message with a chunk, or several without. Events of the two sorts are never in one batch.
    fn read(&mut self, max_events: usize, events: &mut Vec<Event>) -> Result<(), FluentError> {
        let most = max_events.max(1);
        let mut bytes = 0;
        while events.len() < most && bytes < MAX_BATCH_BYTES {
            let mut message = match self.current.take() {
                Some(message) => message,
                None => match self.stream.next_message()? {
                    Some(message) => message,
                    None => return Ok(()),
                },
            };
            if message.chunk.is_some() && !events.is_empty() {
                self.current = Some(message);
                return Ok(());
            }
            let is_whole = loop {
                if events.len() == most || bytes >= MAX_BATCH_BYTES {
                    break false;
                }
                match message.next_event(&self.headers)? {
                    Some(event) => {
                        bytes += event.size();
                        events.push(event);
                    }
                    None => break true,
                }
            };
            let chunk = message.chunk.clone();
            if !is_whole {
                self.current = Some(message);
            }
            match chunk {
                Some(chunk) => {
                    let known = self.unanswered.back_mut();
                    match known.filter(|last| !last.is_whole) {
                        Some(last) => last.is_whole = is_whole,
                        None => self.unanswered.push_back(Outstanding {
                            chunk,
                            is_whole,
                            is_refused: false,
                        }),
                    }
                    if !events.is_empty() {
                        return Ok(());
                    }
                }
                None if events.len() >= MAX_TOGETHER => return Ok(()),
                None => {}
            }
        }
        Ok(())
    }

    /// Answers chunks of which nothing is left to put.
    fn acknowledge(&mut self, answers: &mut BytesMut) {
        while self.unanswered.front().is_some_and(|chunk| chunk.is_whole) {
            let Some(done) = self.unanswered.pop_front() else {
                return;
            };
            // Without an answer the sender sends the chunk again.
            if !done.is_refused {
                answers.extend_from_slice(&acknowledgement(&done.chunk));
            }
        }
    }
}

impl Conversation for FluentConversation {
    fn feed(&mut self, received: &[u8]) {
        self.stream.feed(received);
    }

    fn next_batch(&mut self, max_events: usize) -> Vec<Event> {
        let mut events = vec![];
        if self.broken.is_some() {
            return events;
        }
        let outcome = self.shake_hands().and_then(|()| match self.handshake {
            None => self.read(max_events, &mut events),
            Some(_) => Ok(()),
        });
        self.broken = outcome.err();
        events
    }

    fn held_bytes(&self) -> usize {
        let current = self.current.as_ref().map_or(0, FluentMessage::held_bytes);
        self.stream.held_bytes() + current
    }

    fn settle(&mut self, answers: &mut BytesMut) -> bool {
        if let Some(handshake) = &self.handshake
            && !self.has_greeted
        {
            self.has_greeted = true;
            answers.extend_from_slice(&handshake.hello());
        }
        answers.extend_from_slice(&std::mem::take(&mut self.answer));
        self.stream.settle();
        let Some(error) = &self.broken else {
            // Chunks without events.
            self.acknowledge(answers);
            return true;
        };
        self.failures.add(1);
        let text = format!(
            "the forward connection from {} is closed: {error}",
            self.peer
        );
        self.complaints.complain(&text);
        false
    }

    fn is_resent(&self) -> bool {
        !self.unanswered.is_empty()
    }

    fn stored(&mut self, _: usize, answers: &mut BytesMut) {
        self.acknowledge(answers);
    }

    fn refused(&mut self, _: usize, _: &PutError, answers: &mut BytesMut) {
        self.unanswered
            .iter_mut()
            .for_each(|chunk| chunk.is_refused = true);
        self.acknowledge(answers);
    }
}
