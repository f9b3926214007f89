//! What `krb5.conf` says about realms. Only what deployment asks for is kept; the rest is MIT Kerberos' own matter.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Files that include each other.
const INCLUDE_DEPTH_MAX: usize = 8;
/// The usual file.
pub(crate) const DEFAULT: &str = "/etc/krb5.conf";

/// What the files say together; of several values the first counts, as for MIT Kerberos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Krb5Conf {
    /// Where it was read from, for messages.
    pub files: Vec<PathBuf>,
    /// `default_realm`
    pub default_realm: Option<String>,
    /// `dns_lookup_kdc`, when it is written.
    pub dns_lookup_kdc: Option<bool>,
    /// `clockskew`, in seconds.
    pub clock_skew_seconds: Option<u64>,
    /// By name.
    pub realms: BTreeMap<String, Realm>,
}

/// A realm's servers, `host` or `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realm {
    /// `kdc`
    pub kdcs: Vec<String>,
    /// `admin_server`
    pub admin_servers: Vec<String>,
}

impl Krb5Conf {
    /// Reads the files of `KRB5_CONFIG`, else `/etc/krb5.conf`. A file that is not there says nothing.
    pub fn load() -> Krb5Conf {
        let files = match std::env::var_os("KRB5_CONFIG").filter(|value| !value.is_empty()) {
            Some(list) => std::env::split_paths(&list).collect(),
            None => vec![PathBuf::from(DEFAULT)],
        };
        let mut conf = Krb5Conf::default();
        for file in files {
            conf.add_file(&file, 0);
        }
        conf
    }

    /// Where it came from, for messages.
    pub fn origin(&self) -> String {
        let names: Vec<_> = self
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        if names.is_empty() {
            format!("{DEFAULT} (not there)")
        } else {
            names.join(", ")
        }
    }

    fn add_file(&mut self, path: &Path, depth: usize) {
        if let Ok(bytes) = fs::read(path) {
            self.files.push(path.into());
            self.add(&String::from_utf8_lossy(&bytes), depth);
        }
    }

    /// Adds a text.
    pub fn add(&mut self, text: &str, depth: usize) {
        let mut section = String::new();
        let mut blocks: Vec<String> = vec![];
        let mut announced = String::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if depth < INCLUDE_DEPTH_MAX
                && let Some((word, path)) = line.split_once(char::is_whitespace)
            {
                match word {
                    "include" => self.add_file(Path::new(path.trim()), depth + 1),
                    "includedir" => self.add_directory(Path::new(path.trim()), depth + 1),
                    _ => {}
                }
            }
            if let Some(name) = line.strip_prefix('[') {
                section = name
                    .split(']')
                    .next()
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                blocks.clear();
            } else if line.starts_with('}') {
                blocks.pop();
            } else if line.starts_with('{') {
                self.open_block(&section, &mut blocks, std::mem::take(&mut announced));
            } else if let Some((key, value)) = line.split_once('=') {
                // A final value is marked by a star.
                let key = key.trim().trim_end_matches('*').to_string();
                match value.trim() {
                    "{" => self.open_block(&section, &mut blocks, key),
                    // The brace may stand on the next line.
                    "" => announced = key,
                    value => self.relation(&section, &blocks, &key, value.trim_matches('"')),
                }
            }
        }
    }

    fn open_block(&mut self, section: &str, blocks: &mut Vec<String>, name: String) {
        blocks.push(name);
        if let ("realms", [realm]) = (section, &blocks[..]) {
            self.realms.entry(realm.clone()).or_default();
        }
    }

    /// Only files whose names a package would give: letters, digits, dashes, underscores, or ending in `.conf`.
    fn add_directory(&mut self, path: &Path, depth: usize) {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| is_included(path))
            .collect();
        files.sort();
        for file in files {
            self.add_file(&file, depth);
        }
    }

    fn relation(&mut self, section: &str, blocks: &[String], key: &str, value: &str) {
        match (section, blocks, key) {
            ("libdefaults", [], "default_realm") => {
                set(&mut self.default_realm, Some(value.into()))
            }
            ("libdefaults", [], "dns_lookup_kdc") => set(&mut self.dns_lookup_kdc, boolean(value)),
            ("libdefaults", [], "clockskew") => set(&mut self.clock_skew_seconds, seconds(value)),
            ("realms", [realm], "kdc") => self
                .realms
                .entry(realm.clone())
                .or_default()
                .kdcs
                .push(value.into()),
            ("realms", [realm], "admin_server") => {
                self.realms
                    .entry(realm.clone())
                    .or_default()
                    .admin_servers
                    .push(value.into());
            }
            _ => {}
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn is_included(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    path.is_file() && !name.starts_with('.') && (name.ends_with(".conf") || name.chars().all(plain))
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "t" | "1" | "on" => Some(true),
        "n" | "no" | "false" | "nil" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// `300`, `300s`, `5m`, `1h`, `1d`.
fn seconds(value: &str) -> Option<u64> {
    let (number, unit) = value.split_at(
        value
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(value.len()),
    );
    let factor = match unit.trim() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_and_their_servers_are_found() {
        let mut conf = Krb5Conf::default();
        conf.add(
            "# comment\n[libdefaults]\n default_realm = A.TEST\n dns_lookup_kdc=false\n clockskew = 5m\n\
             [realms]\n A.TEST = {\n  kdc = k1.a.test:88\n  kdc = k2.a.test\n  admin_server = k1.a.test\n\
             \n  auth_to_local_names = {\n kdc = x\n }\n }\n B.TEST = {\n }\n[domain_realm]\n .a.test = A.TEST\n",
            0,
        );
        conf.add(
            "[libdefaults]\ndefault_realm = LATER\n[realms]\nA.TEST = {\nkdc = k3\n}\n",
            0,
        );
        assert_eq!(conf.default_realm.as_deref(), Some("A.TEST"));
        assert_eq!(
            (conf.dns_lookup_kdc, conf.clock_skew_seconds),
            (Some(false), Some(300))
        );
        assert_eq!(
            conf.realms["A.TEST"].kdcs,
            ["k1.a.test:88", "k2.a.test", "k3"]
        );
        assert_eq!(conf.realms["A.TEST"].admin_servers, ["k1.a.test"]);
        assert!(conf.realms.contains_key("B.TEST"));
    }

    #[test]
    fn includes_are_followed_and_a_circle_ends() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("krb5.conf");
        let part = dir.path().join("part.conf");
        let include = format!("include {}\n", main.display());
        fs::write(&main, format!("includedir {}\n", dir.path().display())).unwrap();
        fs::write(&part, include + "[realms]\nP.TEST = {\n").unwrap();
        let mut conf = Krb5Conf::default();
        conf.add_file(&main, 0);
        assert!(conf.realms.contains_key("P.TEST"));
        conf.add("}}}\n[\n= {\nx = \n", 0);
        conf.add("[realms]\nQ.TEST =\n{\n kdc = k.q.test\n}\n", 0);
        assert_eq!(conf.realms["Q.TEST"].kdcs, ["k.q.test"]);
    }
}
