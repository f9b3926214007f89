//! Any bytes as a log of Java Flume, with records between them, and any bytes as a record: it is read to its end, what is
//! found stands in order inside the file, and nothing panics.
#![no_main]

use std::{
    io,
    path::{Path, PathBuf},
};

use flume_file_channel::{
    disk::{Disk, DiskFile},
    java::{Found, LogReader, Record},
};
use libfuzzer_sys::fuzz_target;

/// `log-1.meta` of a new log.
const META: &[u8] = &[
    0x2e, 0x0d, 3, 0, 0, 0, 0x15, 1, 0, 0, 0, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x31, 0, 0, 0, 0,
    0, 0, 0, 0, 0x39, 0, 0, 0, 0, 0, 0, 0, 0,
];

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = Record::decode(data.to_vec().into()) {
        let mut out = vec![];
        record.encode(&mut out);
        assert_eq!(Record::decode(out.into()).as_ref(), Ok(&record));
    }
    let disk = Memory(data.to_vec());
    let reader = LogReader::open(&disk, Path::new("log-1"), 1, None, 4096).expect("a log");
    let Some(mut reader) = reader else { return };
    let mut end = 0;
    while let Some(found) = reader.advance().expect("memory does not fail") {
        match found {
            Found::Record(offset, _) => {
                assert!(u64::from(offset) >= end, "backwards");
                end = u64::from(offset) + 1;
            }
            Found::Damage(range) => {
                assert!(range.start >= end && range.start < range.end, "backwards");
                end = range.end;
            }
        }
        assert!(end <= data.len() as u64, "behind the end");
    }
});

/// A disk with one log.
struct Memory(Vec<u8>);

impl Disk for Memory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let is_meta = path.extension().is_some_and(|extension| extension == "meta");
        Ok(Box::new(Memory(if is_meta { META.to_vec() } else { self.0.clone() })))
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
        let rest = self.0.get(offset as usize..).unwrap_or_default();
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
        Ok(self.0.len() as u64)
    }
}
