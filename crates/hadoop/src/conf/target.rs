//! Where a path of a configuration leads: which file system, which NameNodes, which path there.

use super::{Hadoop, HadoopError, viewfs};

/// The port of a NameNode that names none.
const DEFAULT_NAMENODE_PORT: u16 = 8020;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory of this machine: `file:///…`.
    Local {
        /// The path, without scheme.
        path: String,
    },
    /// A directory of a cluster.
    Hdfs {
        /// What a client is made for: `hdfs://host:8020`, or `hdfs://nameservice`.
        url: String,
        /// The path there, without scheme and host.
        path: String,
        /// Its NameNodes in the order in which they are asked: one, or those of the nameservice.
        namenodes: Vec<NameNode>,
    },
}

/// Where a NameNode listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameNode {
    /// Its host, by name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for NameNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Hadoop {
    /// Where a path leads: `hdfs://host/x`, `hdfs://nameservice/x`, `hdfs:///x`, `viewfs://table/x`, `file:///x`, or
    /// `/x` in `fs.defaultFS`. What follows the host is left as it is, escapes included.
    ///
    /// # Errors
    /// A file system that is not built in; a nameservice that is not wholly configured, with its line.
    pub fn target(&self, path: &str) -> Result<Target, HadoopError> {
        let (scheme, host, path) = self.in_full(path)?;
        match scheme.to_ascii_lowercase().as_str() {
            "file" => Ok(Target::Local { path: path.into() }),
            "hdfs" if host.is_empty() => {
                let default = self.get("fs.defaultFS").unwrap_or_default();
                Err(HadoopError::at(
                    self.setting("fs.defaultFS")
                        .map(|setting| &setting.position),
                    format!(
                        "hdfs://{path} names no host, and neither does `fs.defaultFS`, which is `{default}`"
                    ),
                ))
            }
            "hdfs" => self.cluster(host, path),
            "viewfs" => self.target(&viewfs::resolve(self, host, path)?),
            other => {
                let text = format!(
                    "`{other}` is a file system that this build does not have; there are hdfs, viewfs and file"
                );
                Err(HadoopError::at(None, text))
            }
        }
    }

    /// The mount table that a path goes through, empty for the default one: `t` of `viewfs://t/x`.
    pub fn mount_table(&self, path: &str) -> Option<String> {
        let (scheme, host, _) = self.in_full(path).ok()?;
        scheme
            .eq_ignore_ascii_case("viewfs")
            .then(|| host.to_string())
    }

    /// Scheme, host and path; what is left away is that of `fs.defaultFS`.
    pub(super) fn in_full<'a>(
        &'a self,
        path: &'a str,
    ) -> Result<(&'a str, &'a str, &'a str), HadoopError> {
        let (scheme, host, path) = split(path).map_err(|text| HadoopError::at(None, text))?;
        let default = self.get("fs.defaultFS").unwrap_or("file:///");
        let (default_scheme, default_host, _) = split(default)
            .map_err(|text| self.wrong("fs.defaultFS", format!("is no URL: {text}")))?;
        let scheme = scheme.unwrap_or_else(|| default_scheme.unwrap_or("file"));
        // As Hadoop: a URL without a host, but of the default's scheme, has the default's host.
        let default_host = if default_scheme == Some(scheme) {
            default_host
        } else {
            ""
        };
        Ok((
            scheme,
            if host.is_empty() { default_host } else { host },
            path,
        ))
    }

    /// A NameNode by its address, or the NameNodes of a nameservice.
    fn cluster(&self, authority: &str, path: &str) -> Result<Target, HadoopError> {
        let path = path.to_string();
        let (name, port) = match authority
            .rsplit_once(':')
            .filter(|(host, _)| !host.ends_with(':'))
        {
            Some((name, _)) => (name, true),
            None => (authority, false),
        };
        let namenodes = self.nameservice(name)?;
        if namenodes.is_empty() {
            let namenode = address(authority)
                .map_err(|text| HadoopError::at(None, format!("hdfs://{authority}: {text}")))?;
            return Ok(Target::Hdfs {
                url: format!("hdfs://{namenode}"),
                path,
                namenodes: vec![namenode],
            });
        }
        if port {
            let text = format!(
                "hdfs://{authority} has a port, but `{name}` is a nameservice: write hdfs://{name}"
            );
            return Err(HadoopError::at(None, text));
        }
        // A nameservice with a single NameNode is that NameNode: clients know no other.
        let single = self.get(&format!("dfs.ha.namenodes.{name}")).is_none();
        let url = if single {
            format!("hdfs://{}", namenodes[0])
        } else {
            format!("hdfs://{name}")
        };
        Ok(Target::Hdfs {
            url,
            path,
            namenodes,
        })
    }

    /// The NameNodes of a nameservice; none if `name` is none.
    fn nameservice(&self, name: &str) -> Result<Vec<NameNode>, HadoopError> {
        let list_key = format!("dfs.ha.namenodes.{name}");
        let provider_key = format!("dfs.client.failover.proxy.provider.{name}");
        let Some(list) = self.get(&list_key) else {
            if self.get(&provider_key).is_some() {
                return Err(self.wrong(
                    &provider_key,
                    format!("makes {name} a nameservice, but `{list_key}` is not set"),
                ));
            }
            let known =
                words(self.get("dfs.nameservices").unwrap_or_default()).any(|known| known == name);
            let key = format!("dfs.namenode.rpc-address.{name}");
            return match self.get(&key).filter(|_| known) {
                Some(text) => Ok(vec![address(text).map_err(|text| self.wrong(&key, text))?]),
                None => Ok(vec![]),
            };
        };
        let one = |id: &str| {
            let key = format!("dfs.namenode.rpc-address.{name}.{id}");
            let text = self.get(&key).ok_or_else(|| {
                self.wrong(&list_key, format!("lists `{id}`, but `{key}` is not set"))
            })?;
            address(text).map_err(|text| self.wrong(&key, text))
        };
        let namenodes = words(list).map(one).collect::<Result<Vec<_>, _>>()?;
        if namenodes.is_empty() {
            Err(self.wrong(&list_key, "lists no NameNode"))
        } else {
            Ok(namenodes)
        }
    }
}

/// `scheme://host/path` as (scheme, host, path); the path is absolute.
fn split(text: &str) -> Result<(Option<&str>, &str, &str), String> {
    let is_scheme = |scheme: &&str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    match path {
        "" if scheme.is_some() => Ok((scheme, host, "/")),
        _ if path.starts_with('/') => Ok((scheme, host, path)),
        _ => Err(format!("`{text}` is not an absolute path")),
    }
}

/// `host` or `host:port`; `[::1]:8020` too.
fn address(text: &str) -> Result<NameNode, String> {
    let (host, port) = match text
        .rsplit_once(':')
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
    {
        Some((host, port)) => {
            let number = port.parse().ok().filter(|port| *port != 0);
            (
                host,
                number.ok_or_else(|| format!("expected host:port, found `{text}`"))?,
            )
        }
        None => (text, DEFAULT_NAMENODE_PORT),
    };
    let well_formed = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || !host.chars().all(well_formed) {
        return Err(format!("expected host:port, found `{text}`"));
    }
    Ok(NameNode {
        host: host.into(),
        port,
    })
}

/// The same text with its port, where it is an address.
pub(super) fn with_port(text: &str) -> String {
    address(text).map_or_else(|_| text.into(), |namenode| namenode.to_string())
}

/// The words of a list: separated by commas, blanks around them do not count.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}
