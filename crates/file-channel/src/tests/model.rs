//! A disk that keeps what a program sees and what would survive a loss of power apart. Nothing survives that was not
//! synced, or anything of it in pieces of a sector, or all: as the test likes.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Random;
use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not synced, by directory.
    pending_names: Vec<(PathBuf, Option<usize>)>,
    calls: usize,
    /// The machine stops at this call: it and all that follow fail.
    stop_at: Option<usize>,
    /// This call fails; the next ones do not.
    fail_at: Option<usize>,
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

    pub(super) fn stop_at(&self, call: usize) {
        self.0.lock().stop_at = Some(call);
    }

    pub(super) fn stopped(&self) -> bool {
        let state = self.0.lock();
        state.stop_at.is_some_and(|stop| state.calls >= stop)
    }

    pub(super) fn fail_at(&self, call: usize, seed: u64) {
        let mut state = self.0.lock();
        (state.fail_at, state.random) = (Some(call), Some(Random(seed)));
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
        for (path, inode) in std::mem::take(&mut state.pending_names) {
            if kept(random) {
                set(&mut state.durable_names, &path, inode);
            }
        }
        state.names = state.durable_names.clone();
        (state.stop_at, state.fail_at, state.calls) = (None, None, 0);
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
            return Err(io::Error::other("the machine has stopped"));
        }
        if self.fail_at == Some(self.calls) {
            return Err(io::Error::other("the disk failed, as the test wanted"));
        }
        Ok(())
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
        if full {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn rename(&mut self, path: &Path, inode: Option<usize>) {
        set(&mut self.names, path, inode);
        self.pending_names.push((path.into(), inode));
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
        let state = self.0.lock();
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
        let inode = state.files.len();
        state.files.push(File::default());
        state.rename(path, Some(inode));
        Ok(Box::new(ModelFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        // One change on disk; what goes first does not matter to whoever looks after a crash.
        state.rename(to, Some(inode));
        state.rename(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(path, None);
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        let state = self.0.lock();
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
        let mut random = state.random.clone();
        let here = |path: &PathBuf| path.parent() == Some(directory);
        let changes = std::mem::take(&mut state.pending_names);
        for (path, inode) in changes {
            if !here(&path) {
                state.pending_names.push((path, inode));
            } else if called.is_ok() || random.as_mut().is_some_and(|random| random.chance(2)) {
                // After a failure the rest counts as clean, as with a file.
                set(&mut state.durable_names, &path, inode);
            }
        }
        called
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        let state = self.0.lock();
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
        called
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
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
        if called.is_err() {
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
        let file = &mut state.files[self.inode];
        file.durable = file.live.clone();
        file.pending.clear();
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.call()?;
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
        Ok(self.disk.0.lock().files[self.inode].live.len() as u64)
    }
}
