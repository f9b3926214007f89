//! Damage in the unit in which today's disks fail, a block: zeros, noise, and blocks that cannot be read at all. It costs
//! what it touches, and says so. And what only looks like damage: a directory that is missing, another key.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Random,
    model::{BLOCK, ModelDisk, Survives},
    oracle::Oracle,
    world::{Shape, World, event},
};
use crate::{disk::Disk, encryption::Keys, recovery::OpenError};

const SHAPE: Shape = Shape {
    segment_bytes: 64 << 10,
    cache_bytes: 0,
    directories: 1,
    largest_body: 700,
    keys: None,
};

/// What happens to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockFault {
    Zeroed,
    Garbled,
    Unreadable,
}

/// A store of some segments whose process was killed, and what must be in it.
fn store(shape: &Shape) -> (ModelDisk, Oracle) {
    let mut random = Random(7);
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut world = World::open(&disk, shape).unwrap();
    for round in 0..40 {
        world.put(shape, &mut oracle, &mut random);
        world.settle().unwrap();
        if round % 5 == 4 {
            world.read();
            let taken = world.grab(4, &mut oracle).unwrap();
            world.commit(taken, &mut oracle);
            world.flush(&mut oracle);
        }
    }
    (disk.kill(), oracle)
}

fn named(disk: &ModelDisk, part: &str) -> Vec<(PathBuf, usize)> {
    let mut files = disk.lengths();
    files.retain(|(path, _)| path.to_string_lossy().contains(part));
    files
}

fn strike(disk: &ModelDisk, path: &Path, block: usize, fault: BlockFault) {
    let mut random = Random(block as u64);
    let noise = std::array::from_fn(|_| random.below(256) as u8);
    match fault {
        BlockFault::Zeroed => disk.overwrite_block(path, block, &[0; BLOCK]),
        BlockFault::Garbled => disk.overwrite_block(path, block, &noise),
        BlockFault::Unreadable => disk.lose_block(path, block),
    }
}

/// The batches that are lost, and whether anything was said of them.
fn lost(disk: &ModelDisk, oracle: &Oracle) -> Result<(BTreeSet<u64>, bool), String> {
    let mut world = World::open(disk, &SHAPE).map_err(|error| flume_core::with_causes(&error))?;
    let recovered = world.recovered.corrupt + world.recovered.discarded;
    let found: BTreeSet<u64> = world.drain()?.into_iter().collect();
    let lost = oracle.obliged();
    let lost = lost.difference(&found).map(|&event| oracle.batch_of(event));
    let counted = recovered > 0 || world.metrics.number("EventLostCount") > 0;
    Ok((lost.collect(), counted))
}

#[test]
fn a_damaged_block_costs_what_it_touches() {
    let (disk, oracle) = store(&SHAPE);
    let newest = oracle
        .obliged()
        .last()
        .map_or(0, |&event| oracle.batch_of(event));
    let mut costly = 0;
    for (path, length) in disk.lengths() {
        let is_segment = path.to_string_lossy().contains("segment-");
        for block in 0..length.div_ceil(BLOCK) {
            for fault in [
                BlockFault::Zeroed,
                BlockFault::Garbled,
                BlockFault::Unreadable,
            ] {
                let damaged = disk.copy();
                strike(&damaged, &path, block, fault);
                let at = format!("{} block {block} {fault:?}", path.display());
                let (lost, said) =
                    lost(&damaged, &oracle).unwrap_or_else(|error| panic!("{at}: {error}"));
                assert!(
                    is_segment || lost.is_empty(),
                    "{at}: {lost:?} are lost with a checkpoint"
                );
                // Where the last group begins with a block of nothing, the log seems to end before it.
                let silent = !said && !lost.contains(&newest);
                assert!(
                    !silent || lost.is_empty(),
                    "{at}: {lost:?} are lost without a word"
                );
                // A group has at most three batches here, and a block belongs to one group.
                assert!(block == 0 || lost.len() <= 3, "{at}: {lost:?} are lost");
                costly += lost.len();
            }
        }
    }
    assert!(costly > 0, "nothing was damaged");
}

/// A group goes on behind a damaged frame: a block costs the batches that are in it, and no others.
#[test]
fn damage_in_a_group_costs_the_batches_that_it_touches() {
    let large = Shape {
        largest_body: 12_000,
        ..SHAPE
    };
    let mut random = Random(3);
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut world = World::open(&disk, &SHAPE).unwrap();
    let batches = [0, 1, 2].map(|_| {
        let number = oracle.begin(1);
        let events = std::iter::repeat_with(|| event(number, &large, &mut random));
        // So a block has parts of two batches at most.
        let longer_than_two_blocks = events
            .skip_while(|event| event.body.len() <= 2 * BLOCK)
            .take(1);
        (number, world.send(longer_than_two_blocks.collect()))
    });
    world.step();
    for (number, mut outcome) in batches {
        assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
        oracle.acknowledged(number);
    }
    world.put(&SHAPE, &mut oracle, &mut random);
    let disk = disk.kill();
    let segment = &named(&disk, "segment-")[0].0;
    // The group begins in block 1, with its own header.
    for block in 2..7 {
        for fault in [
            BlockFault::Zeroed,
            BlockFault::Garbled,
            BlockFault::Unreadable,
        ] {
            let damaged = disk.copy();
            strike(&damaged, segment, block, fault);
            let (lost, _) = lost(&damaged, &oracle).unwrap();
            assert!(
                lost.len() <= 2,
                "block {block} {fault:?}: {lost:?} are lost"
            );
        }
    }
}

/// Either checkpoint may be damaged at any moment: what the other needs is still there.
#[test]
fn either_checkpoint_may_be_damaged() {
    for seed in 0..5 {
        let mut random = Random(seed);
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut world = World::open(&disk, &SHAPE).unwrap();
        for round in 0..6 {
            (0..15).for_each(|_| world.put(&SHAPE, &mut oracle, &mut random));
            // Some stay, so that not all segments can go.
            let stay = random.below(20) as usize;
            while oracle.obliged().len() > stay {
                world.read();
                let taken = world.grab(5, &mut oracle).unwrap();
                assert!(!taken.events.is_empty(), "seed {seed}, round {round}");
                world.commit(taken, &mut oracle);
            }
            world.flush(&mut oracle);
            world.checkpoint();
            // More than the spare files hold: into those that were given back.
            (0..90).for_each(|_| world.put(&SHAPE, &mut oracle, &mut random));
            for (path, _) in named(&disk, "channel-") {
                let damaged = disk.kill();
                damaged.flip(&path, 30, 1);
                let at = format!("seed {seed}, round {round}, {}", path.display());
                let mut after = World::open(&damaged, &SHAPE)
                    .unwrap_or_else(|error| panic!("{at}: {}", flume_core::with_causes(&error)));
                let found = after.drain().unwrap();
                let mut oracle = oracle.clone();
                oracle.commits_may_return();
                oracle
                    .verify(&found)
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
            }
        }
    }
}

/// A group that a loss of power has torn is judged when the store is opened. Who later begins at the older checkpoint
/// reads it once more, and must come to the same.
#[test]
fn a_torn_group_is_judged_alike_from_either_checkpoint() {
    let mut torn = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let disk = ModelDisk::default();
        let mut oracle = Oracle::default();
        let mut world = World::open(&disk, &SHAPE).unwrap();
        world.put(&SHAPE, &mut oracle, &mut random);
        world.checkpoint();
        world.put(&SHAPE, &mut oracle, &mut random);
        // At the sync of the next group the machine stops; the model's does nothing then if its number is even.
        if disk.calls() % 2 == 1 {
            disk.sync_directory(Path::new("/data0")).unwrap();
        }
        disk.stop_at(disk.calls() + 2);
        world.put(&SHAPE, &mut oracle, &mut random);
        let disk = disk.crash(Survives::Some(7), &mut random);
        let found = World::open(&disk.copy(), &SHAPE).unwrap().drain().unwrap();
        oracle.verify(&found).unwrap();
        let mut world = World::open(&disk, &SHAPE).unwrap();
        torn += world.recovered.discarded;
        for _ in 0..3 {
            world.put(&SHAPE, &mut oracle, &mut random);
        }
        for (path, _) in named(&disk, "channel-") {
            let damaged = disk.kill();
            damaged.flip(&path, 30, 1);
            let mut after = World::open(&damaged, &SHAPE).unwrap();
            let found = after.drain().unwrap();
            let lost = after.recovered.lost + after.metrics.number("EventLostCount");
            assert_eq!((after.recovered.corrupt, lost), (0, 0), "seed {seed}");
            let seen = oracle.clone().verify(&found);
            seen.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
    assert!(torn > 0, "no group was torn");
}

/// A group was judged whole, and acknowledged. If it is damaged later, and no checkpoint after that open is left, nobody
/// can tell it from a torn one. So it is put aside with a copy and counted, never dropped in silence.
#[test]
fn damage_in_a_judged_group_leaves_a_copy() {
    let mut random = Random(1);
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut world = World::open(&disk, &SHAPE).unwrap();
    world.put(&SHAPE, &mut oracle, &mut random);
    world.checkpoint();
    world.put(&SHAPE, &mut oracle, &mut random);
    let judged = oracle.obliged().last().copied().unwrap();
    let disk = disk.kill();
    let before = named(&disk, "channel-");
    let old: Vec<_> = before.iter().map(|(path, _)| disk.bytes(path)).collect();
    let mut world = World::open(&disk, &SHAPE).unwrap();
    assert_eq!(world.recovered.discarded, 0);
    world.put(&SHAPE, &mut oracle, &mut random);
    for ((path, _), bytes) in before.iter().zip(old) {
        disk.remove(path).unwrap();
        disk.create(path).unwrap().write_at(&bytes, 0).unwrap();
    }
    let disk = disk.kill();
    let segments = named(&disk, "segment-");
    let body = judged.to_le_bytes();
    let place = |path: &Path| disk.bytes(path).windows(8).rposition(|it| *it == body);
    let (path, place) = segments
        .iter()
        .find_map(|(path, _)| Some((path, place(path)?)))
        .expect("the event is on disk");
    disk.flip(path, place, 1);
    let mut world = World::open(&disk, &SHAPE).unwrap();
    assert_eq!(world.recovered.discarded, 1);
    assert_eq!(named(&disk, "tail_discarded").len(), 1);
    let found: BTreeSet<u64> = world.drain().unwrap().into_iter().collect();
    let lost: BTreeSet<u64> = oracle.obliged().difference(&found).copied().collect();
    let batch = oracle.batch_of(judged);
    assert!(lost.contains(&judged));
    assert!(lost.iter().all(|&event| oracle.batch_of(event) == batch));
}

/// Two data directories, of which one is not mounted: nothing may be written off.
#[test]
fn a_missing_directory_is_refused_whatever_else_is_damaged() {
    let shape = Shape {
        directories: 2,
        ..SHAPE
    };
    let (disk, oracle) = store(&shape);
    let here = named(&disk, "/data0/segment-");
    strike(&disk, &here[0].0, 0, BlockFault::Garbled);
    let whole = disk.copy();
    for (path, _) in named(&disk, "/data1/segment-") {
        disk.remove(&path).unwrap();
    }
    let files = disk.lengths();
    for _ in 0..2 {
        let refused = World::open(&disk, &shape).map(|_| ()).unwrap_err();
        assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
    }
    assert_eq!(disk.lengths(), files);
    // Mounted again, only the damaged segment is missing.
    let found = World::open(&whole, &shape).unwrap().drain().unwrap();
    assert!(
        found.len() * 2 > oracle.obliged().len(),
        "{} events",
        found.len()
    );
}

/// Another key under the same alias is no damage: nothing is touched until the right one is back.
#[test]
fn another_key_is_refused_before_anything_is_touched() {
    let keys = |byte: u8| {
        let key = Zeroizing::new(vec![byte; 32]);
        Some(Arc::new(Keys::new(
            "key".into(),
            [("key".into(), key)].into(),
        )))
    };
    let right = Shape {
        keys: keys(7),
        ..SHAPE
    };
    let wrong = Shape {
        keys: keys(8),
        ..SHAPE
    };
    let (disk, mut oracle) = store(&right);
    let content = |disk: &ModelDisk| {
        let files = disk.lengths();
        files
            .into_iter()
            .map(|(path, _)| (disk.bytes(&path), path))
            .collect::<Vec<_>>()
    };
    // After a stop nothing is read at an open but a checkpoint.
    let stopped = disk.copy();
    World::open(&stopped, &right).unwrap().close();
    for disk in [&disk, &stopped] {
        let before = content(disk);
        let refused = World::open(disk, &wrong).map(|_| ()).unwrap_err();
        let refused = flume_core::with_causes(&refused);
        assert!(
            refused.contains("key `key` is not the key that it was sealed with"),
            "{refused}"
        );
        assert!(content(disk) == before, "files have changed");
    }
    let found = World::open(&disk, &right).unwrap().drain().unwrap();
    oracle.verify(&found).unwrap();
}
