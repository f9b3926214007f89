//! Copies of what is damaged: whole or not there, and made without looking through the directory again and again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Random,
    model::{ModelDisk, Survives},
};
use crate::{
    disk::Disk,
    quarantine::{Quarantine, Reason, path},
    segment::Position,
};

const DIRECTORY: &str = "/data0";
const BYTES: [u8; 5000] = [7; 5000];

fn keep(disk: &ModelDisk, offset: u64) -> PathBuf {
    let place = Position { segment: 1, offset };
    let quarantine = Quarantine::new(Arc::new(disk.clone()));
    quarantine.keep(Path::new(DIRECTORY), place, Reason::CorruptBody, &BYTES);
    path(Path::new(DIRECTORY), place, Reason::CorruptBody)
}

#[test]
fn a_copy_is_whole_whatever_happened_to_the_first_try() {
    for call in 1..=4 {
        for stops in [false, true] {
            let disk = ModelDisk::default();
            if stops {
                disk.stop_at(call);
            } else {
                disk.fail_at(call, call as u64);
            }
            let kept = keep(&disk, 0);
            let disk = disk.kill();
            keep(&disk, 0);
            // As recovery does.
            disk.sync_directory(Path::new(DIRECTORY)).unwrap();
            let survived = disk.crash(Survives::Nothing, &mut Random(1));
            let files = survived.lengths();
            assert_eq!(files, [(kept.clone(), BYTES.len())], "call {call}");
            assert_eq!(survived.bytes(&kept)[..], BYTES, "call {call}");
        }
    }
}

#[test]
fn a_directory_is_listed_once_for_all_copies() {
    let disk = ModelDisk::default();
    let quarantine = Quarantine::new(Arc::new(disk.clone()));
    let keep = |offset| {
        let place = Position { segment: 1, offset };
        quarantine.keep(Path::new(DIRECTORY), place, Reason::CorruptBody, &BYTES);
    };
    keep(0);
    let listed = disk.looks();
    (1..1200).for_each(keep);
    assert_eq!(disk.looks(), listed);
    assert_eq!(disk.lengths().len(), 1000);
}
