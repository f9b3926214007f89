//! The configuration of Hadoop's clients: `core-site.xml` and `hdfs-site.xml`, read as Hadoop reads them.
//!
//! Each file comes from the first directory that has it, as on Flume's class path: the agent's `--conf`,
//! `HADOOP_CONF_DIR`, `$HADOOP_HOME/etc/hadoop`, `/etc/hadoop/conf`. Later files win over earlier ones, except over what
//! is `<final>`; former names of a key are the key; `${…}` is replaced when everything is read.

mod deprecated;
mod expand;
mod known;
mod settings;
mod target;
mod viewfs;
mod xml;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use expand::set_system_properties;
pub use flume_kerberos::sasl::Protection;
pub use known::{KNOWN_KEYS, KnownKey};
pub use settings::ClientSettings;
pub use target::{NameNode, Target};
pub use xml::{XmlProperty, parse};

/// The files, in the order in which Hadoop loads them.
const FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];
/// Where Debian's, Bigtop's and Cloudera's packages put them.
const SYSTEM_CONF_DIR: &str = "/etc/hadoop/conf";

/// What Hadoop's configuration files say.
#[derive(Clone, Debug, Default)]
pub struct Hadoop {
    settings: BTreeMap<String, HadoopSetting>,
    /// The files that were read, includes left out.
    pub files: Vec<PathBuf>,
    /// Directories that were looked into, in this order.
    pub searched: Vec<PathBuf>,
    /// What an operator should know: a final value that a later file wanted to change, a loop of `${…}`.
    pub warnings: Vec<String>,
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HadoopSetting {
    /// Trimmed, `${…}` replaced.
    pub value: String,
    /// Where it is set.
    pub position: FilePosition,
    /// The former name that it is set by.
    pub written_as: Option<String>,
    raw: String,
    last: bool,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePosition {
    /// The file.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: u32,
}

impl std::fmt::Display for FilePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What is wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{text}", position.as_ref().map(|position| format!("{position}: ")).unwrap_or_default())]
pub struct HadoopError {
    /// The line, where there is one.
    pub position: Option<FilePosition>,
    /// What is wrong with it.
    pub text: String,
}

impl HadoopError {
    fn at(position: Option<&FilePosition>, text: impl Into<String>) -> Self {
        HadoopError {
            position: position.cloned(),
            text: text.into(),
        }
    }
}

impl Hadoop {
    /// Reads the files from where an agent with this `--conf` directory finds them. Having none is no error: Hadoop's
    /// defaults are left then.
    ///
    /// # Errors
    /// A file that cannot be read, is no XML or no configuration, with its line.
    pub fn find(conf_dir: Option<&Path>) -> Result<Hadoop, HadoopError> {
        Hadoop::read(&directories(conf_dir, |name| {
            env::var_os(name).map(PathBuf::from)
        }))
    }

    /// Reads each file from the first of these directories that has it.
    pub fn read(directories: &[PathBuf]) -> Result<Hadoop, HadoopError> {
        let mut hadoop = Hadoop {
            searched: directories.to_vec(),
            ..Hadoop::default()
        };
        for name in FILES {
            let Some(path) = directories
                .iter()
                .map(|directory| directory.join(name))
                .find(|path| path.exists())
            else {
                continue;
            };
            xml::read(&path)?
                .into_iter()
                .for_each(|property| hadoop.add(property));
            hadoop.files.push(path);
        }
        hadoop.expand();
        Ok(hadoop)
    }

    /// From properties in the order in which they were read.
    pub fn of(properties: impl IntoIterator<Item = XmlProperty>) -> Hadoop {
        let mut hadoop = Hadoop::default();
        properties
            .into_iter()
            .for_each(|property| hadoop.add(property));
        hadoop.expand();
        hadoop
    }

    fn add(&mut self, property: XmlProperty) {
        let XmlProperty {
            name,
            value: Some(raw),
            last,
            position,
        } = property
        else {
            return;
        };
        let now = deprecated::replacement(&name);
        if let Some(known) = self.settings.get(now).filter(|known| known.last) {
            if known.raw.trim() != raw.trim() {
                let text = format!(
                    "{position}: `{name}` has no effect: it is final at {}",
                    known.position
                );
                self.warnings.push(text);
            }
            return;
        }
        let setting = HadoopSetting {
            value: raw.trim().into(),
            written_as: (now != name).then(|| name.clone()),
            position,
            raw,
            last,
        };
        self.settings.insert(now.to_string(), setting);
    }

    fn expand(&mut self) {
        let look_up = |name: &str| {
            let key = deprecated::replacement(name);
            let set = self.settings.get(key).map(|setting| setting.raw.clone());
            set.or_else(|| known::default(key).map(String::from))
        };
        let expanded: Vec<_> = self
            .settings
            .values()
            .map(|setting| expand::expand(&setting.raw, &look_up))
            .collect();
        for ((name, setting), expanded) in self.settings.iter_mut().zip(expanded) {
            match expanded {
                Ok(value) => setting.value = value.trim().into(),
                Err(text) => self
                    .warnings
                    .push(format!("{}: `{name}` {text}", setting.position)),
            }
        }
    }

    /// A key as it is set in a file, by its present name.
    pub fn setting(&self, key: &str) -> Option<&HadoopSetting> {
        self.settings.get(key)
    }

    /// The value of a key, else Hadoop's default. Empty counts as unset.
    pub fn get(&self, key: &str) -> Option<&str> {
        let set = self.settings.get(key).map(|setting| setting.value.as_str());
        set.or_else(|| known::default(key))
            .filter(|value| !value.is_empty())
    }

    /// Every key that is set in a file, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &HadoopSetting)> {
        self.settings
            .iter()
            .map(|(key, setting)| (key.as_str(), setting))
    }

    /// What a client is handed: all that is set, trimmed and expanded, NameNodes as `host:port` in lists without
    /// blanks. Defaults are left out.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let plain = |(key, setting): (&str, &HadoopSetting)| {
            let value = match key {
                _ if key.starts_with("dfs.ha.namenodes.") => {
                    target::words(&setting.value).collect::<Vec<_>>().join(",")
                }
                _ if key.starts_with("dfs.namenode.rpc-address.") => {
                    target::with_port(&setting.value)
                }
                "hadoop.security.authentication" => setting.value.to_ascii_lowercase(),
                _ => setting.value.clone(),
            };
            (key.to_string(), value)
        };
        self.settings()
            .map(plain)
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// An error about a key, at its place.
    fn wrong(&self, key: &str, text: impl std::fmt::Display) -> HadoopError {
        let setting = self.settings.get(key);
        let name = setting
            .and_then(|setting| setting.written_as.as_deref())
            .unwrap_or(key);
        HadoopError::at(
            setting.map(|setting| &setting.position),
            format!("`{name}` {text}"),
        )
    }
}

/// Where an agent with this `--conf` directory looks, in this order.
fn directories(
    conf_dir: Option<&Path>,
    variable: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    let home = set("HADOOP_HOME").map(|home| home.join("etc/hadoop"));
    let all = [
        conf_dir.map(PathBuf::from),
        set("HADOOP_CONF_DIR"),
        home,
        Some(SYSTEM_CONF_DIR.into()),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
