//! Small documents that configurations and events name by URL or path.

use std::{
    fs::File,
    io::{self, Read},
};

/// Names come with events, so that what they name is bounded.
const MOST_BYTES: u64 = 1024 * 1024;

/// The path that a `file:` URL or a plain path means; `None` for any other scheme. An escaped byte (`%20`) is decoded.
pub fn local_path(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url
        .split_once(':')
        .filter(|(scheme, _)| !scheme.contains('/'))
    else {
        return Some(url.into());
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    let path = match rest.strip_prefix("//") {
        // Between the slashes stands a host: this one, whatever its name.
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => rest,
    };
    Some(unescaped(path))
}

/// Reads a local document.
///
/// # Errors
/// For a URL of another scheme than `file`, for what is no file, and for one of more than a mebibyte.
pub fn read_local(url: &str) -> io::Result<Vec<u8>> {
    let path = local_path(url)
        .ok_or_else(|| io::Error::other("this scheme is not read here, only files are"))?;
    let mut document = vec![];
    // Not opened before it is known to be a file, or a pipe without a writer would hold the reader up for ever. What a
    // kernel makes up as it is read has no length.
    if std::fs::metadata(&path)?.is_file() {
        File::open(&path)?
            .take(MOST_BYTES + 1)
            .read_to_end(&mut document)?;
        if document.len() as u64 <= MOST_BYTES {
            return Ok(document);
        }
    }
    Err(io::Error::other("it is not a file of at most 1 MiB"))
}

fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%');
        let digits = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_path_and_others_none() {
        let is =
            |url: &str, path: Option<&str>| assert_eq!(local_path(url).as_deref(), path, "{url}");
        is("/etc/a.avsc", Some("/etc/a.avsc"));
        is("schemas/a:b.avsc", Some("schemas/a:b.avsc"));
        is("file:/etc/a.avsc", Some("/etc/a.avsc"));
        is("FILE:///etc/a%20b%.avsc", Some("/etc/a b%.avsc"));
        is("file://localhost/etc/a", Some("/etc/a"));
        is("file://localhost", Some(""));
        is("hdfs://nn/a.avsc", None);
        is("https://example.com/a.avsc", None);
    }
}
