//! A disk that keeps what a program sees and what would survive a loss of power apart. Nothing survives that was not
//! synced, or anything of it in pieces of a sector, or all: as the test likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Random;
use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;
pub(super) const BLOCK: usize = 4096;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not synced. A renaming is one change: no file system leaves half of it.
    pending_names: Vec<Vec<(PathBuf, Option<usize>)>>,
    /// Calls that change something, so far.
    calls: usize,
    /// Calls that only look, so far.
    looks: usize,
    /// The machine stops at this call: it and all that follow fail.
    stop_at: Option<usize>,
    /// These calls fail, and these looks; the next ones do not.
    fail_at: BTreeSet<usize>,
    fail_looks_at: BTreeSet<usize>,
    /// What a failing call reports.
    failure: Failure,
    /// No file can be created.
    frozen: bool,
    /// There is no `fallocate`: a full disk is noticed by writes.
    lazy: bool,
    /// The quota of a user is used up, not the disk.
    quota: bool,
    /// Blocks that cannot be read until they are written again, by file.
    unreadable: BTreeSet<(usize, usize)>,
    /// Who makes this call panics.
    panic_at: Option<usize>,
    /// Bytes there are, if they are limited.
    capacity: Option<u64>,
    random: Option<Random>,
}

#[derive(Clone, Default)]
struct File {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// What a failing call reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Failure {
    /// The medium.
    #[default]
    Io,
    /// No file descriptor is left.
    Descriptors,
    /// A file system that copies on write has no room.
    Full,
}

/// What of that which was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survives {
    Nothing,
    Everything,
    /// Every sector and every change of a name by chance, more of the one or of the other.
    Some(u64),
}

impl ModelDisk {
    /// Calls so far.
    pub(super) fn calls(&self) -> usize {
        self.0.lock().calls
    }

    pub(super) fn looks(&self) -> usize {
        self.0.lock().looks
    }

    pub(super) fn stop_at(&self, call: usize) {
        self.0.lock().stop_at = Some(call);
    }

    pub(super) fn stopped(&self) -> bool {
        let state = self.0.lock();
        state.stop_at.is_some_and(|stop| state.calls >= stop)
    }

    pub(super) fn fail_at(&self, call: usize, seed: u64) {
        let mut state = self.0.lock();
        state.fail_at.insert(call);
        state.random = Some(Random(seed));
    }

    /// A look fails, with this many before it from now on.
    pub(super) fn fail_look_in(&self, looks: usize) {
        let mut state = self.0.lock();
        let at = state.looks + 1 + looks;
        state.fail_looks_at.insert(at);
    }

    pub(super) fn fail_with(&self, failure: Failure) {
        self.0.lock().failure = failure;
    }

    /// From now on no call fails because the test wanted it.
    pub(super) fn heal(&self) {
        let mut state = self.0.lock();
        state.fail_at.clear();
        state.fail_looks_at.clear();
        state.frozen = false;
    }

    pub(super) fn freeze(&self) {
        self.0.lock().frozen = true;
    }

    pub(super) fn without_fallocate(&self) {
        self.0.lock().lazy = true;
    }

    pub(super) fn with_quota(&self) {
        self.0.lock().quota = true;
    }

    /// The disk after the process was killed: what it wrote is in the page cache.
    pub(super) fn kill(&self) -> ModelDisk {
        let mut state = self.0.lock().clone();
        state.restart();
        ModelDisk(Arc::new(Mutex::new(state)))
    }

    pub(super) fn panic_at(&self, call: usize) {
        self.0.lock().panic_at = Some(call);
    }

    pub(super) fn limit(&self, capacity: Option<u64>) {
        self.0.lock().capacity = capacity;
    }

    pub(super) fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// The disk after a loss of power now.
    pub(super) fn crash(&self, survives: Survives, random: &mut Random) -> ModelDisk {
        let mut state = self.0.lock().clone();
        let kept = |random: &mut Random| match survives {
            Survives::Nothing => false,
            Survives::Everything => true,
            Survives::Some(of_ten) => random.below(10) < of_ten,
        };
        for file in &mut state.files {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                let mut at = 0;
                while at < bytes.len() {
                    let piece = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
                    if kept(random) {
                        write(&mut file.durable, offset + at, &bytes[at..at + piece]);
                    }
                    at += piece;
                }
            }
            file.live = file.durable.clone();
        }
        for change in std::mem::take(&mut state.pending_names) {
            if kept(random) {
                set_all(&mut state.durable_names, change);
            }
        }
        state.names = state.durable_names.clone();
        state.restart();
        ModelDisk(Arc::new(Mutex::new(state)))
    }

    /// A copy on which anything may be tried.
    pub(super) fn copy(&self) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// All files with their lengths.
    pub(super) fn lengths(&self) -> Vec<(PathBuf, usize)> {
        let state = self.0.lock();
        state
            .names
            .iter()
            .map(|(path, &inode)| (path.clone(), state.files[inode].live.len()))
            .collect()
    }

    /// Changes a byte, as a failing medium does.
    pub(super) fn flip(&self, path: &Path, place: usize, bits: u8) {
        let mut state = self.0.lock();
        let inode = state.names[path];
        let file = &mut state.files[inode];
        for byte in [&mut file.live, &mut file.durable]
            .map(|content| Arc::make_mut(content).get_mut(place))
            .into_iter()
            .flatten()
        {
            *byte ^= bits;
        }
    }

    /// Changes a whole block, the unit in which today's disks fail.
    pub(super) fn overwrite_block(&self, path: &Path, block: usize, content: &[u8; BLOCK]) {
        let mut state = self.0.lock();
        let inode = state.names[path];
        let file = &mut state.files[inode];
        let start = block * BLOCK;
        for image in [&mut file.live, &mut file.durable] {
            let image = Arc::make_mut(image);
            let end = image.len().min(start + BLOCK);
            if let Some(block) = image.get_mut(start..end) {
                block.copy_from_slice(&content[..block.len()]);
            }
        }
    }

    /// A block that cannot be read any more.
    pub(super) fn lose_block(&self, path: &Path, block: usize) {
        let mut state = self.0.lock();
        let inode = state.names[path];
        state.unreadable.insert((inode, block));
    }

    pub(super) fn bytes(&self, path: &Path) -> Arc<Vec<u8>> {
        let state = self.0.lock();
        state.files[state.names[path]].live.clone()
    }
}

impl State {
    /// Counts a call; whether it fails, and how.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        assert!(
            self.panic_at != Some(self.calls),
            "a panic, as the test wanted"
        );
        if self.stop_at.is_some_and(|stop| self.calls >= stop) {
            return Err(stopped());
        }
        if self.fail_at.contains(&self.calls) {
            return Err(self.failure.error());
        }
        Ok(())
    }

    /// Whether the machine has stopped, so that this call has no effect. The one at which it stops has one, or none.
    fn is_stopped(&self) -> bool {
        self.stop_at
            .is_some_and(|stop| self.calls > stop || (self.calls == stop && stop % 2 == 0))
    }

    /// The same for a call that changes nothing.
    fn look(&mut self) -> io::Result<()> {
        self.looks += 1;
        if self.fail_looks_at.contains(&self.looks) {
            return Err(self.failure.error());
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.stop_at = None;
        self.fail_at.clear();
        self.fail_looks_at.clear();
        self.calls = 0;
        self.looks = 0;
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|&inode| self.files[inode].live.len() as u64)
            .sum()
    }

    fn room(&self, more: u64) -> io::Result<()> {
        let full = self
            .capacity
            .is_some_and(|capacity| self.used() + more > capacity);
        if full && self.quota {
            Err(io::ErrorKind::QuotaExceeded.into())
        } else if full {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn change_names(&mut self, change: Vec<(PathBuf, Option<usize>)>) {
        set_all(&mut self.names, change.clone());
        self.pending_names.push(change);
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Failure::Io => io::Error::other("the disk failed, as the test wanted"),
            Failure::Descriptors => io::Error::from_raw_os_error(24),
            Failure::Full => io::ErrorKind::StorageFull.into(),
        }
    }
}

fn set_all(names: &mut BTreeMap<PathBuf, usize>, change: Vec<(PathBuf, Option<usize>)>) {
    for (path, inode) in change {
        set(names, &path, inode);
    }
}

fn set(names: &mut BTreeMap<PathBuf, usize>, path: &Path, inode: Option<usize>) {
    match inode {
        Some(inode) => drop(names.insert(path.into(), inode)),
        None => drop(names.remove(path)),
    }
}

fn write(content: &mut Arc<Vec<u8>>, offset: usize, bytes: &[u8]) {
    let content = Arc::make_mut(content);
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Disk for ModelDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.look()?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(ModelFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        let called = state.call();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        called?;
        if state.frozen {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let inode = state.files.len();
        state.files.push(File::default());
        state.change_names(vec![(path.into(), Some(inode))]);
        Ok(Box::new(ModelFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_names(vec![(to.into(), Some(inode)), (from.into(), None)]);
        Ok(())
    }

    /// Directories are there as soon as a file is in them.
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        self.0.lock().call()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(vec![(path.into(), None)]);
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut state = self.0.lock();
        state.look()?;
        let state = &*state;
        let here = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(directory));
        Ok(here
            .map(|(path, &inode)| (path.clone(), state.files[inode].live.len() as u64))
            .collect())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let called = state.call();
        if state.is_stopped() {
            return Err(stopped());
        }
        let happened = called.is_ok() || state.stop_at == Some(state.calls);
        let mut random = state.random.clone();
        let here = |path: &PathBuf| path.parent() == Some(directory);
        let changes = std::mem::take(&mut state.pending_names);
        for change in changes {
            if !change.iter().any(|(path, _)| here(path)) {
                state.pending_names.push(change);
            } else if happened || random.as_mut().is_some_and(|random| random.chance(2)) {
                // After a failure the rest counts as clean, as with a file.
                set_all(&mut state.durable_names, change);
            }
        }
        called
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.look()?;
        // A quota is not seen from here.
        if state.quota {
            return Ok(u64::MAX);
        }
        Ok(state
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }
}

struct ModelFile {
    disk: ModelDisk,
    inode: usize,
}

impl DiskFile for ModelFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let called = state.call();
        if state.is_stopped() {
            return Err(stopped());
        }
        let growth =
            (offset + bytes.len() as u64).saturating_sub(state.files[self.inode].live.len() as u64);
        let mut whole = bytes;
        let room = state.room(growth);
        if called.is_err() && state.random.as_mut().is_some_and(|random| random.chance(2)) {
            whole = &bytes[..bytes.len() / 2];
        }
        room?;
        let file = &mut state.files[self.inode];
        write(&mut file.live, offset as usize, whole);
        file.pending.push((offset as usize, whole.to_vec()));
        let blocks = offset as usize / BLOCK..(offset as usize + whole.len()).div_ceil(BLOCK);
        for block in blocks {
            state.unreadable.remove(&(self.inode, block));
        }
        called
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        state.look()?;
        let blocks = offset as usize / BLOCK..(offset as usize + buffer.len()).div_ceil(BLOCK);
        let bad = (self.inode, blocks.start)..(self.inode, blocks.end);
        if state.unreadable.range(bad).next().is_some() {
            return Err(io::Error::from_raw_os_error(5));
        }
        let content = state.files[self.inode]
            .live
            .get(offset as usize..)
            .unwrap_or_default();
        let read = content.len().min(buffer.len());
        buffer[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let called = state.call();
        if state.is_stopped() {
            return Err(stopped());
        }
        if called.is_err() && state.stop_at != Some(state.calls) {
            // After a failure the pages count as clean: what of them is on disk nobody knows, and no sync changes it.
            if let Some(mut random) = state.random.clone() {
                let file = &mut state.files[self.inode];
                for (offset, bytes) in std::mem::take(&mut file.pending) {
                    if random.chance(2) {
                        write(&mut file.durable, offset, &bytes);
                    }
                }
            }
            return called;
        }
        // Only what is still pending: what an earlier sync that failed has dropped stays dropped.
        let file = &mut state.files[self.inode];
        for (offset, bytes) in std::mem::take(&mut file.pending) {
            write(&mut file.durable, offset, &bytes);
        }
        called
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
        if state.lazy {
            return Ok(());
        }
        let old = state.files[self.inode].live.len();
        let growth = (length as usize).saturating_sub(old);
        state.room(growth as u64)?;
        if growth > 0 {
            let file = &mut state.files[self.inode];
            Arc::make_mut(&mut file.live).resize(length as usize, 0);
            file.pending.push((old, vec![0; growth]));
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.0.lock();
        state.look()?;
        Ok(state.files[self.inode].live.len() as u64)
    }
}
