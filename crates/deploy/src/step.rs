//! Steps as data: what shall be so, whether it is, and what makes it so.

use std::path::Path;

use flume_host::{directory::PrivateDirectory, interrupt::interrupted, lock::FileLock};
use serde::Serialize;

use crate::{Site, check::CHECK_PREFIX, fault::Fault, kerberos::TICKETS_PREFIX};

/// A step of provisioning: a name, and the tasks it consists of on this site.
pub struct Step {
    /// As on the command line.
    pub name: &'static str,
    /// What it does, for the manual.
    pub doc: &'static str,
    /// What shall be so after it. Looks, but changes nothing.
    pub tasks: fn(&Site) -> Result<Vec<Task>, Fault>,
}

type Check<'a> = Box<dyn Fn() -> Result<Found, Fault> + 'a>;
type Act<'a> = Box<dyn Fn() -> Result<(), Fault> + 'a>;

/// One thing that shall be so.
pub struct Task<'a> {
    /// What it is about: `directory /var/lib/flume`.
    pub title: String,
    /// Whether it is so already.
    pub check: Check<'a>,
    /// Makes it so. Afterwards `check` is asked again: only what it finds counts.
    pub act: Act<'a>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is so; with a word about it, if there is something to say.
    AsWanted(Option<String>),
    /// It is not: what is to be changed, as a fragment that completes "would".
    Otherwise(String),
}

impl Found {
    /// It is so.
    pub const PASS: Found = Found::AsWanted(None);
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Something was changed, and is so now.
    Ok,
    /// Everything was so already.
    Pass,
    /// In a dry run: something would be changed.
    Would,
    /// Something is not so.
    Fail,
}

/// A step that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    /// Its name.
    pub step: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was changed, or would be.
    pub changes: Vec<String>,
    /// What is worth saying besides.
    pub notes: Vec<String>,
    /// Why it failed.
    pub cause: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
}

impl Taken {
    /// A step that was not taken, because an earlier one failed.
    pub fn not_tried(step: &Step, failed: &str) -> Taken {
        let fault = Fault::new(format!("not tried, because {failed} failed"), "see above");
        Taken::new(step).fail(fault)
    }

    fn new(step: &Step) -> Taken {
        let changes = vec![];
        let notes = vec![];
        Taken {
            step: step.name,
            outcome: Outcome::Pass,
            changes,
            notes,
            cause: None,
            remedy: None,
        }
    }

    fn fail(mut self, fault: Fault) -> Taken {
        self.outcome = Outcome::Fail;
        (self.cause, self.remedy) = (Some(fault.cause), Some(fault.remedy));
        self
    }
}

const LOCK: &str = "/run/flume-provision.lock";

/// Waits until nobody else changes this host by `provision`; whoever holds the answer may. Only root gets so far. What
/// killed runs left in `/run` is removed.
///
/// # Errors
/// The lock cannot be had.
pub fn alone() -> Result<Option<FileLock>, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new(LOCK);
    let lock = FileLock::acquire(path).map_err(Fault::io("lock", path))?;
    // A run that was killed may have left an administrator's ticket.
    for prefix in [TICKETS_PREFIX, CHECK_PREFIX] {
        PrivateDirectory::remove_left_behind(prefix);
    }
    Ok(Some(lock))
}

/// Takes a step, or says what it would do.
pub fn take(step: &Step, site: &Site) -> Taken {
    let mut taken = Taken::new(step);
    // A value that could not be read has its default now, which must not be acted upon.
    if let Some(fault) = site.node.first_error() {
        return taken.fail(fault);
    }
    let tasks = match (step.tasks)(site) {
        Ok(tasks) => tasks,
        Err(fault) => return taken.fail(fault),
    };
    for task in tasks {
        if interrupted() {
            return taken.fail(Fault::interrupted());
        }
        if let Err(fault) = one(&task, site.dry_run, &mut taken) {
            return taken.fail(fault);
        }
    }
    taken
}

fn one(task: &Task<'_>, dry_run: bool, taken: &mut Taken) -> Result<(), Fault> {
    let change = match (task.check)() {
        // A dry run needs no rights, so it does not fail for the lack of them.
        Err(fault) if dry_run && fault.denied => {
            taken
                .notes
                .push(format!("{} cannot be seen without root", task.title));
            return Ok(());
        }
        Err(fault) => return Err(fault),
        Ok(Found::AsWanted(note)) => {
            taken.notes.extend(note);
            return Ok(());
        }
        Ok(Found::Otherwise(change)) => change,
    };
    if dry_run {
        taken.outcome = Outcome::Would;
        taken.changes.push(change);
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Fault::new(
            format!("only root may {change}"),
            "run it by sudo; --dry-run needs no rights",
        ));
    }
    (task.act)()?;
    taken.outcome = Outcome::Ok;
    taken.changes.push(change);
    match (task.check)()? {
        Found::AsWanted(note) => {
            taken.notes.extend(note);
            Ok(())
        }
        Found::Otherwise(still) => {
            let cause = format!(
                "{} is not as it should be even now: would {still}",
                task.title
            );
            Err(Fault::new(
                cause,
                "does something else change it? Run this again",
            ))
        }
    }
}
