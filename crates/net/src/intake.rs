//! The one way from a connection into the channels: reads on while what came before is being stored.
//!
//! A durable channel answers a put when its disk has it, after a millisecond or more. A connection that waited for
//! each answer before it read on would put only what fits into one read. So the next bytes are read meanwhile, and all
//! that has come goes into the next put. Puts of a connection follow each other, so events and answers keep their
//! order. What is read ahead is reserved in the source's budget, and is at most [`MAX_AHEAD_BYTES`].

use std::{future::pending, io, pin::pin, time::Duration};

use bytes::BytesMut;
use flume_core::{ChannelError, Event, Hold, PutError, Reservation, SourceContext};
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::Connection;

/// Most bytes read at once from a connection.
const READ_BYTES: usize = 64 << 10;
/// Most bytes of a connection that wait for the put before them.
const MAX_AHEAD_BYTES: usize = 1 << 20;
/// Bytes of an unfinished message that need no reservation: the limit on connections bounds them.
const UNRESERVED_BYTES: usize = 4 << 10;
/// How long a connection that holds reserved memory may wait for more of it.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(60);
/// Answers are sent when they are longer, even if more events are there.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What the bytes of a connection mean, and what its sender hears. Pure: no I/O.
pub trait Conversation: Send {
    /// Takes in what was received.
    fn feed(&mut self, received: &[u8]);

    /// The next events, at most `max_events`, in the order they came; none when more bytes are needed.
    fn next_batch(&mut self, max_events: usize) -> Vec<Event>;

    /// Bytes that are not yet in a batch.
    fn held_bytes(&self) -> usize;

    /// No whole event is left: gives back memory that is not needed. `false` when none can follow, because the sender
    /// broke the rules; then `answers` may say so, and the connection is closed.
    fn settle(&mut self, answers: &mut BytesMut) -> bool;

    /// Whether the sender hears what became of its events. If not, refusing them would lose them: then nothing more is
    /// read until they are stored.
    fn is_answered(&self) -> bool {
        false
    }

    /// Whether the sender sends the last batch again unless it hears that it is stored. Such a batch waits for room, and
    /// one that is not stored is not lost.
    fn is_resent(&self) -> bool {
        false
    }

    /// So many events are stored.
    fn stored(&mut self, _events: usize, _answers: &mut BytesMut) {}

    /// So many events are refused. Not called for events that nobody sends again.
    fn refused(&mut self, _events: usize, _error: &PutError, _answers: &mut BytesMut) {}
}

/// Runs a conversation until the client closes, the connection breaks or a stop is requested. A stop drops what is not
/// yet acknowledged; a sender that hears nothing has all stored that was read, as far as there is time.
pub async fn converse(
    connection: Connection,
    cx: SourceContext,
    hold: Hold,
    conversation: impl Conversation,
) {
    let peer = connection.peer();
    let stop = cx.stop.clone();
    let is_answered = conversation.is_answered();
    let mut intake = Intake {
        connection,
        cx,
        hold,
        conversation,
        answers: BytesMut::new(),
        buffer: vec![],
        reserved: vec![],
        in_flight_bytes: 0,
        ended: None,
    };
    let outcome = tokio::select! {
        biased;
        outcome = intake.run() => outcome,
        () = stop.requested(), if is_answered => Ok(()),
    };
    if let Err(error) = outcome {
        tracing::debug!("the connection from {peer} is broken: {error}");
    }
}

struct Intake<C> {
    connection: Connection,
    cx: SourceContext,
    hold: Hold,
    conversation: C,
    /// Gathered for what was put together, and sent together.
    answers: BytesMut,
    /// For reads; given back when nothing comes.
    buffer: Vec<u8>,
    /// One for each [`READ_BYTES`] of what is held and of what is being put.
    reserved: Vec<Reservation>,
    in_flight_bytes: usize,
    /// Nothing more can be read, and why.
    ended: Option<io::Result<()>>,
}

impl<C: Conversation> Intake<C> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let max_events = self.cx.out.batch_limit();
            let batch = self.conversation.next_batch(max_events);
            if !batch.is_empty() {
                if self.answers.len() > MAX_ANSWER_BYTES {
                    self.send_answers().await?;
                }
                self.put(batch).await;
                self.release();
                continue;
            }
            let may_go_on = self.conversation.settle(&mut self.answers);
            self.release();
            self.send_answers().await?;
            if !may_go_on {
                return self.connection.farewell().await;
            }
            if let Some(ended) = self.ended.take() {
                return ended;
            }
            if self.cx.stop.is_requested() {
                return Ok(());
            }
            self.read_first().await;
        }
    }

    /// Waits until something comes, with nothing held in memory meanwhile.
    async fn read_first(&mut self) {
        self.buffer = vec![];
        let readable = tokio::select! {
            readable = self.connection.readable() => readable,
            () = self.cx.stop.requested() => return,
        };
        if let Err(error) = readable {
            self.ended = Some(Err(error));
            return;
        }
        // Connections that hold memory must not wait for more without an end: all of it may be theirs.
        let reserved = self.cx.reserve(READ_BYTES);
        let reservation = if self.reserved.is_empty() {
            tokio::select! {
                reservation = reserved => reservation,
                () = self.cx.stop.requested() => return,
            }
        } else {
            match timeout(MEMORY_TIMEOUT, reserved).await {
                Ok(reservation) => reservation,
                Err(_) => {
                    self.ended = Some(Err(io::ErrorKind::TimedOut.into()));
                    return;
                }
            }
        };
        self.read(reservation);
    }

    /// Reads what has come.
    fn read(&mut self, reservation: Reservation) {
        self.buffer.clear();
        self.buffer.reserve_exact(READ_BYTES);
        match self.connection.try_read(&mut self.buffer) {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(_) => {
                self.reserved.push(reservation);
                self.conversation.feed(&self.buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.ended = Some(Err(error)),
        }
    }

    /// Puts a batch, and reads on meanwhile.
    async fn put(&mut self, batch: Vec<Event>) {
        self.in_flight_bytes = batch.iter().map(Event::size).sum();
        if self.conversation.is_answered() {
            self.put_answered(batch).await;
        } else {
            let cx = self.cx.clone();
            let mut hold = self.hold.clone();
            if self.conversation.is_resent() {
                let count = batch.len();
                match self.while_reading(pin!(hold.store(&cx, batch))).await {
                    Ok(()) => self.conversation.stored(count, &mut self.answers),
                    Err(error) => self.conversation.refused(count, &error, &mut self.answers),
                }
            } else {
                self.while_reading(pin!(hold.put(&cx, batch))).await;
            }
            self.hold = hold;
        }
        self.in_flight_bytes = 0;
    }

    /// What is refused for want of room is put again event by event: those for which there is room are accepted, and the
    /// sender is slowed down by each that is not.
    async fn put_answered(&mut self, batch: Vec<Event>) {
        let count = batch.len();
        let Err(error) = self.put_once(batch.clone()).await else {
            return self.settle_answer(count, Ok(()));
        };
        if count == 1 || !wants_room(&error) {
            return self.settle_answer(count, Err(error));
        }
        for event in batch {
            let outcome = self.put_once(vec![event]).await;
            self.settle_answer(1, outcome);
        }
    }

    async fn put_once(&mut self, batch: Vec<Event>) -> Result<(), PutError> {
        let out = self.cx.out.clone();
        let put = pin!(out.put(batch));
        self.while_reading(put).await
    }

    fn settle_answer(&mut self, events: usize, outcome: Result<(), PutError>) {
        match outcome {
            Ok(()) => {
                self.cx.state.running();
                self.conversation.stored(events, &mut self.answers);
            }
            Err(error) => {
                self.cx.refused(&error);
                self.conversation.refused(events, &error, &mut self.answers);
            }
        }
    }

    /// Sends answers and reads on while a put has to wait. The put goes on meanwhile: it may hold a place in a queue, and
    /// the client may be slow.
    async fn while_reading<T>(&mut self, mut put: impl Future<Output = T> + Unpin) -> T {
        tokio::select! {
            biased;
            outcome = &mut put => outcome,
            never = self.meanwhile() => never,
        }
    }

    async fn meanwhile<T>(&mut self) -> T {
        if let Err(error) = self.send_answers().await {
            self.ended.get_or_insert(Err(error));
        }
        while self.ended.is_none() && !self.cx.stop.is_requested() {
            let ahead = self.conversation.held_bytes() + self.in_flight_bytes;
            if ahead >= MAX_AHEAD_BYTES {
                break;
            }
            if let Err(error) = self.connection.readable().await {
                self.ended = Some(Err(error));
                break;
            }
            // Waiting for the budget might be waiting for this connection's own put.
            let Some(reservation) = self.cx.try_reserve(READ_BYTES) else {
                break;
            };
            self.read(reservation);
        }
        pending().await
    }

    /// Gives back what is reserved beyond what is held.
    fn release(&mut self) {
        let held = self.conversation.held_bytes() + self.in_flight_bytes;
        let reserved = held.saturating_sub(UNRESERVED_BYTES);
        self.reserved.truncate(reserved.div_ceil(READ_BYTES));
    }

    /// May be given up at any moment: what was sent is taken off the front.
    async fn send_answers(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        self.connection.write_all_buf(&mut self.answers).await?;
        self.connection.flush().await
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
