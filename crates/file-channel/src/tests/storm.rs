//! Many lives of one store, each with its own misfortune: killed in the middle of a call or cut off from power, with
//! calls that fail, disks that are full, checkpoints that are damaged, and opens that fail. Nothing that was
//! acknowledged may be lost, nothing that was settled may come again, and the channel must know how much it holds.

use super::{
    Random,
    crashes::{seeds, survival},
    effort,
    model::{Failure, ModelDisk},
    oracle::Oracle,
    world::{Shape, World},
};

const LIVES: usize = 10;
const STEPS: u64 = 25;
/// An open that fails is tried again, as the agent does.
const MAX_OPENS: usize = 20;

/// What may happen to a store.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    kills: bool,
    power_losses: bool,
    failing_calls: bool,
    failing_looks: bool,
    full_disk: bool,
    damaged_checkpoints: bool,
}

const CALM: Weather = Weather {
    kills: false,
    power_losses: false,
    failing_calls: false,
    failing_looks: false,
    full_disk: false,
    damaged_checkpoints: false,
};

struct Storm {
    weather: Weather,
    disk: ModelDisk,
    shape: Shape,
    oracle: Oracle,
    random: Random,
}

impl Storm {
    fn open(&self) -> Result<Option<World>, String> {
        let mut last = String::new();
        for _ in 0..MAX_OPENS {
            match World::open(&self.disk, &self.shape) {
                Ok(world) if world.recovered.corrupt > 0 => {
                    return Err(format!("damage that nobody made: {:?}", world.recovered));
                }
                Ok(world) => return Ok(Some(world)),
                Err(_) if self.disk.stopped() => return Ok(None),
                Err(error) => last = flume_core::with_causes(&error),
            }
        }
        Err(format!("failed to open: {last}"))
    }

    /// What goes wrong in the next life.
    fn brew(&mut self) {
        let Storm {
            weather,
            disk,
            shape,
            random,
            ..
        } = self;
        if weather.failing_calls {
            for _ in 0..random.below(4) {
                disk.fail_at(
                    disk.calls() + 1 + random.below(120) as usize,
                    random.below(99),
                );
            }
            let kinds = [Failure::Io, Failure::Descriptors, Failure::Full];
            disk.fail_with(kinds[random.below(3) as usize]);
        }
        if weather.failing_looks && random.chance(2) {
            disk.fail_look_in(random.below(80) as usize);
        }
        if weather.full_disk {
            let more = random.below(4) * shape.segment_bytes + random.below(60_000);
            disk.limit(random.chance(2).then(|| disk.used() + more));
        }
        if random.chance(2) {
            disk.stop_at(disk.calls() + 1 + random.below(160) as usize);
        }
    }

    fn live(&mut self) -> Result<(), String> {
        self.brew();
        let Some(mut world) = self.open()? else {
            return Ok(());
        };
        for _ in 0..STEPS {
            if self.disk.stopped() {
                break;
            }
            world.any(&self.shape, &mut self.oracle, &mut self.random)?;
        }
        if self.random.chance(4) && !self.disk.stopped() {
            let closing = self.disk.calls();
            self.disk.heal();
            self.disk.limit(None);
            self.disk.stop_at(usize::MAX);
            world.close();
            if self.disk.calls() > closing {
                self.oracle.commits_are_durable();
            }
        }
        Ok(())
    }

    fn die(&mut self) {
        let Weather {
            kills,
            power_losses,
            damaged_checkpoints,
            ..
        } = self.weather;
        let power_fails = power_losses && (!kills || self.random.chance(2));
        self.disk = if power_fails {
            let survives = survival(&mut self.random);
            self.disk.crash(survives, &mut self.random)
        } else {
            self.disk.kill()
        };
        self.disk.heal();
        self.disk.limit(None);
        if damaged_checkpoints && self.random.chance(3) {
            self.damage_checkpoint();
        }
    }

    fn damage_checkpoint(&mut self) {
        let files = self.disk.lengths();
        let is_one = |(path, length): &&(std::path::PathBuf, usize)| {
            *length > 0 && path.extension().is_some_and(|it| it == "checkpoint")
        };
        let checkpoints: Vec<_> = files.iter().filter(is_one).collect();
        if checkpoints.len() == 2 {
            let (path, _) = checkpoints[self.random.below(2) as usize];
            self.disk.flip(path, 20 + self.random.below(60) as usize, 1);
            self.oracle.commits_may_return();
        }
    }

    fn verify(&mut self) -> Result<(), String> {
        let mut world = self
            .open()?
            .ok_or("the machine stopped while nothing was wrong")?;
        let found = world.drain()?;
        if world.metrics.number("EventLostCount") > 0 {
            return Err("events could not be read although nothing was damaged".into());
        }
        self.oracle.verify(&found)?;
        // Seen by a process that is killed at once; the disk may be as it was before.
        self.disk = self.disk.kill();
        Ok(())
    }
}

fn storm(weather: Weather, seed: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let shape = Shape::of(&mut random);
    let mut storm = Storm {
        weather,
        disk: ModelDisk::default(),
        shape,
        oracle: Oracle::default(),
        random,
    };
    for life in 0..LIVES {
        let at = |error| format!("life {life}: {error}");
        storm.live().map_err(at)?;
        storm.die();
        storm.verify().map_err(at)?;
    }
    Ok(())
}

/// Nothing may be lost in this weather; `number` tells its storms from those of the others.
fn nothing_is_lost(number: u64, weather: Weather) {
    let storms = 20 * effort();
    seeds(storms, |seed| storm(weather, seed + (number << 32)))
        .unwrap_or_else(|error| panic!("{weather:?}: {error}"));
    eprintln!("{storms} storms of {LIVES} lives: {weather:?}");
}

#[test]
fn nothing_is_lost_when_processes_are_killed() {
    nothing_is_lost(
        0,
        Weather {
            kills: true,
            ..CALM
        },
    );
}

#[test]
fn nothing_is_lost_when_the_power_fails() {
    nothing_is_lost(
        1,
        Weather {
            power_losses: true,
            ..CALM
        },
    );
}

const ENDS: Weather = Weather {
    kills: true,
    power_losses: true,
    ..CALM
};

#[test]
fn nothing_is_lost_when_the_power_fails_after_kills() {
    nothing_is_lost(2, ENDS);
}

#[test]
fn nothing_is_lost_when_calls_fail() {
    nothing_is_lost(
        3,
        Weather {
            failing_calls: true,
            ..ENDS
        },
    );
}

#[test]
fn nothing_is_lost_when_disks_are_full() {
    nothing_is_lost(
        4,
        Weather {
            full_disk: true,
            ..ENDS
        },
    );
}

#[test]
fn nothing_is_lost_when_checkpoints_are_damaged() {
    nothing_is_lost(
        5,
        Weather {
            damaged_checkpoints: true,
            ..ENDS
        },
    );
}

#[test]
fn nothing_is_lost_when_all_of_it_happens() {
    nothing_is_lost(
        6,
        Weather {
            failing_calls: true,
            failing_looks: true,
            full_disk: true,
            damaged_checkpoints: true,
            ..ENDS
        },
    );
}
