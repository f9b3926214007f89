//! Which file system a URL means.

use std::{path::Path, sync::Arc};

use super::{FileSystem, FsError, LocalFileSystem};

/// As whom a file system is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `flume/_HOST@REALM`; without one there is no Kerberos.
    pub principal: Option<String>,
    /// The key table of the principal.
    pub keytab: Option<String>,
    /// The user that the agent acts for.
    pub proxy_user: Option<String>,
}

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
        let scheme = url.find([':', '/']).filter(|&at| at > 0 && url[at..].starts_with(':'));
        let Some(scheme) = scheme else { return Url { file_system: "", path: url } };
        let rest = &url[scheme + 1..];
        let authority = rest.strip_prefix("//").map_or(0, |rest| 2 + rest.find('/').unwrap_or(rest.len()));
        let (file_system, path) = url.split_at(scheme + 1 + authority);
        Url { file_system, path }
    }

    /// `hdfs`, `file`; empty: the default file system.
    pub fn scheme(&self) -> &'a str {
        self.file_system.split(':').next().unwrap_or_default()
    }
}

/// Opens the file system of [`Url::file_system`]; what it is like is said by Hadoop's configuration, of which the
/// agent's directory, `conf_dir`, is looked into first. No server is asked yet.
///
/// # Errors
/// A file system that is not known or not configured.
pub async fn connect(
    file_system: &str,
    access: &Access,
    conf_dir: Option<&Path>,
) -> Result<Arc<dyn FileSystem>, FsError> {
    if Url::split(file_system).scheme().eq_ignore_ascii_case("file") {
        return Ok(Arc::new(LocalFileSystem));
    }
    #[cfg(feature = "hdfs")]
    return super::hdfs::open(file_system, access, conf_dir).await;
    #[cfg(not(feature = "hdfs"))]
    {
        let _ = (access, conf_dir);
        let doing = format!("connect to {file_system}");
        Err(FsError::at(super::FsErrorKind::Unsupported, doing)("this build writes to file: alone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_cut_behind_the_authority() {
        for (url, file_system, path, scheme) in [
            ("hdfs://nn:8020/logs/%Y", "hdfs://nn:8020", "/logs/%Y", "hdfs"),
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
            assert_eq!((cut.file_system, cut.path, cut.scheme()), (file_system, path, scheme), "{url}");
        }
    }
}
