//! Every byte of a small store is damaged: at most the batch that was hit is lost, and said so.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    Random,
    model::ModelDisk,
    oracle::Oracle,
    world::{Shape, World},
};

/// A store with several segments, a checkpoint in the middle, and some of its events consumed.
fn store() -> (ModelDisk, Shape, Oracle) {
    let mut random = Random(4);
    let shape = Shape {
        segment_bytes: 32 << 10,
        cache_bytes: 0,
        directories: 1,
        largest_body: 700,
        keys: None,
    };
    let disk = ModelDisk::default();
    let mut oracle = Oracle::default();
    let mut world = World::open(&disk, &shape).unwrap();
    for round in 0..9 {
        world.put(&shape, &mut oracle, &mut random);
        if round % 3 == 0 {
            world.take(&mut oracle, &mut random).unwrap();
            world.flush(&mut oracle);
        }
        if round % 4 == 1 {
            world.checkpoint();
        }
    }
    (disk, shape, oracle)
}

/// What is lost when that byte is damaged.
fn lost(
    disk: &ModelDisk,
    shape: &Shape,
    oracle: &Oracle,
    path: &Path,
    place: usize,
) -> Result<BTreeSet<u64>, String> {
    let damaged = disk.copy();
    damaged.flip(path, place, 1 << (place % 8));
    let mut world = World::open(&damaged, shape)
        .map_err(|error| format!("it does not open: {}", flume_core::with_causes(&error)))?;
    let found: BTreeSet<u64> = world.drain()?.into_iter().collect();
    let lost: BTreeSet<u64> = oracle.obliged().difference(&found).copied().collect();
    let batches: BTreeSet<u64> = lost.iter().map(|&event| oracle.batch_of(event)).collect();
    if batches.len() > 1 {
        return Err(format!("batches {batches:?} are lost"));
    }
    let put_aside = damaged
        .lengths()
        .iter()
        .any(|(path, _)| path.to_string_lossy().contains("quarantine-"));
    if !lost.is_empty() && !put_aside {
        return Err("events are lost, and no copy was put aside".into());
    }
    // It goes on, also after another open.
    let mut oracle = Oracle::default();
    world.put(shape, &mut oracle, &mut Random(1));
    if oracle.acknowledged == 0 {
        return Err("nothing can be put any more".into());
    }
    Ok(lost)
}

#[test]
fn a_damaged_byte_costs_at_most_its_batch() {
    let (disk, shape, oracle) = store();
    assert!(!oracle.obliged().is_empty());
    let files = disk.lengths();
    // Blocks that hold nothing are tried by their first and last bytes.
    let mut places = vec![];
    for (path, length) in &files {
        let bytes = disk.bytes(path);
        for block in (0..*length).step_by(512) {
            let end = (block + 512).min(*length);
            let empty = bytes[block..end].iter().all(|&byte| byte == 0);
            let step = if empty { 511 } else { 1 };
            places.extend(
                (block..end)
                    .step_by(step)
                    .map(|place| (path.clone(), place)),
            );
        }
    }
    let next = AtomicUsize::new(0);
    let costly = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        let work = || {
            while let Some((path, place)) = places.get(next.fetch_add(1, Relaxed)) {
                match lost(&disk, &shape, &oracle, path, *place) {
                    Ok(lost) => costly.lock().unwrap().extend(lost),
                    Err(error) => panic!("{} at {place}: {error}", path.display()),
                }
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("every byte"));
    });
    eprintln!("{} bytes of {} files", places.len(), files.len());
    // Damage to bodies is found, so it does cost something.
    assert_eq!(costly.into_inner().unwrap(), oracle.obliged());
}
