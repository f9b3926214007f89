//! The disks of the machine, for looking only.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::disk::{Disk, DiskFile, RealDisk};

/// Nothing that is written gets there.
pub(crate) struct Untouched;

impl Disk for Untouched {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Unwritten(Some(fs::File::open(path)?))))
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Unwritten(None)))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        RealDisk.list(directory)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

/// A file that is read; none where one would have been created.
struct Unwritten(Option<fs::File>);

impl DiskFile for Unwritten {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0
            .as_ref()
            .map_or(Ok(0), |file| DiskFile::read_at(file, buffer, offset))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.0.as_ref().map_or(Ok(0), DiskFile::length)
    }
}
