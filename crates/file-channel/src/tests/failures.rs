//! Every system call of a workload fails once; and disks that are full.

use super::{
    Random, effort,
    model::{ModelDisk, Survives},
    oracle::Oracle,
    world::{Shape, World},
};

/// Works on; whatever fails, what is acknowledged stays, also after the power fails.
fn fail_each_call(seed: u64) -> Result<(), String> {
    let mut fail_at = 1;
    loop {
        let mut random = Random(seed);
        let (shape, disk, mut oracle) = (Shape::of(&mut random), ModelDisk::default(), Oracle::default());
        disk.fail_at(fail_at, seed ^ fail_at as u64);
        let at = |error: String| format!("call {fail_at}: {error}");
        let open = || World::open(&disk, &shape).map_err(|error| at(flume_core::with_causes(&error)));
        // An open that fails is tried again, as the agent does.
        let mut world = open().or_else(|_| open())?;
        for _ in 0..30 {
            world.any(&shape, &mut oracle, &mut random).map_err(at)?;
        }
        let reached = disk.calls() >= fail_at;
        let survives = [Survives::Nothing, Survives::Everything, Survives::Some(5)][random.below(3) as usize];
        let after = disk.crash(survives, &mut random);
        let mut world = World::open(&after, &shape).map_err(|error| at(flume_core::with_causes(&error)))?;
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
        let (shape, disk, mut oracle) = (Shape::of(&mut random), ModelDisk::default(), Oracle::default());
        disk.limit(Some(4 * shape.segment_bytes + 64 * 1024));
        let mut world = World::open(&disk, &shape).unwrap();
        for round in 0..3 {
            let before = oracle.acknowledged;
            let mut refused = 0;
            while refused < 3 {
                let had = oracle.acknowledged;
                world.put(&shape, &mut oracle, &mut random);
                refused = if oracle.acknowledged == had { refused + 1 } else { 0 };
                if random.chance(20) {
                    world.checkpoint();
                }
            }
            assert!(oracle.acknowledged > before, "seed {seed}, round {round}: no room came back");
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
        oracle.verify(&found).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
