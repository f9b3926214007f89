//! The machine of a file: which block, how far, and who waits for what.
//!
//! ```text
//! Vacant ─► Allocating ─► SettingUp ─► Streaming ─► (end packet acknowledged) ─► Vacant … ─► Completing ─► Closed
//!              ▲  Abandoning ◄┘            │ a DataNode fails
//!              └─────┘      ┌──────────────┘
//!                           ▼
//!                      AskingForNode ─► Copying ─► Bumping ─► SettingUp ─► Updating ─► Streaming
//! ```
//!
//! Invariants, checked by the simulation:
//! 1. A flush is done only when every node of the pipeline that the NameNode knows has acknowledged its bytes.
//! 2. acknowledged ≤ sent ≤ written, and what is acknowledged never shrinks.
//! 3. Every byte goes to its own offset; what is sent again is the same.
//! 4. A DataNode that was blamed is not used again in its block.
//! 5. The last DataNode is blamed on proof alone: it refuses, resets, or reports an error.
//! 6. After `give_up` nothing is sent.
//! 7. `complete` names the length that was written.

mod blocks;
mod waiting;

use std::{collections::VecDeque, time::Duration};

use prost::{
    Message,
    bytes::{Bytes, BytesMut},
};

use self::waiting::FlushTicket;
use super::{
    BlockCall, CallAnswer, CallFailure, Effect, OutgoingPacket, PipelineNode, WriteFailure,
    WriteSettings, packets::PacketQueue, recovery::NodeProbe,
};
use crate::{
    fs::FsErrorKind,
    namenode::messages::{ExtendedBlock, Token},
    xfer::{
        cut_delimited,
        messages::{HEARTBEAT_SEQNO, MAX_ACK_BYTES, OUT_OF_BAND_SEQNO, PipelineAck, status},
    },
};

/// A DataNode gives a silent connection up after 60 s; it never has to.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// The NameNode waits for a DataNode's report before it closes a file; it is asked again after this, then twice that.
const FIRST_COMPLETE_PAUSE: Duration = Duration::from_millis(5);
const MAX_COMPLETE_PAUSE: Duration = Duration::from_secs(1);

/// A file that is being written.
#[derive(Clone, Hash)]
pub struct FileMachine {
    pub(super) settings: WriteSettings,
    pub(super) now: Duration,
    pub(super) stage: FileStage,
    /// When the stage began.
    pub(super) since: Duration,
    /// The operation that the stage waits for.
    pub(super) op: u64,
    next_op: u64,
    pub(super) bytes: PacketQueue,
    /// Bytes of the file before the present block.
    block_start: u64,
    /// Bytes of the file.
    written: u64,
    /// Bytes of the file that are on the disks.
    synced: u64,
    pub(super) nodes: Vec<PipelineNode>,
    /// Nodes that the present block must not use.
    pub(super) failed: Vec<PipelineNode>,
    pub(super) block: ExtendedBlock,
    pub(super) token: Token,
    /// The block before, with its final length.
    previous: Option<ExtendedBlock>,
    /// Whether the NameNode's disk knows the block and a length.
    pub(super) persisted: bool,
    fsync: Option<u64>,
    /// Pipelines in a row that nothing was acknowledged on.
    pub(super) recoveries: u32,
    allocations: u32,
    /// Why the last block found no pipeline.
    pub(super) no_pipeline: String,
    pub(super) token_renewed: bool,
    /// Replacements that were tried for the present block.
    pub(super) replacements: u32,
    /// A restarting DataNode is waited for until then.
    pub(super) restart_until: Option<Duration>,
    /// The last sign of life while one was due.
    pub(super) progress: Duration,
    last_sent: Duration,
    heartbeat_due: bool,
    pub(super) probe: Option<NodeProbe>,
    pub(super) next_probe: Duration,
    acks: BytesMut,
    /// The pipeline broke before the NameNode knew it.
    pub(super) lost: Option<String>,
    tickets: VecDeque<FlushTicket>,
    next_ticket: u64,
    closing: Option<Duration>,
    complete_tries: u32,
    /// Whether blocks go to disk before they end.
    sync_blocks: bool,
    pub(super) effects: VecDeque<Effect>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) enum FileStage {
    /// There is no block.
    Vacant,
    /// The NameNode is asked for one.
    Allocating,
    /// A block whose pipeline did not come about is given back.
    Abandoning,
    /// The first DataNode was asked; `renewed`: the block with its new generation, in a recovery.
    SettingUp { renewed: Option<ExtendedBlock> },
    /// Packets go and acknowledgements come.
    Streaming,
    /// The NameNode is asked for one more DataNode.
    AskingForNode,
    /// It gets a copy of the block; then these are the pipeline.
    Copying {
        nodes: Vec<PipelineNode>,
        fresh: PipelineNode,
    },
    /// The NameNode is asked for a new generation.
    Bumping,
    /// A new generation is asked for then: the only DataNode restarts.
    Waiting { until: Duration },
    /// The NameNode is told about the new pipeline.
    Updating { renewed: ExtendedBlock },
    /// The NameNode is asked to close the file, or will be then.
    Completing { again_at: Option<Duration> },
    /// It is closed.
    Closed,
    /// It failed or was given up.
    Dead,
}

impl FileMachine {
    /// A file that was created just now and is empty.
    pub fn new(settings: WriteSettings, now: Duration) -> FileMachine {
        FileMachine {
            settings,
            now,
            stage: FileStage::Vacant,
            since: now,
            op: 0,
            next_op: 1,
            bytes: PacketQueue::default(),
            block_start: 0,
            written: 0,
            synced: 0,
            nodes: vec![],
            failed: vec![],
            block: ExtendedBlock::default(),
            token: Token::default(),
            previous: None,
            persisted: false,
            fsync: None,
            recoveries: 0,
            allocations: 0,
            no_pipeline: String::new(),
            token_renewed: false,
            replacements: 0,
            restart_until: None,
            progress: now,
            last_sent: now,
            heartbeat_due: false,
            probe: None,
            next_probe: now,
            acks: BytesMut::new(),
            lost: None,
            tickets: VecDeque::new(),
            next_ticket: 0,
            closing: None,
            complete_tries: 0,
            sync_blocks: false,
            effects: VecDeque::new(),
        }
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: Bytes) {
        self.written += bytes.len() as u64;
        self.bytes.push(bytes);
        self.advance();
    }

    /// Asks that the file be closed.
    pub fn close(&mut self) {
        self.closing = Some(self.now);
        self.advance();
    }

    /// Nothing is sent any more.
    pub fn give_up(&mut self) {
        self.stage = FileStage::Dead;
        self.nodes.clear();
        self.effects.clear();
        self.effects.push_back(Effect::HangUp);
    }

    /// What the driver is to do next.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The packet to send next.
    pub fn next_packet(&mut self) -> Option<OutgoingPacket> {
        if self.stage != FileStage::Streaming {
            return None;
        }
        let idle = !self.bytes.awaits_ack();
        let packet = match self.bytes.next() {
            Some(packet) => packet,
            None if self.heartbeat_due => OutgoingPacket::heartbeat(),
            None => return None,
        };
        self.heartbeat_due = false;
        self.last_sent = self.now;
        if idle {
            self.progress = self.now;
            self.next_probe = self.now;
        }
        Some(packet)
    }

    /// Bytes of the file that every DataNode of the pipeline has.
    pub fn acknowledged(&self) -> u64 {
        self.block_start + self.bytes.acked
    }

    /// How many DataNodes take what is written; between blocks those that the next one will have.
    pub fn live_nodes(&self) -> usize {
        if self.nodes.is_empty() {
            self.settings.replication
        } else {
            self.nodes.len()
        }
    }

    /// Whether nothing can happen any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, FileStage::Closed | FileStage::Dead)
    }

    /// Takes the answer to a call.
    pub fn called(&mut self, op: u64, answer: Result<CallAnswer, CallFailure>) {
        if self.fsync == Some(op) {
            self.fsync = None;
            match answer {
                // Its block may have ended meanwhile.
                Ok(_) => self.persisted = self.stage != FileStage::Vacant,
                Err(failure) if !self.is_over() => self.die(failure.kind, failure.text),
                Err(_) => {}
            }
            return self.advance();
        }
        if op != self.op || self.is_over() {
            return;
        }
        match (&self.stage, answer) {
            (FileStage::Allocating, Ok(CallAnswer::Located(located))) => self.allocated(&located),
            (FileStage::AskingForNode, Ok(CallAnswer::Located(located))) => {
                self.copy_to_new_node(&located);
            }
            (FileStage::AskingForNode, Err(failure)) => self.no_replacement(&failure.text),
            (FileStage::Bumping, Ok(CallAnswer::Located(located))) => self.bumped(located),
            (FileStage::Abandoning, Err(failure)) if failure.kind != FsErrorKind::Gone => {
                self.allocate();
            }
            (FileStage::Abandoning, Ok(_)) => self.allocate(),
            (FileStage::Updating { renewed }, Ok(_)) => {
                let renewed = renewed.clone();
                self.updated(renewed);
            }
            (FileStage::Completing { .. }, Ok(CallAnswer::Complete(true))) => {
                self.stage = FileStage::Closed;
                self.effects.push_back(Effect::Closed);
            }
            (FileStage::Completing { .. }, Ok(_)) => {
                let pause = FIRST_COMPLETE_PAUSE * (1 << self.complete_tries.min(8));
                self.complete_tries += 1;
                let again_at = Some(self.now + pause.min(MAX_COMPLETE_PAUSE));
                self.stage = FileStage::Completing { again_at };
            }
            (_, Err(failure)) => self.die(failure.kind, failure.text),
            (_, Ok(_)) => self.die(
                FsErrorKind::Retry,
                "an answer of the NameNode without a block",
            ),
        }
        self.advance();
    }

    /// Takes bytes from the first DataNode, from under the layer.
    pub fn received(&mut self, bytes: &[u8]) {
        self.acks.extend_from_slice(bytes);
        while self.stage == FileStage::Streaming {
            let ack = match cut_delimited(&mut self.acks, MAX_ACK_BYTES) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    PipelineAck::decode(message).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match ack {
                Ok(ack) => self.acked(&ack),
                Err(text) => self.recover(&[0], &text),
            }
        }
        self.advance();
    }

    fn acked(&mut self, ack: &PipelineAck) {
        if let Some((at, reply)) = ack.failure() {
            let restarts = reply == status::OOB_RESTART;
            return self.node_failed(at.min(self.nodes.len().saturating_sub(1)), restarts, reply);
        }
        if matches!(ack.seqno, HEARTBEAT_SEQNO | OUT_OF_BAND_SEQNO) {
            self.progress = self.now;
            return;
        }
        let Some(packet) = self.bytes.acknowledge(ack.seqno) else {
            let text = format!(
                "it acknowledges packet {}, which is not the next",
                ack.seqno
            );
            return self.recover(&[0], &text);
        };
        self.progress = self.now;
        self.next_probe = self.now;
        self.probe = None;
        self.recoveries = 0;
        self.restart_until = None;
        if packet.sync {
            self.synced = self.block_start + packet.end();
        }
        if packet.last {
            self.end_block();
        }
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        match self.stage {
            FileStage::Waiting { until } if until <= self.now => self.bump(),
            FileStage::Completing { again_at: Some(at) } if at <= self.now => self.complete(),
            FileStage::Streaming => {
                self.heartbeat_due |= self.now >= self.last_sent + HEARTBEAT_INTERVAL;
                if self.bytes.awaits_ack() {
                    self.watch();
                }
            }
            FileStage::SettingUp { .. } => self.watch(),
            _ => {}
        }
        self.end_of_patience();
        self.advance();
    }

    /// When to look at the clock; `None`: never.
    pub fn wake_at(&self) -> Option<Duration> {
        let stage = match self.stage {
            FileStage::Waiting { until } => Some(until),
            FileStage::Completing { again_at } => again_at,
            FileStage::Streaming if self.bytes.awaits_ack() => Some(self.watch_at()),
            FileStage::Streaming if self.heartbeat_due => Some(self.now + HEARTBEAT_INTERVAL),
            FileStage::Streaming => Some(self.last_sent + HEARTBEAT_INTERVAL),
            FileStage::SettingUp { .. } => Some(self.watch_at()),
            _ => None,
        };
        stage.into_iter().chain(self.patience_ends_at()).min()
    }

    /// Goes on with whatever can go on.
    pub(super) fn advance(&mut self) {
        match self.stage {
            // It would be taken for the length of the next block.
            FileStage::Vacant if self.fsync.is_some() => {}
            FileStage::Vacant if self.bytes.queued > 0 => self.allocate(),
            FileStage::Vacant if self.closing.is_some() => self.complete(),
            FileStage::Streaming => self.stream(),
            _ => {}
        }
        self.resolve();
    }

    pub(super) fn enter(&mut self, stage: FileStage) -> u64 {
        self.op = self.fresh_op();
        self.stage = stage;
        self.since = self.now;
        self.next_probe = self.now;
        self.probe = None;
        self.op
    }

    pub(super) fn fresh_op(&mut self) -> u64 {
        self.next_op += 1;
        self.next_op
    }

    pub(super) fn call(&mut self, stage: FileStage, call: BlockCall) {
        let op = self.enter(stage);
        self.effects.push_back(Effect::Call { op, call });
    }

    /// The block as the NameNode should know it: what every node has.
    pub(super) fn acked_block(&self) -> ExtendedBlock {
        ExtendedBlock {
            num_bytes: Some(self.bytes.acked),
            ..self.block.clone()
        }
    }

    /// A pipeline is there, and nothing is under way on it.
    pub(super) fn begin_streaming(&mut self) {
        self.bytes.rewind();
        self.enter(FileStage::Streaming);
        self.progress = self.now;
        self.last_sent = self.now;
    }

    pub(super) fn die(&mut self, kind: FsErrorKind, text: impl Into<String>) {
        self.stage = FileStage::Dead;
        self.nodes.clear();
        let text = text.into();
        self.effects.push_back(Effect::HangUp);
        self.effects
            .push_back(Effect::Failed(WriteFailure { kind, text }));
    }
}
