//! Places of configurations, as `--conf-file` and `--conf-uri` name them.

use std::path::{Path, PathBuf};

use crate::zookeeper::ZooKeeperNode;

/// Formats that Flume knows by the end of a name, and does not read.
const UNREAD_FORMATS: &[&str] = &["json", "yaml", "xml"];

/// Where one part of a configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An address of a web server.
    Http(String),
    /// A node of ZooKeeper.
    ZooKeeper(ZooKeeperNode),
}

impl Place {
    /// Reads a URI. `conf_dir` is the directory given with `--conf`, with which Flume's class path begins.
    ///
    /// # Errors
    /// Nothing can be read there.
    pub fn of_uri(uri: &str, conf_dir: Option<&Path>) -> Result<Place, String> {
        let refuse = |why: &str| Err(format!("--conf-uri {uri}: {why}"));
        let Some((scheme, rest)) = uri.split_once(':') else {
            return refuse("it has no scheme; write file:///PATH or https://HOST/PATH");
        };
        // As in Flume, what follows the first dot of the path is the format.
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => rest,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let format = path.split_once('.').map_or("", |(_, format)| format);
        if UNREAD_FORMATS.contains(&format) {
            return refuse("only properties can be read");
        }
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match decoded(path) {
                Some(path) if path.starts_with('/') => Ok(Place::File(path.into())),
                _ => refuse("a file needs an absolute path: file:///PATH"),
            },
            "http" | "https" => Ok(Place::Http(uri.into())),
            "classpath" => {
                let name = path.trim_start_matches('/');
                let found = conf_dir.map(|directory| directory.join(name));
                match found.filter(|path| path.is_file()) {
                    Some(path) => Ok(Place::File(path)),
                    None => refuse(
                        "it is not in the directory given with --conf, and this program reads nothing out of jars; \
                         copy the file and name it with --conf-file",
                    ),
                }
            }
            _ => refuse("the scheme must be file, http, https or classpath"),
        }
    }
}

/// Text with `%XX` resolved.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest
            .get(..2)
            .filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("in.conf"), "").unwrap();
        let seen = match Place::of_uri(uri, Some(directory.path())) {
            Ok(Place::File(path)) => match path.strip_prefix(directory.path()) {
                Ok(path) => format!("file CONF/{}", path.display()),
                Err(_) => format!("file {}", path.display()),
            },
            Ok(Place::Http(uri)) => format!("http {uri}"),
            Ok(Place::ZooKeeper(node)) => node.path,
            Err(why) => why,
        };
        assert!(seen.ends_with(expected), "{uri}: {seen}");
    }

    #[test]
    fn uris_name_files_and_servers() {
        check("file:///etc/a%20b.conf", "file /etc/a b.conf");
        check("FILE:/etc/x", "file /etc/x");
        check("https://h:1/x.conf", "http https://h:1/x.conf");
        check("classpath:in.conf", "file CONF/in.conf");
        check("classpath:/in.conf", "file CONF/in.conf");
        check(
            "classpath:out.conf",
            "copy the file and name it with --conf-file",
        );
        check("file:x", "a file needs an absolute path: file:///PATH");
        check("file:///x%4", "a file needs an absolute path: file:///PATH");
        check(
            "flume.conf",
            "it has no scheme; write file:///PATH or https://HOST/PATH",
        );
        check("http://h.x/y.json?a=b", "only properties can be read");
        check("file:///etc/flume.d/x.json", "file /etc/flume.d/x.json");
        check(
            "ftp://x/y",
            "the scheme must be file, http, https or classpath",
        );
    }
}
