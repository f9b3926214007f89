//! Root changes nothing by a path: all of it goes through `flume_host::directory`. This reads the sources, so that the
//! next one who forgets it learns it here.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Calls that change something by a path, and what starts a program with the inherited environment.
const FORBIDDEN: &[&str] = &[
    "chown(",
    "set_permissions(",
    "fs::rename",
    "fs::write",
    "fs::copy",
    "File::create",
    "OpenOptions",
    "create_dir",
    "remove_file(",
    "remove_dir",
    "persist(",
    "symlink(",
    "hard_link(",
    "tempdir(",
    "Command::new",
];

/// Lines that may stay, with the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "kerberos/keytab.rs",
        "directory.remove_file",
        "SafeDirectory's",
    ),
    ("files.rs", "remove_file(name)", "SafeDirectory's"),
    ("kerberos/mod.rs", "staging.remove_file", "SafeDirectory's"),
    (
        "kerberos/mod.rs",
        "directory.remove_directory",
        "SafeDirectory's",
    ),
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn nothing_is_changed_by_a_path() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut used = vec![false; ALLOWED.len()];
    let mut wrong = vec![];
    for path in sources(&root) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//")
                || !FORBIDDEN.iter().any(|word| line.contains(word))
            {
                continue;
            }
            let allowed = ALLOWED
                .iter()
                .position(|(file, part, _)| *file == name && line.contains(part));
            match allowed {
                Some(at) => used[at] = true,
                None => wrong.push(format!("{name}:{}: {}", number + 1, line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "use flume_host::directory: {wrong:#?}");
    for (at, used) in used.iter().enumerate() {
        assert!(used, "{:?} is allowed and not there", ALLOWED[at]);
    }
}

/// The scripts of the packages run as root, too, and a shell cannot hold a descriptor.
#[test]
fn package_scripts_change_no_owner_or_mode() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    for directory in ["deb", "rpm"] {
        for entry in fs::read_dir(packaging.join(directory)).unwrap().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap();
            for word in ["chown", "chmod", "chgrp", "mkdir", "install -"] {
                let line = text
                    .lines()
                    .find(|line| !line.trim_start().starts_with('#') && line.contains(word));
                assert_eq!(line, None, "{}", entry.path().display());
            }
        }
    }
}
