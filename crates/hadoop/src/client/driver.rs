//! The task of an open file: it owns the [`FileMachine`], the connection to the first DataNode and the clock, and does
//! nothing but carry news between them.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    io::{self, IoSlice},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use prost::bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    ClientCore,
    calls::FileRef,
    file::{FileCommand, FileProgress},
};
use crate::{
    fs::FsErrorKind,
    namenode::messages::FileStatus,
    writer::{
        CallAnswer, CallFailure, Effect, FileMachine, NodeAnswer, SetUpFailure, WriteFailure,
    },
    xfer::{layer::DataLayer, socket::DataSocket},
};

/// Sealed bytes that wait for the socket at most; what is behind them stays in the machine.
const MAX_OUTGOING_BYTES: usize = 256 << 10;
/// Pieces of one write.
const MAX_SLICES: usize = 64;
/// Whoever waits for a flush may go away; that is looked at so often.
const CALLER_CHECK_INTERVAL: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<(), WriteFailure>>;

/// The end of something that ran beside the task.
enum DriverEvent {
    Called(u64, Result<CallAnswer, CallFailure>),
    SetUp(u64, Result<Box<DataSocket>, SetUpFailure>),
    Transferred(u64, Result<(), String>),
    Probed(u64, Vec<NodeAnswer>),
}

/// What the task woke up for.
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
enum Wake {
    Command(Option<FileCommand>),
    Event(DriverEvent),
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Time,
}

struct FileDriver {
    core: Arc<ClientCore>,
    file: FileRef,
    number: u64,
    machine: FileMachine,
    started: Instant,
    pipe: Option<Pipe>,
    to_self: mpsc::UnboundedSender<DriverEvent>,
    progress: Arc<FileProgress>,
    flushes: HashMap<u64, Reply>,
    closing: Option<Reply>,
}

/// The connection to the first DataNode.
struct Pipe {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    layer: DataLayer,
    raw: BytesMut,
    plain: BytesMut,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
}

/// Starts the task on the client's runtime. It ends with its handle.
pub(super) fn start(
    core: Arc<ClientCore>,
    path: String,
    status: &FileStatus,
    commands: mpsc::UnboundedReceiver<FileCommand>,
    progress: Arc<FileProgress>,
) {
    let number = core.next_file.fetch_add(1, SeqCst);
    core.leases.add(number, status.namespace.clone());
    let Some(runtime) = core
        .threads
        .0
        .as_ref()
        .map(|runtime| runtime.handle().clone())
    else {
        return;
    };
    let (to_self, events) = mpsc::unbounded_channel();
    let driver = FileDriver {
        machine: FileMachine::new(core.write.clone(), Duration::ZERO),
        file: FileRef {
            path,
            file_id: status.file_id,
        },
        number,
        started: Instant::now(),
        pipe: None,
        to_self,
        progress,
        flushes: HashMap::new(),
        closing: None,
        core,
    };
    runtime.spawn(driver.run(commands, events));
}

impl FileDriver {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<FileCommand>,
        mut events: mpsc::UnboundedReceiver<DriverEvent>,
    ) {
        loop {
            self.machine.tick(self.started.elapsed());
            self.settle();
            if self.machine.is_over() {
                break;
            }
            let wake = self.wake_at();
            let (reading, writing) = match &mut self.pipe {
                None => (None, None),
                Some(Pipe {
                    read,
                    write,
                    raw,
                    outgoing,
                    ..
                }) => (Some((read, raw)), Some((write, &*outgoing))),
            };
            let woken = tokio::select! {
                command = commands.recv() => Wake::Command(command),
                Some(event) = events.recv() => Wake::Event(event),
                read = read_some(reading) => Wake::Read(read),
                wrote = write_some(writing) => Wake::Wrote(wrote),
                () = sleep_until(wake) => Wake::Time,
            };
            // Not what a call of long ago saw: its own time counts.
            self.machine.tick(self.started.elapsed());
            self.take(woken);
        }
        commands.close();
        self.end();
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let check = now + CALLER_CHECK_INTERVAL;
        let is_waited_for = !self.flushes.is_empty() || self.closing.is_some();
        let machine = self.machine.wake_at().map(|wake| self.started + wake);
        match machine {
            Some(wake) if is_waited_for => wake.min(check),
            Some(wake) => wake,
            None if is_waited_for => check,
            None => now + 60 * CALLER_CHECK_INTERVAL,
        }
    }

    fn take(&mut self, woken: Wake) {
        match woken {
            Wake::Command(None) => self.machine.give_up(),
            Wake::Command(Some(FileCommand::Write(bytes))) => self.machine.write(bytes),
            Wake::Command(Some(FileCommand::Flush { sync, reply })) => {
                let ticket = self.machine.flush(sync);
                self.flushes.insert(ticket, reply);
            }
            Wake::Command(Some(FileCommand::Close { reply })) => {
                self.closing = Some(reply);
                self.machine.close();
            }
            Wake::Event(DriverEvent::Called(op, answer)) => self.machine.called(op, answer),
            Wake::Event(DriverEvent::Transferred(op, copied)) => {
                self.machine.transferred(op, copied);
            }
            Wake::Event(DriverEvent::Probed(op, answers)) => self.machine.probed(op, &answers),
            Wake::Event(DriverEvent::SetUp(op, Err(failure))) => {
                self.machine.set_up(op, Err(failure));
            }
            Wake::Event(DriverEvent::SetUp(op, Ok(socket))) => {
                if self.machine.set_up(op, Ok(())) {
                    self.pipe = Some(Pipe::of(*socket));
                }
            }
            Wake::Read(Ok(0)) => self.lost("the DataNode closed the connection"),
            Wake::Read(Ok(_)) => self.opened(),
            Wake::Wrote(Ok(count)) => {
                if let Some(pipe) = &mut self.pipe {
                    pipe.wrote(count);
                }
            }
            Wake::Read(Err(error)) | Wake::Wrote(Err(error)) => self.lost(&error.to_string()),
            Wake::Time => {
                let gone = |reply: &Reply| reply.is_closed();
                if self.flushes.values().any(gone) || self.closing.as_ref().is_some_and(gone) {
                    self.machine.give_up();
                }
            }
        }
    }

    fn lost(&mut self, text: &str) {
        self.pipe = None;
        self.machine.disconnected(text);
    }

    /// Bytes have come.
    fn opened(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.layer.open(&mut pipe.raw, &mut pipe.plain) {
            Ok(()) => {
                let plain = pipe.plain.split();
                self.machine.received(&plain);
            }
            Err(error) => self.lost(&error.to_string()),
        }
    }

    /// Does what the machine wants, and shows how far it is.
    fn settle(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            self.effect(effect);
        }
        if let Some(pipe) = &mut self.pipe {
            while pipe.outgoing_bytes < MAX_OUTGOING_BYTES
                && let Some(packet) = self.machine.next_packet()
            {
                let head = packet.head(&self.core.write);
                pipe.send(head, packet.data);
            }
        }
        let progress = &self.progress;
        let acknowledged = self.machine.acknowledged();
        if progress.acknowledged.swap(acknowledged, SeqCst) != acknowledged {
            progress.moved.notify_waiters();
            progress.moved.notify_one();
        }
        progress.live_nodes.store(self.machine.live_nodes(), SeqCst);
    }

    fn effect(&mut self, effect: Effect) {
        let core = self.core.clone();
        let to_self = self.to_self.clone();
        match effect {
            Effect::Call { op, call } => {
                let file = self.file.clone();
                tokio::spawn(async move {
                    let answer = core.block_call(file, call).await;
                    let _ = to_self.send(DriverEvent::Called(op, answer));
                });
            }
            Effect::SetUp(request) => {
                tokio::spawn(async move {
                    let socket = core.set_up(&request).await.map(Box::new);
                    let _ = to_self.send(DriverEvent::SetUp(request.op, socket));
                });
            }
            Effect::Transfer(request) => {
                tokio::spawn(async move {
                    let copied = core.transfer(&request).await;
                    let _ = to_self.send(DriverEvent::Transferred(request.op, copied));
                });
            }
            Effect::Probe {
                op,
                nodes,
                block,
                token,
            } => {
                tokio::spawn(async move {
                    let asked = nodes.iter().map(|node| core.probe(node, &block, &token));
                    let answers = futures_util::future::join_all(asked).await;
                    let _ = to_self.send(DriverEvent::Probed(op, answers));
                });
            }
            Effect::HangUp => self.pipe = None,
            Effect::Blame { node, cause } => core.suspects.blame(&node, &cause),
            Effect::Flushed { ticket } => {
                if let Some(reply) = self.flushes.remove(&ticket) {
                    let _ = reply.send(Ok(()));
                }
            }
            Effect::Closed => {
                if let Some(reply) = self.closing.take() {
                    let _ = reply.send(Ok(()));
                }
            }
            Effect::Failed(failure) => {
                *self.progress.failure.lock() = Some(failure.clone());
                let waiting = self.flushes.drain().map(|(_, reply)| reply);
                for reply in waiting.chain(self.closing.take()) {
                    let _ = reply.send(Err(failure.clone()));
                }
            }
        }
    }

    /// The lease is not renewed any more; the connection was closed before.
    fn end(mut self) {
        self.settle();
        self.pipe = None;
        self.core.leases.remove(self.number);
        let mut failure = self.progress.failure.lock();
        failure.get_or_insert_with(|| WriteFailure {
            kind: FsErrorKind::Gone,
            text: "it is closed, or was given up".into(),
        });
        drop(failure);
        self.progress.moved.notify_waiters();
        self.progress.moved.notify_one();
    }
}

impl Pipe {
    fn of(socket: DataSocket) -> Pipe {
        let (read, write) = socket.stream.into_split();
        Pipe {
            read,
            write,
            layer: socket.layer,
            raw: socket.raw,
            plain: socket.plain,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
        }
    }

    /// Queues a packet. Without a layer its data are not copied.
    fn send(&mut self, head: Vec<u8>, data: Bytes) {
        if let DataLayer::Plain = self.layer {
            self.queue(head.into());
            self.queue(data);
        } else {
            let mut sealed = Vec::with_capacity(head.len() + data.len() + 64);
            self.layer.seal(&[&head, &data], &mut sealed);
            self.queue(sealed.into());
        }
    }

    fn queue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.outgoing_bytes += bytes.len();
            self.outgoing.push_back(bytes);
        }
    }

    fn wrote(&mut self, mut count: usize) {
        self.outgoing_bytes -= count;
        while count > 0
            && let Some(front) = self.outgoing.front_mut()
        {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.outgoing.pop_front();
        }
    }
}

async fn read_some(from: Option<(&mut OwnedReadHalf, &mut BytesMut)>) -> io::Result<usize> {
    match from {
        Some((read, raw)) => read.read_buf(raw).await,
        None => pending().await,
    }
}

async fn write_some(to: Option<(&mut OwnedWriteHalf, &VecDeque<Bytes>)>) -> io::Result<usize> {
    match to {
        Some((write, outgoing)) if !outgoing.is_empty() => {
            let slices: Vec<_> = outgoing
                .iter()
                .take(MAX_SLICES)
                .map(|piece| IoSlice::new(piece))
                .collect();
            write.write_vectored(&slices).await
        }
        _ => pending().await,
    }
}
