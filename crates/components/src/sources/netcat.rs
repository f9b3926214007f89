//! `netcat`: lines of text over TCP, each answered.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::BytesMut;
use flume_core::{
    BuildError, ChannelError, Component, Config, Context, Event, Hold, ListenPort, PutError,
    Source, SourceContext, SourceError, metrics::Counter, with_causes,
};
use flume_java::charset::Charset;
use flume_net::{
    Listener, ListenerConfig, ListenerSettings,
    intake::{Conversation, converse},
};

use super::lines::{BrokenText, Lines};

/// Flume's words for a full channel; clients may look for them.
const FULL: &str = "Space for commit to queue couldn't be acquired. Sinks are likely not keeping up with sources, or the buffer size is too tight";

/// Listens on a port and turns each line of text into an event. A line is acknowledged when the channels have it.
#[derive(Clone, Config)]
pub(super) struct NetcatConfig {
    /// Host name or address to listen on.
    #[prop("bind")]
    bind: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Whether lines are answered: `OK` for an accepted one, `FAILED` for a refused one. Without answers no line is
    /// refused; while the channels are full, the source reads nothing.
    #[prop("ack-every-event", default = true)]
    ack_every_event: bool,
    /// Most characters of a line, its line feed included. A connection with a longer line is closed. An
    /// unfinished line is held in memory: at most this, for each connection.
    #[prop("max-line-length", default = 512)]
    max_line_length: NonZeroUsize,
    /// Character set of lines and answers. Bodies of events are UTF-8 in any case.
    #[prop("encoding", default = "utf-8")]
    encoding: Charset,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(super) struct NetcatSource {
    config: NetcatConfig,
    listener: ListenerSettings,
    hold: Hold,
    failures: Counter,
}

impl Component for NetcatSource {
    type Config = NetcatConfig;
    fn build(config: NetcatConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(NetcatSource {
            listener: config.listener.build(cx)?,
            config,
            hold: Hold::new(&cx.metrics),
            failures: cx.metrics.counter("EventReadFail"),
        })
    }
}

#[async_trait]
impl Source for NetcatSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![ListenPort::tcp(&self.config.bind, self.config.port)]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.config.bind, self.config.port, &self.listener).await?;
        cx.ready(listener.address());
        let config = self.config.clone();
        let hold = self.hold.clone();
        let failures = self.failures.clone();
        let source = cx.clone();
        let serve = move |connection| {
            let conversation = LineConversation::new(&config, failures.clone());
            converse(connection, source.clone(), hold.clone(), conversation)
        };
        listener.serve(&cx.stop, serve).await;
        Ok(())
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

/// Lines in, `OK` and `FAILED` out.
struct LineConversation {
    lines: Lines,
    is_answered: bool,
    max_line_length: usize,
    /// Of the answers; a byte order mark is written once.
    charset: Charset,
    /// Connections that end because of what they sent.
    failures: Counter,
}

impl LineConversation {
    fn new(config: &NetcatConfig, failures: Counter) -> Self {
        let max_line_length = config.max_line_length.get();
        LineConversation {
            lines: Lines::new(config.encoding, max_line_length),
            is_answered: config.ack_every_event,
            max_line_length,
            charset: config.encoding,
            failures,
        }
    }

    fn answer(&mut self, text: &str, answers: &mut BytesMut) {
        answers.extend_from_slice(&self.charset.encode(text));
        self.charset = self.charset.after_mark();
    }
}

impl Conversation for LineConversation {
    fn feed(&mut self, received: &[u8]) {
        self.lines.feed(received);
    }

    fn next_batch(&mut self, max_events: usize) -> Vec<Event> {
        self.lines.next_batch(max_events)
    }

    fn held_bytes(&self) -> usize {
        self.lines.held_bytes()
    }

    fn settle(&mut self, answers: &mut BytesMut) -> bool {
        let Err(broken) = self.lines.settle() else {
            return true;
        };
        self.failures.add(1);
        // Flume closes without a word to the client after bytes that are no text.
        if broken == BrokenText::TooLong {
            let max = self.max_line_length;
            tracing::warn!(
                "a client sent a line of more than {max} characters; its connection is closed"
            );
            let text = format!(
                "FAILED: Event exceeds the maximum length ({max} chars, including newline)\n"
            );
            self.answer(&text, answers);
        } else {
            tracing::warn!(
                "a client sent bytes that are not text in the source's encoding; its connection is closed, and what \
                 follows them is not read; set `encoding` to what clients send"
            );
        }
        false
    }

    fn is_answered(&self) -> bool {
        self.is_answered
    }

    fn stored(&mut self, events: usize, answers: &mut BytesMut) {
        self.answer(&"OK\n".repeat(events), answers);
    }

    fn refused(&mut self, events: usize, error: &PutError, answers: &mut BytesMut) {
        let text = match error {
            PutError::Channel {
                source: ChannelError::Full { .. },
                ..
            } => FULL.into(),
            _ => with_causes(error).replace('\n', " "),
        };
        self.answer(&format!("FAILED: {text}\n").repeat(events), answers);
    }
}
