//! The machine of a file on a cluster that fails, in virtual time: a seed is a schedule of delays and faults.
//!
//! DataNodes do what Hadoop's do as far as a writer can tell: they mirror in a chain, acknowledge backwards, take bytes at
//! or before their end only, check sums, and in a recovery truncate to what they acknowledged. The oracle: what was
//! flushed is on every node of the pipeline that the NameNode knows; each replica is a prefix of what was written; with a
//! node that lives every flush ends.

mod data_nodes;
mod name_node;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use fastrand::Rng;
use prost::{
    Message,
    bytes::{Bytes, BytesMut},
};

use super::*;
use crate::{
    namenode::messages::{DatanodeId, DatanodeInfoHead, ExtendedBlock, LocatedBlock, Token},
    xfer::{
        messages::{OUT_OF_BAND_SEQNO, PipelineAck, stage},
        packet::{ChecksumKind, ReceivedPacket},
    },
};

/// Seeds of each kind in `cargo test`; `FLUME_SEEDS` sets another number.
const SEEDS: u64 = 2000;
/// No schedule needs more.
const MAX_STEPS: usize = 200_000;
/// The driver's own limit of a set-up.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Replica {
    generation: u64,
    data: Vec<u8>,
    acked: usize,
    ended: bool,
}

#[derive(Default)]
struct FakeNode {
    dead: bool,
    hung: bool,
    replicas: BTreeMap<u64, Replica>,
    /// What a hung node has not looked at.
    stalled: Vec<Happening>,
}

struct FakeBlock {
    id: u64,
    generation: u64,
    nodes: Vec<usize>,
    /// The length that the NameNode was told last.
    known: u64,
}

/// A pipeline: its number, and its nodes in order.
#[derive(Clone)]
struct Chain {
    number: u64,
    block: u64,
    nodes: Vec<usize>,
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
enum Happening {
    Called(u64, BlockCall),
    SetUp(SetUpRequest),
    SetUpTimedOut(u64),
    Copy(TransferRequest),
    Probed(u64, Vec<PipelineNode>),
    Packet {
        chain: u64,
        hop: usize,
        bytes: Bytes,
    },
    Ack {
        chain: u64,
        hop: usize,
        seqno: i64,
        end: usize,
        last: bool,
    },
    News {
        chain: u64,
        bytes: Vec<u8>,
    },
    Broken {
        chain: u64,
    },
    Kill(usize),
    Hang(usize),
    Resume(usize),
    Reset,
}

struct World {
    random: Rng,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    numbered: u64,
    /// The last arrival at each hop: packets and acknowledgements do not overtake each other.
    arrivals: BTreeMap<(u64, usize, bool), Duration>,
    nodes: Vec<FakeNode>,
    blocks: Vec<FakeBlock>,
    next_generation: u64,
    chain: Option<Chain>,
    machine: FileMachine,
    settings: WriteSettings,
    content: Vec<u8>,
    flushed: usize,
    /// The length that a ticket promises.
    tickets: BTreeMap<u64, usize>,
    closed: bool,
    failed: Option<WriteFailure>,
    refused_completes: u32,
    /// Every block has a node that no fault hits.
    lives: bool,
    longest: Duration,
}

fn node_id(at: usize) -> DatanodeId {
    DatanodeId {
        ip_addr: format!("10.0.0.{at}"),
        uuid: format!("node-{at}"),
        xfer_port: 9866,
        ..DatanodeId::default()
    }
}

fn number(node: &PipelineNode) -> usize {
    node.id.uuid[5..].parse().unwrap()
}

impl World {
    fn new(seed: u64, lives: bool) -> World {
        let mut random = Rng::with_seed(seed);
        let count = if lives { 3 } else { random.usize(1..6) };
        let settings = WriteSettings {
            block_bytes: 512 * random.u64(4..40),
            packet_data_bytes: 512 * random.usize(1..9),
            bytes_per_checksum: 512,
            checksum: ChecksumKind::Crc32c,
            replication: count.min(3),
            replace_nodes: random.bool(),
            patience: Duration::from_secs(300),
        };
        World {
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            numbered: 0,
            arrivals: BTreeMap::new(),
            nodes: (0..count).map(|_| FakeNode::default()).collect(),
            blocks: vec![],
            next_generation: 1000,
            chain: None,
            machine: FileMachine::new(settings.clone(), Duration::ZERO),
            settings,
            content: vec![],
            flushed: 0,
            tickets: BTreeMap::new(),
            closed: false,
            failed: None,
            refused_completes: random.u32(0..3),
            lives,
            longest: Duration::ZERO,
            random,
        }
    }

    fn at(&mut self, when: Duration, happening: Happening) {
        self.numbered += 1;
        self.events.push(Reverse((when, self.numbered)));
        self.happenings.insert(self.numbered, happening);
    }

    fn soon(&mut self, happening: Happening) {
        let delay = match self.random.u32(0..20) {
            0 => self.random.u64(0..2000),
            _ => self.random.u64(0..20),
        };
        self.at(self.now + Duration::from_millis(delay), happening);
    }

    /// In order on its hop.
    fn along(&mut self, chain: u64, hop: usize, back: bool, happening: Happening) {
        let delay = Duration::from_micros(self.random.u64(50..5000));
        let last = self
            .arrivals
            .get(&(chain, hop, back))
            .copied()
            .unwrap_or_default();
        let when = (self.now + delay).max(last);
        self.arrivals.insert((chain, hop, back), when);
        self.at(when, happening);
    }

    fn chain(&self, number: u64) -> Option<Chain> {
        self.chain.clone().filter(|chain| chain.number == number)
    }

    /// Lets the machine's wishes come true.
    fn drain(&mut self) {
        loop {
            while let Some(effect) = self.machine.next_effect() {
                self.effect(effect);
            }
            let Some(packet) = self.machine.next_packet() else {
                return;
            };
            let Some(chain) = self.chain.clone() else {
                continue;
            };
            let mut bytes = packet.head(&self.settings);
            bytes.extend(&packet.data);
            let packet = Happening::Packet {
                chain: chain.number,
                hop: 0,
                bytes: bytes.into(),
            };
            self.along(chain.number, 0, false, packet);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Call { op, call } => self.soon(Happening::Called(op, call)),
            Effect::SetUp(request) => self.soon(Happening::SetUp(request)),
            Effect::Transfer(request) => self.soon(Happening::Copy(request)),
            Effect::Probe { op, nodes, .. } => {
                let when = self.now + Duration::from_secs(2);
                self.at(when, Happening::Probed(op, nodes));
            }
            Effect::HangUp => self.chain = None,
            Effect::Blame { .. } => {}
            Effect::Flushed { ticket } => self.check_flushed(ticket),
            Effect::Closed => self.check_closed(),
            Effect::Failed(failure) => self.failed = Some(failure),
        }
    }

    fn check_flushed(&mut self, ticket: u64) {
        let target = self
            .tickets
            .remove(&ticket)
            .expect("a ticket is flushed once");
        self.flushed = self.flushed.max(target);
        let mut start = 0;
        for (at, block) in self.blocks.iter().enumerate() {
            let last = at + 1 == self.blocks.len();
            let length = if last {
                target.saturating_sub(start)
            } else {
                block.known as usize
            };
            for node in &block.nodes {
                let replica = &self.nodes[*node].replicas[&block.id];
                assert!(
                    replica.acked >= length.min(target.saturating_sub(start)),
                    "node {node} has acknowledged {} of {length}",
                    replica.acked
                );
                // A recovery under way has told the nodes before the NameNode.
                assert!(replica.generation >= block.generation);
            }
            start += length;
        }
        assert!(
            start >= target || self.blocks.is_empty(),
            "{start} of {target}"
        );
    }

    fn check_closed(&mut self) {
        self.closed = true;
        let mut whole: Vec<u8> = vec![];
        for block in &self.blocks {
            let good: Vec<_> = self
                .nodes
                .iter()
                .filter_map(|node| node.replicas.get(&block.id))
                .filter(|replica| replica.ended && replica.generation == block.generation)
                .collect();
            assert!(!good.is_empty(), "a block without a replica");
            assert!(good.iter().all(|replica| replica.data == good[0].data));
            whole.extend(&good[0].data);
        }
        assert!(
            whole == self.content,
            "{} of {} bytes",
            whole.len(),
            self.content.len()
        );
    }

    /// Every replica of the present generation is a prefix of what was written.
    fn check_prefixes(&self) {
        let mut start = 0;
        for block in &self.blocks {
            for node in &self.nodes {
                if let Some(replica) = node.replicas.get(&block.id) {
                    let end = (start + replica.data.len()).min(self.content.len());
                    assert!(self.content[start..end] == replica.data[..], "a wrong byte");
                }
            }
            start += self.settings.block_bytes as usize;
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Called(op, call) => {
                let answer = self.answer(call);
                self.machine.called(op, answer);
            }
            Happening::SetUp(request) => self.set_up(request),
            Happening::SetUpTimedOut(op) => {
                let failure = SetUpFailure {
                    text: "late".into(),
                    ..SetUpFailure::default()
                };
                let _ = self.machine.set_up(op, Err(failure));
            }
            Happening::Copy(request) => self.copy(request),
            Happening::Probed(op, nodes) => {
                let answer = |node: &PipelineNode| match &self.nodes[number(node)] {
                    FakeNode { dead: true, .. } => NodeAnswer::Gone,
                    FakeNode { hung: true, .. } => NodeAnswer::Silent,
                    _ => NodeAnswer::Answers,
                };
                let answers: Vec<_> = nodes.iter().map(answer).collect();
                self.machine.probed(op, &answers);
            }
            Happening::Packet { chain, hop, bytes } => self.packet(chain, hop, bytes),
            Happening::Ack {
                chain,
                hop,
                seqno,
                end,
                last,
            } => {
                self.acknowledge(chain, hop, seqno, end, last);
            }
            Happening::News { chain, bytes } => {
                if self.chain(chain).is_some() {
                    // In pieces, as TCP may.
                    let cut = self.random.usize(0..=bytes.len());
                    self.machine.received(&bytes[..cut]);
                    self.machine.received(&bytes[cut..]);
                }
            }
            Happening::Broken { chain } => {
                if self.chain(chain).is_some() {
                    self.chain = None;
                    self.machine.disconnected("reset");
                }
            }
            Happening::Reset => {
                if let Some(chain) = self.chain.take() {
                    let _ = chain;
                    self.machine.disconnected("reset");
                }
            }
            Happening::Kill(node) => {
                self.nodes[node].dead = true;
                if let Some(chain) = self.chain.clone()
                    && let Some(at) = chain.nodes.iter().position(|other| *other == node)
                {
                    self.tell_of_death(&chain, at);
                }
            }
            Happening::Hang(node) => self.nodes[node].hung = true,
            Happening::Resume(node) => {
                self.nodes[node].hung = false;
                for stalled in std::mem::take(&mut self.nodes[node].stalled) {
                    self.happen(stalled);
                }
            }
        }
    }

    /// Faults at random times; one node is spared where one has to live.
    fn schedule_faults(&mut self) {
        let spared = if self.lives { 1 } else { 0 };
        for _ in 0..self.random.usize(0..4) {
            if self.nodes.len() <= spared {
                break;
            }
            let node = self.random.usize(spared..self.nodes.len());
            let when = Duration::from_millis(self.random.u64(0..60_000));
            match self.random.u32(0..4) {
                0 => {
                    self.at(when, Happening::Hang(node));
                    let until = when + Duration::from_millis(self.random.u64(0..20_000));
                    self.at(until, Happening::Resume(node));
                }
                1 => self.at(when, Happening::Hang(node)),
                2 if !self.lives => self.at(when, Happening::Reset),
                _ => self.at(when, Happening::Kill(node)),
            }
        }
    }

    /// Time goes on until `done`, or for so long.
    fn run(&mut self, limit: Duration, done: impl Fn(&World) -> bool) {
        let until = self.now + limit;
        for _ in 0..MAX_STEPS {
            self.drain();
            if done(self) || self.failed.is_some() {
                return;
            }
            let event = self.events.peek().map(|Reverse((when, _))| *when);
            let wake = self.machine.wake_at().map(|wake| wake.max(self.now));
            let next = event.into_iter().chain(wake).min().unwrap_or(until);
            if next >= until {
                self.now = until;
                self.machine.tick(until);
                return;
            }
            self.now = next;
            self.machine.tick(next);
            if event == Some(next)
                && let Some(Reverse((_, number))) = self.events.pop()
            {
                let happening = self.happenings.remove(&number).expect("it is numbered");
                self.happen(happening);
            }
        }
        panic!("no end at {:?}", self.now);
    }

    /// A writer that writes, flushes, idles and closes.
    fn live(&mut self) {
        self.schedule_faults();
        for _ in 0..self.random.usize(1..12) {
            for _ in 0..self.random.usize(1..4) {
                let length = self.random.usize(1..3000);
                let first = self.content.len();
                let bytes: Vec<_> = (first..first + length).map(|at| (at % 251) as u8).collect();
                self.content.extend(&bytes);
                self.machine.write(bytes.into());
            }
            let sync = self.random.u32(0..4) == 0;
            let ticket = self.machine.flush(sync);
            self.tickets.insert(ticket, self.content.len());
            let start = self.now;
            self.run(Duration::from_secs(400), |world| world.tickets.is_empty());
            self.longest = self.longest.max(self.now - start);
            self.check_prefixes();
            if self.failed.is_some() {
                return;
            }
            assert!(self.tickets.is_empty(), "a flush without end");
            let idle = Duration::from_millis(self.random.u64(0..20_000));
            self.run(idle, |_| false);
            if self.failed.is_some() {
                return;
            }
        }
        self.machine.close();
        self.run(Duration::from_secs(400), |world| world.closed);
        assert!(self.closed || self.failed.is_some(), "no close");
    }
}

fn seeds() -> u64 {
    std::env::var("FLUME_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEEDS)
}

#[test]
fn with_a_node_that_lives_every_flush_ends_and_nothing_is_lost() {
    let mut longest = Duration::ZERO;
    for seed in 0..seeds() {
        let mut world = World::new(seed, true);
        world.live();
        assert_eq!(world.failed, None, "seed {seed}");
        longest = longest.max(world.longest);
    }
    // Three faults, each of which costs at most 15 s, the second and third at the worst moment.
    assert!(longest < Duration::from_secs(100), "{longest:?}");
}

#[test]
fn whatever_fails_what_was_flushed_is_there() {
    for seed in 0..seeds() {
        let mut world = World::new(seed, false);
        world.live();
        world.check_prefixes();
    }
}
