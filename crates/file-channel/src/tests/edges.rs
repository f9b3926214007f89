//! Disks that are full, or hand out no files: puts of every size, room that comes back, and threads that rest.

use std::time::Duration;

use flume_core::Event;
use tokio::sync::oneshot;

use super::{
    Random,
    model::ModelDisk,
    oracle::Oracle,
    world::{Shape, World},
};
use crate::log::MAX_ACK_RANGES;

const MINUTE: Duration = Duration::from_secs(60);

fn shape() -> Shape {
    Shape {
        segment_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        directories: 1,
        largest_body: 700,
        keys: None,
    }
}

/// Room for so many segments, and for the checkpoints.
fn room_for(segments: u64, shape: &Shape) -> u64 {
    segments * shape.segment_bytes + 52 * 1024
}

fn segments(disk: &ModelDisk) -> usize {
    let files = disk.lengths();
    files
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("segment-"))
        .count()
}

#[test]
fn a_put_of_any_size_finds_room_and_begins_one_segment_at_most() {
    let shape = shape();
    for size in (shape.segment_bytes / 2..shape.segment_bytes + 9000).step_by(509) {
        let disk = ModelDisk::default();
        let mut world = World::open(&disk, &shape).unwrap();
        for put in 1..=3 {
            let before = segments(&disk);
            let mut outcome = world.send(vec![Event::from(vec![7; size as usize])]);
            world.step();
            assert!(
                matches!(outcome.try_recv(), Ok(Ok(()))),
                "{size} bytes, put {put}"
            );
            assert!(segments(&disk) <= before + 1, "{size} bytes, put {put}");
        }
    }
}

#[test]
fn a_put_that_finds_no_room_begins_no_segments() {
    let shape = shape();
    let disk = ModelDisk::default();
    let mut world = World::open(&disk, &shape).unwrap();
    disk.limit(Some(room_for(1, &shape)));
    let body = vec![7; shape.segment_bytes as usize - 5000];
    let mut outcome = world.send_patient(vec![Event::from(body)], MINUTE);
    for _ in 0..20 {
        world.settle().unwrap();
    }
    assert!(outcome.try_recv().is_err(), "it waits");
    assert_eq!(segments(&disk), 0);
}

/// A disk that fails every group must not be filled with segments that hold nothing.
#[test]
fn a_disk_that_fails_again_and_again_is_not_filled() {
    let shape = shape();
    let disk = ModelDisk::default();
    let mut world = World::open(&disk, &shape).unwrap();
    for round in 0..30 {
        // Header and its sync, the directory, then the group.
        disk.fail_at(disk.calls() + 6, round);
        let mut outcome = world.send(vec![Event::from("x".to_string())]);
        world.step();
        if let Ok(Ok(())) = outcome.try_recv() {
            disk.heal();
        }
    }
    assert!(segments(&disk) <= 6, "{:?}", disk.lengths());
}

/// Fills a disk of so much room, drains it, and wants to put again: without a restart, and after one.
fn room_comes_back(room: u64, seed: u64, prepare: &dyn Fn(&ModelDisk)) -> Result<(), String> {
    let mut random = Random(seed);
    let shape = shape();
    let disk = ModelDisk::default();
    prepare(&disk);
    let mut oracle = Oracle::default();
    disk.limit(Some(room_for(room, &shape)));
    let mut world = World::open(&disk, &shape).map_err(|error| error.to_string())?;
    for round in 0..6 {
        let mut refused = 0;
        let had = oracle.acknowledged;
        while refused < 3 {
            let before = oracle.acknowledged;
            world.put(&shape, &mut oracle, &mut random);
            refused = if oracle.acknowledged == before {
                refused + 1
            } else {
                0
            };
        }
        if oracle.acknowledged == had {
            return Err(format!("round {round}: nothing could be put"));
        }
        loop {
            world.read();
            let taken = world.grab(1 + random.below(9) as usize, &mut oracle)?;
            if taken.events.is_empty() {
                break;
            }
            world.commit(taken, &mut oracle);
            if random.chance(2) {
                world.flush(&mut oracle);
            }
        }
        world.flush(&mut oracle);
        world.settle()?;
        if round % 2 == 1 {
            world = World::open(&disk, &shape).map_err(|error| error.to_string())?;
        }
        let first = oracle.begin(1);
        let event = super::world::event(first, &shape, &mut random);
        let mut outcome = world.send_patient(vec![event], MINUTE);
        world.settle()?;
        match outcome.try_recv() {
            Ok(Ok(())) => oracle.acknowledged(first),
            other => return Err(format!("round {round}: {other:?} although all is drained")),
        }
    }
    let found = World::open(&disk, &shape)
        .map_err(|error| error.to_string())?
        .drain()?;
    oracle.verify(&found)
}

#[test]
fn a_drained_disk_takes_puts_again_by_itself() {
    for room in 1..=4 {
        for seed in 0..20 {
            room_comes_back(room, seed, &|_| ())
                .unwrap_or_else(|error| panic!("{room} segments, seed {seed}: {error}"));
        }
    }
}

#[test]
fn a_quota_is_a_full_disk() {
    for room in 1..=3 {
        for seed in 0..10 {
            room_comes_back(room, seed, &ModelDisk::with_quota)
                .unwrap_or_else(|error| panic!("{room} segments, seed {seed}: {error}"));
        }
    }
}

/// Nothing is lost where a full disk is noticed in the middle of a group.
#[test]
fn a_disk_without_fallocate_may_be_full() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let shape = shape();
        let disk = ModelDisk::default();
        disk.without_fallocate();
        let mut oracle = Oracle::default();
        disk.limit(Some(room_for(2, &shape)));
        let mut world = World::open(&disk, &shape).unwrap();
        for _ in 0..150 {
            world.any(&shape, &mut oracle, &mut random).unwrap();
        }
        disk.limit(None);
        world.put(&shape, &mut oracle, &mut random);
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A directory in which no file can be made: the channel goes on in the files it has, and its threads rest.
#[test]
fn threads_rest_when_no_spare_can_be_made() {
    let shape = shape();
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    let mut world = World::open(&disk, &shape).unwrap();
    world.put(&shape, &mut oracle, &mut random);
    world.settle().unwrap();
    disk.freeze();
    let mut calls = 0;
    for _ in 0..40 {
        world.put(&shape, &mut oracle, &mut random);
        let taken = world.grab(100, &mut oracle).unwrap();
        world.commit(taken, &mut oracle);
        world.settle().unwrap();
        let before = disk.calls();
        for _ in 0..10 {
            world.settle().unwrap();
        }
        calls += disk.calls() - before;
    }
    assert!(oracle.acknowledged > 0);
    assert!(calls < 40, "{calls} calls while nothing was to be done");
}

/// A spare that cannot be opened for a moment is not lost to the pool.
#[test]
fn a_spare_that_cannot_be_opened_stays_a_spare() {
    let shape = shape();
    let disk = ModelDisk::default();
    let mut world = World::open(&disk, &shape).unwrap();
    (0..3).for_each(|_| world.fill());
    disk.limit(Some(disk.used()));
    let mut outcomes = vec![];
    for put in 0..3 {
        if put < 2 {
            disk.fail_look_in(0);
        }
        let mut outcome = world.send(vec![Event::from("x".to_string())]);
        world.step();
        outcomes.push(matches!(outcome.try_recv(), Ok(Ok(()))));
    }
    assert_eq!(outcomes, [false, false, true]);
}

/// Where puts find no room, an ack of any size does, without a checkpoint.
#[test]
fn the_largest_ack_fits_into_what_is_reserved_for_it() {
    const EVENTS: u64 = 2 * MAX_ACK_RANGES as u64;
    let shape = Shape {
        segment_bytes: 256 << 10,
        largest_body: 1,
        ..shape()
    };
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut random = Random(1);
    // One segment, and no spare.
    disk.limit(Some(room_for(1, &shape)));
    let mut world = World::open(&disk, &shape).unwrap();
    let first = oracle.begin(EVENTS);
    let event = |number| super::world::event(number, &shape, &mut random);
    let mut outcome = world.send((first..first + EVENTS).map(event).collect());
    world.step();
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    oracle.acknowledged(first);
    let mut refused = false;
    while !refused {
        let had = oracle.acknowledged;
        world.put(&shape, &mut oracle, &mut random);
        refused = oracle.acknowledged == had;
    }
    for number in 0..EVENTS {
        world.read();
        let taken = world.grab(1, &mut oracle).unwrap();
        if number % 2 == 0 {
            world.commit(taken, &mut oracle);
        }
    }
    let (waiter, mut outcome) = oneshot::channel();
    assert!(world.inbox.ack([], 0, Duration::ZERO, Some(waiter)));
    world.step();
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
}

/// Acks for which the log has no room are not forgotten by a stop without a checkpoint.
#[test]
fn a_stop_without_a_checkpoint_keeps_all_commits() {
    let shape = shape();
    for seed in 0..10 {
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut random = Random(seed);
        disk.limit(Some(room_for(2, &shape)));
        let mut world = World::open(&disk, &shape).unwrap();
        for _ in 0..80 {
            world.put(&shape, &mut oracle, &mut random);
        }
        disk.limit(Some(disk.used()));
        for _ in 0..1 + random.below(30) {
            let taken = world.grab(1, &mut oracle).unwrap();
            world.commit(taken, &mut oracle);
            if random.chance(2) {
                world.flush(&mut oracle);
            }
        }
        world.close_without_checkpoint();
        oracle.commits_are_durable();
        let found = World::open(&disk, &shape).unwrap().drain().unwrap();
        oracle
            .verify(&found)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
