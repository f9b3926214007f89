//! One file on its way through a deserializer.

use std::{
    fs,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flume_core::EventDeserializer;

use crate::open::{FileFacts, decompressed, is_compressed, open_regular};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A file that is being read.
pub(super) struct SpoolFile {
    pub(super) path: PathBuf,
    /// As it was when it was opened.
    pub(super) facts: FileFacts,
    content: Box<dyn Read + Send>,
    /// A content that is decompressed cannot be positioned: so many bytes are read and thrown away.
    skip: u64,
}

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFate {
    Unchanged,
    Changed,
    /// Its name leads elsewhere or nowhere now.
    Gone,
}

impl SpoolFile {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<(fs::File, FileFacts)> {
        open_regular(path)
    }

    /// Gets it ready from byte `start` of its content on.
    pub(super) fn position(
        path: PathBuf,
        mut file: fs::File,
        facts: FileFacts,
        start: u64,
        decompress: bool,
    ) -> io::Result<SpoolFile> {
        let compressed = decompress && is_compressed(&path);
        let content: Box<dyn Read + Send> = if compressed {
            decompressed(&path, file)?
        } else {
            file.seek(SeekFrom::Start(start))?;
            Box::new(file)
        };
        Ok(SpoolFile {
            path,
            facts,
            content,
            skip: if compressed { start } else { 0 },
        })
    }

    /// Moves it out, to where it may block; what stays is an empty file.
    pub(super) fn lend(&mut self) -> SpoolFile {
        SpoolFile {
            path: self.path.clone(),
            facts: self.facts,
            content: std::mem::replace(&mut self.content, Box::new(io::empty())),
            skip: self.skip,
        }
    }

    /// The next bytes; none at the end.
    pub(super) fn read(&mut self) -> io::Result<Bytes> {
        if self.skip > 0 {
            let skipped = io::copy(&mut (&mut self.content).take(self.skip), &mut io::sink())?;
            if skipped < self.skip {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.skip = 0;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        (&mut self.content)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)?;
        Ok(chunk.into())
    }

    /// Whether it is still as it was.
    pub(super) fn fate(&self) -> io::Result<FileFate> {
        let now = match fs::metadata(&self.path) {
            Ok(metadata) => FileFacts::of(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FileFate::Gone),
            Err(error) => return Err(error),
        };
        Ok(if !now.is_same_file(&self.facts) {
            FileFate::Gone
        } else if now == self.facts {
            FileFate::Unchanged
        } else {
            FileFate::Changed
        })
    }
}

/// Gives a deserializer the next bytes of a file, or the end.
pub(super) fn feed(deserializer: &mut dyn EventDeserializer, chunk: Bytes) -> bool {
    if chunk.is_empty() {
        deserializer.finish();
        return false;
    }
    deserializer.feed(chunk);
    true
}
