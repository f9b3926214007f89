//! Calls that fail in a real process: `faults.c` stands before libc there.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

const SOURCE: &str = include_str!("faults.c");

/// The compiled library, and what it noted.
pub struct Faults(tempfile::TempDir);

/// Variables of a process.
pub type Environment = Vec<(String, String)>;

/// What may fail, by the letter that is noted.
pub const KINDS: [(char, &str); 4] = [
    ('i', "EIO"),
    ('s', "ENOSPC"),
    ('f', "EMFILE"),
    ('r', "checkpoints not renamed"),
];

impl Faults {
    /// Compiles the library below `dir`.
    pub fn compile(dir: &Path) -> Result<Faults> {
        let dir = tempfile::tempdir_in(dir)?;
        let source = dir.path().join("faults.c");
        fs::write(&source, SOURCE)?;
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(dir.path().join("faults.so"))
            .arg(&source)
            .arg("-ldl")
            .status()
            .context("failed to start cc, the C compiler")?;
        ensure!(status.success(), "cc: {status}");
        Ok(Faults(dir))
    }

    /// One write or sync of so many fails in `store`, opens and renames more often.
    pub fn at_random(&self, store: &Path, one_in: u32) -> Environment {
        self.environment(store, &[("FAULTS_ONE_IN", one_in.to_string())])
    }

    /// No file can be made in `store` from [`forbid_files`](Self::forbid_files) on.
    pub fn without_new_files(&self, store: &Path, errno: i32) -> Environment {
        let switch = self.path("switch");
        let errno = errno.to_string();
        self.environment(store, &[("FAULTS_SWITCH", switch), ("FAULTS_ERRNO", errno)])
    }

    /// From now on no file can be made.
    pub fn forbid_files(&self) -> Result<()> {
        Ok(fs::write(self.path("switch"), "")?)
    }

    /// How many faults of a kind there were.
    pub fn count(&self, kind: char) -> usize {
        let noted = fs::read_to_string(self.path("log")).unwrap_or_default();
        noted.chars().filter(|letter| *letter == kind).count()
    }

    fn environment(&self, store: &Path, more: &[(&str, String)]) -> Environment {
        let common = [
            ("LD_PRELOAD", self.path("faults.so")),
            ("FAULTS_DIR", store.display().to_string()),
            ("FAULTS_LOG", self.path("log")),
        ];
        let all = common.iter().chain(more);
        all.map(|(name, value)| (name.to_string(), value.clone()))
            .collect()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}
