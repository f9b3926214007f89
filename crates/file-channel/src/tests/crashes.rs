//! Every crash: after each system call of many workloads, with what was not synced dropped, torn and reordered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    Random, effort,
    model::{ModelDisk, Survives},
    oracle::Oracle,
    world::{Shape, World},
};
use crate::promises::{Broken, break_promise};

/// Steps of a workload before and after a crash.
const STEPS: u64 = 20;

/// Runs a workload until the machine stops at a call; what must be true then.
struct Run {
    disk: ModelDisk,
    oracle: Oracle,
    shape: Shape,
    random: Random,
}

impl Run {
    /// A store that went through some crashes already.
    fn begin(seed: u64) -> Result<Self, String> {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let disk = ModelDisk::default();
        let oracle = Oracle::default();
        let mut run = Run {
            disk,
            oracle,
            shape,
            random,
        };
        for _ in 0..run.random.below(3) {
            run.session(STEPS)?;
            run.end_session()?;
        }
        Ok(run)
    }

    /// Opens and works, until the machine stops.
    fn session(&mut self, steps: u64) -> Result<(), String> {
        let mut world = match World::open(&self.disk, &self.shape) {
            Ok(world) => world,
            Err(_) if self.disk.stopped() => return Ok(()),
            Err(error) => {
                return Err(format!(
                    "failed to open: {}",
                    flume_core::with_causes(&error)
                ));
            }
        };
        if world.recovered.corrupt > 0 {
            return Err(format!(
                "a crash looks like corruption: {:?}",
                world.recovered
            ));
        }
        for _ in 0..steps {
            if self.disk.stopped() {
                break;
            }
            world.any(&self.shape, &mut self.oracle, &mut self.random)?;
        }
        // A consumer may have been faster than the end.
        world.grab(1000, &mut self.oracle)?;
        let lost = world.metrics.number("EventLostCount");
        if lost > 0 {
            return Err(format!(
                "{lost} events could not be read although nothing was damaged"
            ));
        }
        if self.random.chance(4) {
            world.close();
            if !self.disk.stopped() {
                self.oracle.commits_are_durable();
            }
        }
        Ok(())
    }

    /// The process is killed, or the power is cut.
    fn end_session(&mut self) -> Result<(), String> {
        if self.random.chance(2) {
            let survives = survival(&mut self.random);
            self.disk = self.disk.crash(survives, &mut self.random);
        }
        self.verify()
    }

    /// Opens and compares.
    fn verify(&mut self) -> Result<(), String> {
        let mut world = World::open(&self.disk, &self.shape)
            .map_err(|error| format!("failed to open: {}", flume_core::with_causes(&error)))?;
        if world.recovered.corrupt > 0 {
            return Err(format!(
                "a crash looks like corruption: {:?}",
                world.recovered
            ));
        }
        let found = world.drain()?;
        if world.metrics.number("EventLostCount") > 0 {
            return Err("events could not be read although nothing was damaged".into());
        }
        self.oracle.verify(&found)
    }
}

pub(super) fn survival(random: &mut Random) -> Survives {
    match random.below(6) {
        0 => Survives::Nothing,
        1 => Survives::Everything,
        _ => Survives::Some(1 + random.below(9)),
    }
}

/// Every call of a session is the last one; then the power fails in some ways, and the store goes on.
fn enumerate(seed: u64, states: &AtomicU64) -> Result<(), String> {
    let start = Run::begin(seed)?;
    let fork = |start: &Run| Run {
        disk: start.disk.copy(),
        oracle: start.oracle.clone(),
        shape: start.shape.clone(),
        random: start.random.clone(),
    };
    let mut whole = fork(&start);
    let before = whole.disk.calls();
    whole.session(STEPS)?;
    let calls = whole.disk.calls();
    for stop in before + 1..=calls + 1 {
        let mut run = fork(&start);
        run.disk.stop_at(stop);
        run.session(STEPS)?;
        for state in 0..3 {
            let mut random = Random(seed ^ (stop as u64) << 20 ^ state);
            let survives = [
                Survives::Nothing,
                Survives::Everything,
                survival(&mut random),
            ][state as usize];
            let at = |error| format!("seed {seed}, call {stop}, {survives:?}: {error}");
            let disk = run.disk.crash(survives, &mut random);
            let mut after = Run {
                disk,
                oracle: run.oracle.clone(),
                shape: run.shape.clone(),
                random,
            };
            after.verify().map_err(at)?;
            // What was recovered must be as good as any other store.
            after.session(4).map_err(at)?;
            after.end_session().map_err(at)?;
            states.fetch_add(2, Relaxed);
        }
    }
    Ok(())
}

pub(super) fn seeds(
    count: u64,
    check: impl Fn(u64) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let work = || loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= count {
                return Ok(());
            }
            check(seed).map_err(|error| format!("seed {seed}: {error}"))?;
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no panic"))
    })
}

#[test]
fn no_crash_loses_what_was_acknowledged() {
    let states = AtomicU64::new(0);
    seeds(20 * effort(), |seed| enumerate(seed, &states)).unwrap();
    eprintln!("{} crash states", states.into_inner());
}

/// Sessions one after another, killed or cut off at random, for long histories.
#[test]
fn no_history_of_crashes_loses_what_was_acknowledged() {
    seeds(500 * effort(), |seed| {
        let mut run = Run::begin(seed)?;
        for _ in 0..6 {
            let calls = run.disk.calls() + 1 + run.random.below(60) as usize;
            run.disk.stop_at(calls);
            run.session(STEPS)?;
            let survives = survival(&mut run.random);
            run.disk = run.disk.crash(survives, &mut run.random);
            run.verify()?;
        }
        Ok(())
    })
    .unwrap();
}

/// A process that is killed while it makes a file leaves one that its directory has only in memory. The next process uses
/// it, and must not lose it when the power fails.
#[test]
fn a_file_of_a_killed_process_stays_in_its_directory() {
    let shape = Shape {
        segment_bytes: 32 << 10,
        cache_bytes: 1 << 20,
        directories: 1,
        largest_body: 700,
        keys: None,
    };
    for call in 1..10 {
        let mut random = Random(call as u64);
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        disk.stop_at(disk.calls() + call);
        world.fill();
        let disk = disk.kill();
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        let disk = disk.crash(Survives::Nothing, &mut random);
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("call {call}: {error}"));
    }
}

/// The oracle must be able to say no.
fn notices(broken: Broken) {
    let caught = (0..40).find_map(|seed| {
        break_promise(Some(broken));
        let outcome = enumerate(seed, &AtomicU64::new(0));
        break_promise(None);
        outcome.err()
    });
    eprintln!(
        "{broken:?}: {}",
        caught.expect("a broken promise that is noticed")
    );
}

#[test]
fn writing_ahead_of_the_sync_is_noticed() {
    notices(Broken::WriteAhead);
}

#[test]
fn a_take_before_the_sync_is_noticed() {
    notices(Broken::EarlyTake);
}

#[test]
fn a_sequence_number_used_twice_is_noticed() {
    notices(Broken::SequenceReuse);
}
