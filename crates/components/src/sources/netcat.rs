//! `netcat`: lines of text over TCP, each answered.

use std::{future::ready, io, num::NonZeroUsize, pin::pin, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, ChannelError, Component, Config, Context, Event, Outlet, PutError, Source,
    SourceContext, SourceError, with_causes,
};
use flume_net::{Connection, Listener, ListenerConfig, ListenerSettings};
use tokio::io::AsyncWriteExt;

use super::lines::{Broken, Lines};
use crate::charset::Charset;

/// Most bytes read at once from a connection.
const READ_BYTES: usize = 64 << 10;
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
    /// Whether each accepted line is answered with `OK`. Refused lines are answered in any case.
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
}

impl Component for NetcatSource {
    type Config = NetcatConfig;
    fn build(config: NetcatConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(NetcatSource {
            listener: config.listener.build(cx)?,
            config,
        })
    }
}

#[async_trait]
impl Source for NetcatSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let listener = Listener::bind(&self.config.bind, self.config.port, &self.listener).await?;
        cx.ready(listener.address());
        let config = self.config.clone();
        let source = cx.clone();
        let serve = move |connection| Conversation::new(&config, source.clone(), connection).run();
        listener.serve(&cx.stop, serve).await;
        Ok(())
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

struct Conversation {
    cx: SourceContext,
    connection: Connection,
    lines: Lines,
    acks: bool,
    longest: usize,
    /// Gathered for what was read together, and sent together.
    answers: String,
    answers_in: Charset,
}

impl Conversation {
    fn new(config: &NetcatConfig, cx: SourceContext, connection: Connection) -> Self {
        let longest = config.max_line_length.get();
        Conversation {
            cx,
            connection,
            lines: Lines::new(config.encoding, longest),
            acks: config.ack_every_event,
            longest,
            answers: String::new(),
            answers_in: config.encoding,
        }
    }

    /// A stop drops what is under way: lines that were not yet acknowledged.
    async fn run(mut self) {
        let peer = self.connection.peer();
        let stop = self.cx.stop.clone();
        tokio::select! {
            biased;
            outcome = self.serve() => if let Err(error) = outcome {
                tracing::debug!("connection from {peer} is broken: {error}");
            },
            () = stop.requested() => {}
        }
    }

    /// Until the client closes, or breaks the rules.
    async fn serve(&mut self) -> io::Result<()> {
        while !self.cx.stop.is_requested() {
            // No memory is set aside for a connection that says nothing.
            self.connection.readable().await?;
            let _frame = self.cx.reserve(READ_BYTES).await;
            let mut received = Vec::with_capacity(READ_BYTES);
            match self.connection.try_read(&mut received) {
                Ok(0) => return Ok(()),
                Ok(_) => self.lines.feed(&received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            drop(received);
            self.put_lines().await?;
            if let Err(broken) = self.lines.settle() {
                return self.give_up(broken).await;
            }
        }
        Ok(())
    }

    /// Puts and answers every whole line. What is refused for want of room is put again line by line, so that
    /// those for which there is room are accepted, and a client is slowed down by each that is not.
    async fn put_lines(&mut self) -> io::Result<()> {
        let out = self.cx.out.clone();
        let mut singly = 0usize;
        let limit = out.batch_limit();
        loop {
            let cut = self.lines.cut(if singly > 0 { 1 } else { limit });
            let count = cut.events.len();
            let end = cut.end();
            if count == 0 || self.answers.len() > READ_BYTES {
                self.answer().await?;
            }
            if count == 0 {
                return Ok(());
            }
            match self.put(&out, cut.events).await? {
                Err(error) if count > 1 && wants_room(&error) => {
                    singly = count;
                    continue;
                }
                Err(error) => self.refuse(count, &error),
                Ok(()) => {
                    self.cx.state.running();
                    if self.acks {
                        self.answers.push_str(&"OK\n".repeat(count));
                    }
                }
            }
            self.lines.take(end);
            singly = singly.saturating_sub(1);
        }
    }

    /// Sends what has gathered when the put has to wait. Meanwhile the put goes on: it may hold a place in a
    /// queue, and the client may be slow.
    async fn put(&mut self, out: &Outlet, batch: Vec<Event>) -> io::Result<Result<(), PutError>> {
        let mut put = pin!(out.put(batch));
        tokio::select! {
            biased;
            outcome = &mut put => return Ok(outcome),
            () = ready(()) => {}
        }
        let (outcome, sent) = tokio::join!(put, self.answer());
        sent.map(|()| outcome)
    }

    fn refuse(&mut self, lines: usize, error: &PutError) {
        let text = match error {
            PutError::Channel {
                channel,
                source: ChannelError::Full { .. },
            } => {
                self.cx
                    .state
                    .waiting(&format!("channel {channel} has no room"));
                FULL.into()
            }
            _ => {
                self.cx.state.failing(error, Duration::ZERO);
                with_causes(error).replace('\n', " ")
            }
        };
        self.answers
            .push_str(&format!("FAILED: {text}\n").repeat(lines));
    }

    /// Sends the answers that have gathered.
    async fn answer(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let bytes = self.answers_in.encode(&std::mem::take(&mut self.answers));
        self.answers_in = self.answers_in.after_mark();
        self.connection.write_all(&bytes).await?;
        self.connection.flush().await
    }

    /// Says why, if Flume does, and closes so that the client can still read all answers.
    async fn give_up(&mut self, broken: Broken) -> io::Result<()> {
        if broken == Broken::TooLong {
            let longest = self.longest;
            tracing::warn!(
                "a client sent a line of more than {longest} characters, its connection is closed"
            );
            let text =
                format!("Event exceeds the maximum length ({longest} chars, including newline)");
            self.answers = format!("FAILED: {text}\n");
            self.answer().await?;
        }
        self.connection.farewell().await
    }
}

fn wants_room(error: &PutError) -> bool {
    let PutError::Channel { source, .. } = error else {
        return false;
    };
    matches!(
        source,
        ChannelError::Full { .. } | ChannelError::TooLarge { .. }
    )
}
