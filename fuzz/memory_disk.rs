//! A disk with one file, which is not written.

use std::{
    io,
    path::{Path, PathBuf},
};

use flume_file_channel::disk::{Disk, DiskFile};

pub struct Memory {
    pub file: Vec<u8>,
    /// What stands in a file with the ending `.meta` beside it.
    pub meta: &'static [u8],
}

impl Memory {
    #[allow(dead_code, reason = "not every target needs it")]
    pub fn new(file: Vec<u8>) -> Self {
        Memory { file, meta: &[] }
    }
}

impl Disk for Memory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let is_meta = path.extension().is_some_and(|extension| extension == "meta");
        let file = if is_meta { self.meta.to_vec() } else { self.file.clone() };
        Ok(Box::new(Memory { file, ..*self }))
    }
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
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
    fn list(&self, _: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        Ok(vec![])
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

impl DiskFile for Memory {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.file.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.len() as u64)
    }
}
