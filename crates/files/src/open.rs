//! Opens files that somebody else put somewhere: never waits for a pipe, and says which file was opened.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::SystemTime,
};

use rustix::{fs::OFlags, process::geteuid};

/// A file as it was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) length: u64,
    pub(crate) modified: Option<SystemTime>,
}

impl FileFacts {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        FileFacts {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }

    /// Whether both are one file, whatever is in it now.
    pub(crate) fn is_same_file(&self, other: &FileFacts) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Opens a regular file for reading, through links of root, of this user, or of the file's owner. A link of anybody else
/// would lend its maker this user's eyes: a keytab would leave as events. A pipe or a device is an error at once.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, FileFacts)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let name = std::fs::symlink_metadata(path)?;
    let trusted = [0, geteuid().as_raw(), metadata.uid()];
    if name.is_symlink() && !trusted.contains(&name.uid()) {
        let maker = name.uid();
        let owner = metadata.uid();
        return Err(io::Error::other(format!(
            "it is a link of user {maker} to a file of user {owner}"
        )));
    }
    Ok((file, FileFacts::of(&metadata)))
}

/// Whether the name of a file says that it is compressed in a way that is known here.
pub(crate) fn is_compressed(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("gz" | "bz2" | "zst"))
}

/// The content of a compressed file; its name says how it is compressed.
pub(crate) fn decompressed(path: &Path, file: File) -> io::Result<Box<dyn Read + Send>> {
    let file = BufReader::with_capacity(64 << 10, file);
    Ok(
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Some("bz2") => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Some("zst") => Box::new(zstd::Decoder::with_buffer(file)?),
            _ => Box::new(file),
        },
    )
}
