//! Every system call of a workload fails once; and disks that are full.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use flume_core::{ChannelError, Event, State, StateHandle, metrics::Metrics};
use tokio::sync::oneshot;

use super::{
    Random, effort,
    model::{Failure, ModelDisk, Survives},
    oracle::Oracle,
    world::{Shape, World},
};
use crate::{
    disk::Disk,
    engine::{Engine, Settings, encode},
    inbox::Put,
    pool::Layout,
    queue::Limits,
};

fn small() -> Shape {
    Shape {
        segment_bytes: 32 << 10,
        cache_bytes: 1 << 20,
        directories: 1,
        largest_body: 700,
        keys: None,
    }
}

/// Puts until there is no room.
fn fill(world: &mut World, shape: &Shape, oracle: &mut Oracle, random: &mut Random) {
    let mut refused = 0;
    while refused < 3 {
        let had = oracle.acknowledged;
        world.put(shape, oracle, random);
        refused = if oracle.acknowledged == had {
            refused + 1
        } else {
            0
        };
    }
}

/// Works on; whatever fails, what is acknowledged stays, also after the power fails.
fn fail_each_call(seed: u64) -> Result<(), String> {
    let mut fail_at = 1;
    loop {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        disk.fail_at(fail_at, seed ^ fail_at as u64);
        let at = |error: String| format!("call {fail_at}: {error}");
        let open =
            || World::open(&disk, &shape).map_err(|error| at(flume_core::with_causes(&error)));
        // An open that fails is tried again, as the agent does.
        let mut world = open().or_else(|_| open())?;
        for _ in 0..30 {
            world.any(&shape, &mut oracle, &mut random).map_err(at)?;
        }
        let reached = disk.calls() >= fail_at;
        let survives =
            [Survives::Nothing, Survives::Everything, Survives::Some(5)][random.below(3) as usize];
        let after = disk.crash(survives, &mut random);
        let mut world =
            World::open(&after, &shape).map_err(|error| at(flume_core::with_causes(&error)))?;
        let found = world.drain().map_err(at)?;
        oracle.verify(&found).map_err(at)?;
        if !reached {
            return Ok(());
        }
        fail_at += 1;
    }
}

#[test]
fn no_failing_call_loses_what_was_acknowledged() {
    for seed in 0..12 * effort() {
        fail_each_call(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Puts are refused before anything is torn, takes go on, and room comes back by itself.
#[test]
fn a_full_disk_refuses_puts_and_nothing_else() {
    for seed in 0..40 * effort() {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        disk.limit(Some(4 * shape.segment_bytes + 64 * 1024));
        let mut world = World::open(&disk, &shape).unwrap();
        for round in 0..3 {
            let before = oracle.acknowledged;
            fill(&mut world, &shape, &mut oracle, &mut random);
            world.checkpoint();
            fill(&mut world, &shape, &mut oracle, &mut random);
            assert!(
                oracle.acknowledged > before,
                "seed {seed}, round {round}: no room came back"
            );
            // Other programs take what is left.
            disk.limit(Some(disk.used()));
            let mut taken = 0;
            loop {
                world.read();
                let open = world.grab(5, &mut oracle).unwrap();
                if open.events.is_empty() {
                    break;
                }
                taken += open.events.len();
                world.commit(open, &mut oracle);
                world.flush(&mut oracle);
            }
            assert!(taken > 0 && oracle.obliged().is_empty(), "seed {seed}");
            for _ in 0..3 {
                world.checkpoint();
                world.flush(&mut oracle);
            }
        }
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Acks for which there is no room in the log wait for a checkpoint; one that fails must not be the last.
#[test]
fn acks_outlive_a_checkpoint_that_fails() {
    let shape = small();
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    disk.limit(Some(4 * shape.segment_bytes + 64 * 1024));
    let mut world = World::open(&disk, &shape).unwrap();
    fill(&mut world, &shape, &mut oracle, &mut random);
    disk.limit(Some(disk.used()));
    for round in 0..30 {
        let taken = world.grab(1, &mut oracle).unwrap();
        assert_eq!(taken.events.len(), 1);
        world.commit(taken, &mut oracle);
        let (waiter, mut outcome) = oneshot::channel();
        assert!(world.inbox.ack([], 0, Duration::ZERO, Some(waiter)));
        disk.fail_at(disk.calls() + 1, round);
        world.step();
        (0..3).for_each(|_| world.chore());
        assert!(matches!(outcome.try_recv(), Ok(Ok(()))), "round {round}");
    }
}

/// A commit that finds room in the log again is not said to be durable before one that still waits for a checkpoint.
#[test]
fn commits_become_durable_in_order() {
    let shape = small();
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    disk.limit(Some(4 * shape.segment_bytes + 64 * 1024));
    let mut world = World::open(&disk, &shape).unwrap();
    fill(&mut world, &shape, &mut oracle, &mut random);
    disk.limit(Some(disk.used()));
    let mut commit = |world: &mut World| {
        let taken = world.grab(1, &mut oracle).unwrap();
        assert_eq!(taken.events.len(), 1);
        world.commit(taken, &mut oracle);
        let (waiter, outcome) = oneshot::channel();
        assert!(world.inbox.ack([], 0, Duration::ZERO, Some(waiter)));
        world.step();
        outcome
    };
    let mut first = commit(&mut world);
    // What is reserved in the log is used up first.
    while first.try_recv().is_ok() {
        first = commit(&mut world);
    }
    disk.limit(None);
    let mut second = commit(&mut world);
    assert!(second.try_recv().is_err(), "before the first");
    (0..3).for_each(|_| world.chore());
    for outcome in [&mut first, &mut second] {
        assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    }
}

/// A put that is answered says that the commits before it are on disk, also those that the log had no room for: they
/// come with a checkpoint, and that may fail.
#[test]
fn a_put_waits_for_commits_that_wait_for_a_checkpoint() {
    for failures in 0..4 {
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(1);
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        world.settle().unwrap();
        let taken = world.grab(1, &mut oracle).unwrap();
        world.commit(taken, &mut oracle);
        disk.fail_with(Failure::Full);
        (1..=1 + failures).for_each(|call| disk.fail_at(disk.calls() + call, 0));
        assert!(world.inbox.ack([], 0, Duration::ZERO, None));
        world.step();
        let first = oracle.begin(1);
        let event = super::world::event(first, &shape, &mut random);
        let mut outcome = world.send_patient(vec![event], Duration::from_secs(60));
        for _ in 0..9 {
            world.step();
            if let Ok(Ok(())) = outcome.try_recv() {
                oracle.acknowledged(first);
                oracle.commits_are_durable();
            }
            let killed = disk.crash(Survives::Nothing, &mut random);
            let found = World::open(&killed, &shape).unwrap().drain().unwrap();
            let seen = oracle.clone().verify(&found);
            seen.unwrap_or_else(|error| panic!("{failures} failures: {error}"));
            world.chore();
        }
        assert!(oracle.acknowledged > 1, "{failures} failures");
    }
}

/// Who commits while a checkpoint is made waits for it, and asks for no other: puts go as soon as it is there.
#[test]
fn a_put_does_not_wait_for_later_commits() {
    let shape = small();
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    let mut world = World::open(&disk, &shape).unwrap();
    for _ in 0..3 {
        world.put(&shape, &mut oracle, &mut random);
    }
    world.settle().unwrap();
    let taken = world.grab(1, &mut oracle).unwrap();
    world.commit(taken, &mut oracle);
    disk.fail_with(Failure::Full);
    disk.fail_at(disk.calls() + 1, 0);
    assert!(world.inbox.ack([], 0, Duration::ZERO, None));
    world.step();
    let first = oracle.begin(1);
    let event = super::world::event(first, &shape, &mut random);
    let mut put = world.send_patient(vec![event], Duration::from_secs(60));
    let taken = world.grab(1, &mut oracle).unwrap();
    world.commit(taken, &mut oracle);
    let (waiter, mut committed) = oneshot::channel();
    assert!(world.inbox.ack([], 0, Duration::ZERO, Some(waiter)));
    world.step();
    assert!(put.try_recv().is_err() && committed.try_recv().is_err());
    world.chore();
    assert!(matches!(committed.try_recv(), Ok(Ok(()))));
    assert!(matches!(put.try_recv(), Ok(Ok(()))));
}

/// A put that nobody lets go is refused when its time is over.
#[test]
fn a_put_waits_for_a_checkpoint_as_long_as_its_keep_alive() {
    let shape = small();
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    let mut world = World::open(&disk, &shape).unwrap();
    world.put(&shape, &mut oracle, &mut random);
    world.settle().unwrap();
    let taken = world.grab(1, &mut oracle).unwrap();
    world.commit(taken, &mut oracle);
    disk.fail_with(Failure::Full);
    disk.fail_at(disk.calls() + 1, 0);
    assert!(world.inbox.ack([], 0, Duration::ZERO, None));
    world.step();
    let first = oracle.begin(1);
    let event = super::world::event(first, &shape, &mut random);
    let mut put = world.send(vec![event]);
    world.step();
    assert!(matches!(put.try_recv(), Ok(Err(ChannelError::Full { .. }))));
}

/// Also when they are too many for one frame.
#[test]
fn a_put_waits_for_all_commits_before_it() {
    const EVENTS: u64 = 3000;
    let shape = Shape {
        largest_body: 1,
        ..small()
    };
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    let mut world = World::open(&disk, &shape).unwrap();
    let first = oracle.begin(EVENTS);
    let event = |number| super::world::event(number, &shape, &mut random);
    let mut outcome = world.send((first..first + EVENTS).map(event).collect());
    world.step();
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    oracle.acknowledged(first);
    for number in 0..EVENTS {
        world.read();
        let taken = world.grab(1, &mut oracle).unwrap();
        assert_eq!(taken.events.len(), 1);
        // Every other one, so that each is a range of its own.
        if number % 2 == 0 {
            world.commit(taken, &mut oracle);
        }
    }
    world.put(&shape, &mut oracle, &mut random);
    let after = disk.crash(Survives::Nothing, &mut random);
    let found = World::open(&after, &shape).unwrap().drain().unwrap();
    oracle.verify(&found).unwrap();
}

/// A stop keeps what was committed, also when the log had no room for it.
#[test]
fn a_clean_stop_keeps_all_commits() {
    for seed in 0..10 * effort() {
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(seed);
        disk.limit(Some(4 * shape.segment_bytes + 64 * 1024));
        let mut world = World::open(&disk, &shape).unwrap();
        fill(&mut world, &shape, &mut oracle, &mut random);
        disk.limit(Some(disk.used()));
        for _ in 0..1 + random.below(20) {
            let taken = world.grab(1, &mut oracle).unwrap();
            world.commit(taken, &mut oracle);
            if random.chance(2) {
                world.step();
            }
        }
        world.close();
        oracle.commits_are_durable();
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// An agent that is started again and again does not fill the disk with segments.
#[test]
fn many_short_lives_leave_few_files() {
    for clean in [false, true] {
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(1);
        for life in 0..30 {
            let mut world = World::open(&disk, &shape).unwrap();
            world.put(&shape, &mut oracle, &mut random);
            let taken = world.grab(100, &mut oracle).unwrap();
            world.commit(taken, &mut oracle);
            world.flush(&mut oracle);
            if clean {
                world.close();
            }
            let files = disk.lengths();
            assert!(files.len() <= 9, "life {life}: {files:?}");
        }
    }
}

/// A file whose beginning failed is not used again: nobody knows whether its directory has it.
#[test]
fn a_segment_that_could_not_be_begun_does_not_come_back() {
    for (call, seed) in (1..8).flat_map(|call| (0..4).map(move |seed| (call, seed))) {
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(seed);
        let mut world = World::open(&disk, &shape).unwrap();
        disk.fail_at(disk.calls() + call, seed);
        for _ in 0..60 {
            world.put(&shape, &mut oracle, &mut random);
            let taken = world.grab(100, &mut oracle).unwrap();
            world.commit(taken, &mut oracle);
            world.flush(&mut oracle);
            world.checkpoint();
        }
        world.put(&shape, &mut oracle, &mut random);
        let after = disk.crash(Survives::Nothing, &mut random);
        let found = World::open(&after, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("call {call}, seed {seed}: {error}"));
    }
}

/// After a sync that failed, the page cache shows what the disk may lack. An open that accepts it sees that it is there.
#[test]
fn what_an_open_accepts_outlives_the_power() {
    for seed in 0..10 {
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(seed);
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        disk.fail_at(disk.calls() + 2, seed);
        world.put(&shape, &mut oracle, &mut random);
        let disk = disk.kill();
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle.verify(&found).unwrap();
        let disk = disk.crash(Survives::Nothing, &mut random);
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A group failed, and the header of the next segment says so. Once an open has read that header, the group stays away:
/// also when the power fails right after, and no checkpoint could be written.
#[test]
fn what_an_open_does_not_accept_stays_away() {
    let shape = Shape {
        segment_bytes: 256 << 10,
        ..small()
    };
    for seed in 0..4 {
        for (stop, failing) in (1..9).flat_map(|stop| (1..16).map(move |call| (stop, call))) {
            let mut random = Random(seed);
            let disk = ModelDisk::default();
            let mut oracle = Oracle::default();
            let mut world = World::open(&disk, &shape).unwrap();
            world.put(&shape, &mut oracle, &mut random);
            world.settle().unwrap();
            // It is written, and its sync fails.
            disk.fail_at(disk.calls() + 2, seed);
            world.put(&shape, &mut oracle, &mut random);
            // At an even call the machine stops before it, and the sync of a header is one.
            if disk.calls() % 2 == 1 {
                disk.sync_directory(Path::new("/data0")).unwrap();
            }
            disk.stop_at(disk.calls() + stop);
            world.put(&shape, &mut oracle, &mut random);
            let disk = disk.kill();
            disk.fail_at(failing, seed);
            let Ok(mut world) = World::open(&disk, &shape) else {
                continue;
            };
            oracle.verify(&world.drain().unwrap()).unwrap();
            let disk = disk.crash(Survives::Nothing, &mut random);
            let found = World::open(&disk, &shape).unwrap().drain().unwrap();
            let seen = oracle.verify(&found);
            seen.unwrap_or_else(|error| panic!("{seed}, {stop}, {failing}: {error}"));
        }
    }
}

/// The numbers of a group that failed are spent, also when only the header of the next segment says so. Otherwise later
/// segments have lower numbers than earlier ones, and what is consumed of them is not counted.
#[test]
fn numbers_of_a_failed_group_are_spent() {
    for (call, seed) in (1..9).flat_map(|call| (0..4).map(move |seed| (call, seed))) {
        let at = format!("call {call}, seed {seed}");
        let shape = small();
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(seed);
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        disk.fail_at(disk.calls() + 2, seed);
        world.put(&shape, &mut oracle, &mut random);
        disk.stop_at(disk.calls() + call);
        world.put(&shape, &mut oracle, &mut random);
        let disk = disk.kill();
        let found = World::open(&disk.copy(), &shape).unwrap().drain().unwrap();
        oracle.verify(&found).unwrap();
        let mut world = World::open(&disk, &shape).unwrap();
        world.put(&shape, &mut oracle, &mut random);
        world.read();
        let taken = world.grab(1000, &mut oracle).unwrap();
        world.commit(taken, &mut oracle);
        world.flush(&mut oracle);
        world.checkpoint();
        let found = World::open(&disk.kill(), &shape).unwrap().drain();
        oracle
            .verify(&found.unwrap_or_else(|error| panic!("{at}: {error}")))
            .unwrap_or_else(|error| panic!("{at}: {error}"));
    }
}

#[test]
fn a_writer_that_panics_leaves_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let disk = ModelDisk::default();
    let state = StateHandle::new("c1");
    let place = |name| directory.path().join(name);
    let settings = Settings {
        layout: Layout {
            checkpoint_dir: place("c"),
            data_dirs: vec![place("d")],
            ..small().layout()
        },
        limits: Limits {
            events: 100,
            bytes: None,
            transaction: 100,
            keep_alive: Duration::ZERO,
            cache_bytes: 1 << 20,
        },
        take_sync: Duration::ZERO,
        checkpoint_interval: Duration::from_secs(3600),
        checkpoint_on_close: true,
        keys: None,
    };
    let under = Arc::new(disk.clone());
    let engine = Engine::open(settings, under, &Metrics::default(), state.clone()).unwrap();
    let send = || {
        let (reply, outcome) = oneshot::channel();
        let events = vec![Event::from("x".to_string())];
        (
            engine.inbox.put(Put {
                batch: encode(&events),
                events,
                deadline: Instant::now(),
                reply,
            }),
            outcome,
        )
    };
    disk.panic_at(disk.calls() + 1);
    let (sent, outcome) = send();
    assert!(sent && outcome.blocking_recv().is_err());
    assert!(!send().0, "nobody would read it");
    engine.close();
    assert!(
        matches!(state.get().0, State::Failing { .. }),
        "{:?}",
        state.get()
    );
}
