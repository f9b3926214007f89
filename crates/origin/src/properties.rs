//! The system properties that a JVM has without being told: what `${sys:…}` finds.

use std::{collections::BTreeMap, env, fs};

use flume_host::names;

/// The properties of this process: what `-D` and variables set, and what every JVM has.
pub fn with_defaults(given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut properties = defaults();
    properties.extend(given.clone());
    properties
}

fn defaults() -> BTreeMap<String, String> {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let directory = env::current_dir().unwrap_or_default();
    let user = names::user_name();
    let pairs: [(&str, String); 14] = [
        ("user.name", user),
        ("user.home", home()),
        ("user.dir", directory.display().to_string()),
        // Java ignores TMPDIR here.
        ("java.io.tmpdir", "/tmp".into()),
        ("file.separator", "/".into()),
        ("path.separator", ":".into()),
        ("line.separator", "\n".into()),
        ("file.encoding", "UTF-8".into()),
        ("os.name", text(system.sysname())),
        ("os.version", text(system.release())),
        ("os.arch", java_arch().into()),
        ("user.language", language().0),
        ("user.country", language().1),
        ("user.timezone", zone()),
    ];
    let known = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| (name.into(), value)).collect()
}

/// As in Java, the home directory that the system knows counts, and not `HOME`.
fn home() -> String {
    let number = rustix::process::geteuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, user, _, _, home, _] = fields[..] else {
            return None;
        };
        (user == number).then(|| home.to_string())
    });
    known
        .or_else(|| env::var("HOME").ok())
        .unwrap_or_else(|| "?".into())
}

/// The processor as Java names it.
pub(crate) fn java_arch() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

/// Language and country of the environment: `en`, `US`.
pub(crate) fn language() -> (String, String) {
    let set = |name| {
        env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    let locale = set("LC_ALL")
        .or_else(|| set("LC_MESSAGES"))
        .or_else(|| set("LANG"))
        .unwrap_or_default();
    let plain = locale.split(['.', '@']).next().unwrap_or_default();
    match plain.split_once('_') {
        Some((language, country)) => (language.into(), country.into()),
        None if plain.is_empty() || plain == "C" || plain == "POSIX" => {
            ("en".into(), String::new())
        }
        None => (plain.into(), String::new()),
    }
}

fn zone() -> String {
    let zone = jiff::tz::TimeZone::system();
    zone.iana_name().unwrap_or_default().into()
}
