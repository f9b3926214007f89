//! Which file system a URL means.

use std::{sync::Arc, time::Duration};

use super::{FileSystem, FsError, LocalFileSystem};
use crate::admission::Destination;

/// A URL cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// `hdfs://nn:8020`, `file:`; empty: the default file system.
    pub file_system: &'a str,
    /// What follows, with or without leading slash.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// Cuts `scheme://authority/path`, `scheme:/path` or `path`.
    pub fn split(url: &'a str) -> Self {
        let scheme = url
            .find([':', '/'])
            .filter(|&at| at > 0 && url[at..].starts_with(':'));
        let Some(scheme) = scheme else {
            return Url {
                file_system: "",
                path: url,
            };
        };
        let rest = &url[scheme + 1..];
        let authority = rest
            .strip_prefix("//")
            .map_or(0, |rest| 2 + rest.find('/').unwrap_or(rest.len()));
        let (file_system, path) = url.split_at(scheme + 1 + authority);
        Url { file_system, path }
    }

    /// `hdfs`, `file`; empty: the default file system.
    pub fn scheme(&self) -> &'a str {
        self.file_system.split(':').next().unwrap_or_default()
    }
}

/// The file system of a destination. No server is asked yet. A call ends within `call_limit`, and then tells what stood in
/// the way; zero: there is no limit.
///
/// # Errors
/// The system has no threads for a client.
pub fn connect(
    destination: Destination,
    call_limit: Duration,
) -> Result<Arc<dyn FileSystem>, FsError> {
    match destination {
        Destination::Local => Ok(Arc::new(LocalFileSystem)),
        Destination::Cluster(cluster) => super::hdfs::open(*cluster, call_limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_cut_behind_the_authority() {
        for (url, file_system, path, scheme) in [
            (
                "hdfs://nn:8020/logs/%Y",
                "hdfs://nn:8020",
                "/logs/%Y",
                "hdfs",
            ),
            ("hdfs://nameservice1", "hdfs://nameservice1", "", "hdfs"),
            ("hdfs:///logs", "hdfs://", "/logs", "hdfs"),
            ("file:/tmp/x", "file:", "/tmp/x", "file"),
            ("file:///tmp/x", "file://", "/tmp/x", "file"),
            ("/logs/a:b", "", "/logs/a:b", ""),
            ("logs/a:b", "", "logs/a:b", ""),
            ("", "", "", ""),
            (":x", "", ":x", ""),
        ] {
            let cut = Url::split(url);
            assert_eq!(
                (cut.file_system, cut.path, cut.scheme()),
                (file_system, path, scheme),
                "{url}"
            );
        }
    }
}
