//! The machine of a file on a cluster that fails, in virtual time: a seed is a schedule of delays and faults.
//!
//! DataNodes do what Hadoop's do as far as a writer can tell: they mirror in a chain, acknowledge backwards, take bytes at
//! or before their end only, check sums, and in a recovery truncate to what they acknowledged. The oracle: what was
//! flushed is on every node of the pipeline that the NameNode knows; each replica is a prefix of what was written; with a
//! node that lives every flush ends.

mod data_nodes;
mod faults;
mod model;
mod name_node;
mod oracle;

use std::{
    collections::{BTreeMap, BTreeSet},
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
        messages::{OUT_OF_BAND_SEQNO, PipelineAck, stage, status},
        packet::{ChecksumKind, ReceivedPacket},
    },
};

/// Seeds of each kind in `cargo test`; `FLUME_SEEDS` sets another number.
const SEEDS: u64 = 2000;
/// No schedule needs more.
const MAX_STEPS: usize = 200_000;
/// The status of a node that has failed.
const ERROR: i32 = 1;
/// The driver's own limit of a set-up.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Default, Hash)]
struct Replica {
    /// The pipeline that may write it.
    writer: u64,
    generation: u64,
    data: Vec<u8>,
    acked: usize,
    ended: bool,
}

#[derive(Clone, Default, Hash)]
struct FakeNode {
    dead: bool,
    hung: bool,
    /// Its disk takes nothing more.
    full: bool,
    replicas: BTreeMap<u64, Replica>,
    /// What a hung node has not looked at.
    stalled: Vec<Happening>,
}

#[derive(Clone, Hash)]
struct FakeBlock {
    id: u64,
    generation: u64,
    nodes: Vec<usize>,
    /// The length that the NameNode was told last.
    known: u64,
    /// Whether the NameNode's disk has the block.
    persisted: bool,
}

/// A pipeline: its number, and its nodes in order.
#[derive(Clone, Hash)]
struct Chain {
    number: u64,
    block: u64,
    nodes: Vec<usize>,
}

#[derive(Clone, Hash)]
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
    /// It warns its clients and ends.
    Upgrade(usize),
    Restart(usize),
    FillDisk(usize),
    Hang(usize),
    Resume(usize),
    Reset,
}

#[derive(Clone)]
struct World {
    random: Rng,
    /// Nothing takes time but what waits for a time: the model chooses what happens first.
    modelled: bool,
    /// What is done otherwise than it must be.
    left_out: Option<Rule>,
    now: Duration,
    events: BTreeMap<(Duration, u64), Happening>,
    numbered: u64,
    /// The last arrival at each hop: packets and acknowledgements do not overtake each other.
    arrivals: BTreeMap<(u64, usize, bool), Duration>,
    nodes: Vec<FakeNode>,
    blocks: Vec<FakeBlock>,
    next_generation: u64,
    /// The pipeline that the writer listens to.
    chain: Option<u64>,
    chains: BTreeMap<u64, Chain>,
    /// DataNodes that have failed for everybody to see.
    proofs: BTreeSet<usize>,
    /// Of packets that were never sent.
    next_seqno: i64,
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

/// A rule that the model may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// The NameNode knows a new pipeline before anything is flushed on it.
    NameNodeIsTold,
    /// Replicas of a node that was left out have an older generation.
    GenerationGrows,
    /// The NameNode's disk knows the block before anything in it is flushed.
    NameNodeRemembers,
    /// What was not acknowledged is sent again.
    SentAgain,
    /// Silence of all nodes blames none.
    SilenceIsNoProof,
    /// The NameNode hears the whole length.
    LengthIsWhole,
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
            refused_completes: random.u32(0..3),
            lives,
            random,
            ..World::of(settings, count)
        }
    }

    fn of(settings: WriteSettings, nodes: usize) -> World {
        World {
            random: Rng::with_seed(0),
            modelled: false,
            left_out: None,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            numbered: 0,
            arrivals: BTreeMap::new(),
            nodes: vec![FakeNode::default(); nodes],
            blocks: vec![],
            next_generation: 1000,
            chain: None,
            chains: BTreeMap::new(),
            proofs: BTreeSet::new(),
            next_seqno: 0,
            machine: FileMachine::new(settings.clone(), Duration::ZERO),
            settings,
            content: vec![],
            flushed: 0,
            tickets: BTreeMap::new(),
            closed: false,
            failed: None,
            refused_completes: 0,
            lives: false,
            longest: Duration::ZERO,
        }
    }

    fn leaves_out(&self, rule: Rule) -> bool {
        self.left_out == Some(rule)
    }

    fn at(&mut self, when: Duration, happening: Happening) {
        self.numbered += 1;
        self.events.insert((when, self.numbered), happening);
    }

    fn soon(&mut self, happening: Happening) {
        let millis = match self.random.u32(0..20) {
            _ if self.modelled => 0,
            0 => self.random.u64(0..2000),
            _ => self.random.u64(0..20),
        };
        self.at(self.now + Duration::from_millis(millis), happening);
    }

    /// In order on its hop.
    fn along(&mut self, chain: u64, hop: usize, back: bool, happening: Happening) {
        if self.modelled {
            return self.at(self.now, happening);
        }
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

    /// Lets the machine's wishes come true.
    fn drain(&mut self) {
        loop {
            while let Some(effect) = self.machine.next_effect() {
                self.effect(effect);
            }
            let Some(packet) = self.machine.next_packet() else {
                return;
            };
            let chain = self.chain.expect("packets go to a pipeline");
            if packet.seqno >= 0 && packet.seqno < self.next_seqno {
                if self.leaves_out(Rule::SentAgain) {
                    continue;
                }
            } else {
                self.next_seqno = packet.seqno + 1;
            }
            let mut bytes = packet.head(&self.settings);
            bytes.extend(&packet.data);
            let packet = Happening::Packet {
                chain,
                hop: 0,
                bytes: bytes.into(),
            };
            self.along(chain, 0, false, packet);
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
            Effect::Failed(failure) => {
                self.check_failure(&failure);
                self.failed = Some(failure);
            }
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
                    silent: true,
                    text: "late".into(),
                    ..SetUpFailure::default()
                };
                let _ = self.machine.set_up(op, Err(failure));
            }
            Happening::Copy(request) => self.copy(request),
            Happening::Probed(op, nodes) => {
                let answer = |node: &PipelineNode| match &self.nodes[number(node)] {
                    FakeNode { dead: true, .. } => NodeAnswer::Gone,
                    FakeNode { hung: true, .. } if self.leaves_out(Rule::SilenceIsNoProof) => {
                        NodeAnswer::Gone
                    }
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
                if self.chain == Some(chain) {
                    // In pieces, as TCP may.
                    let cut = self.random.usize(0..=bytes.len());
                    self.machine.received(&bytes[..cut]);
                    self.machine.received(&bytes[cut..]);
                }
            }
            Happening::Broken { chain } => {
                if self.chain == Some(chain) {
                    self.chain = None;
                    self.machine.disconnected("reset");
                }
            }
            fault => self.fault(fault),
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
            let next = self.next_time().unwrap_or(until);
            if next >= until {
                self.now = until;
                self.machine.tick(until);
                return;
            }
            self.pass_to(next);
        }
        panic!("no end at {:?}", self.now);
    }

    /// When something happens next.
    fn next_time(&self) -> Option<Duration> {
        let event = self.events.keys().next().map(|(when, _)| *when);
        let wake = self.machine.wake_at().map(|wake| wake.max(self.now));
        event.into_iter().chain(wake).min()
    }

    fn pass_to(&mut self, time: Duration) {
        self.now = time;
        self.machine.tick(time);
        if let Some(first) = self.events.first_entry()
            && first.key().0 == time
        {
            let happening = first.remove();
            self.happen(happening);
        }
    }

    fn write(&mut self, length: usize) {
        let first = self.content.len();
        let bytes: Vec<_> = (first..first + length).map(|at| (at % 251) as u8).collect();
        self.content.extend(&bytes);
        self.machine.write(bytes.into());
    }

    fn flush(&mut self, sync: bool) {
        let ticket = self.machine.flush(sync);
        self.tickets.insert(ticket, self.content.len());
    }

    /// A writer that writes, flushes, idles and closes.
    fn live(&mut self) {
        self.schedule_faults();
        for _ in 0..self.random.usize(1..12) {
            for _ in 0..self.random.usize(1..4) {
                let length = self.random.usize(1..3000);
                self.write(length);
            }
            let sync = self.random.u32(0..4) == 0;
            self.flush(sync);
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

#[test]
fn the_last_node_is_waited_for_while_its_pipeline_is_set_up() {
    let mut world = World::new(0, true);
    world.write(700);
    world.flush(false);
    world.run(Duration::from_secs(10), |world| world.tickets.is_empty());
    world.fault(Happening::Kill(1));
    world.fault(Happening::Kill(2));
    world.fault(Happening::Hang(0));
    world.write(100);
    world.flush(false);
    let later = world.now + 3 * SET_UP_TIMEOUT;
    world.at(later, Happening::Resume(0));
    world.run(Duration::from_secs(200), |world| world.tickets.is_empty());
    assert_eq!(world.failed, None);
    assert!(world.tickets.is_empty());
}
