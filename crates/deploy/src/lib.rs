//! From a bare host to a checked, Kerberized service: `flume-ng provision` and `flume-ng doctor`.
//!
//! A [`Step`] is data: the tasks it consists of on a [`Site`], each with a check and an act. [`take`] runs one, so
//! that idempotence, dry runs and proof after each change are written once.

mod accounts;
mod check;
pub mod clock;
mod configure;
mod doctor;
mod fault;
mod files;
mod install;
pub mod json;
mod kerberos;
pub mod krb5_conf;
mod manager;
mod node;
mod payload;
mod places;
mod program;
mod step;
mod surroundings;
mod unit;

use std::path::PathBuf;

pub use configure::recorded;
pub use doctor::{Finding, Patient, examine};
pub use fault::Fault;
pub use krb5_conf::Krb5Conf;
pub use node::{Effective, Node, Origin, Surroundings};
pub use step::{Found, Outcome, Step, Taken, Task, alone, take};

/// All steps, in the order in which they work.
#[rustfmt::skip]
pub const STEPS: &[Step] = &[
    Step { name: "configure", doc: "resolves, checks, shows and records the settings", tasks: configure::tasks },
    Step { name: "install", doc: "the program, the user, the directories and the unit", tasks: install::tasks },
    Step { name: "kerberos", doc: "the service's principal and a keytab that is proved to work", tasks: kerberos::tasks },
    Step { name: "check", doc: "a flow that really runs, as the service would, and is gone afterwards", tasks: check::tasks },
];

/// What a run is about: a host as it shall be, and how to get there.
pub struct Site {
    /// The settings.
    pub node: Node,
    /// The host's realms.
    pub krb5: Krb5Conf,
    /// Only say what would change.
    pub dry_run: bool,
    /// A package file to install.
    pub package: Option<PathBuf>,
    /// Install without a package, from the running program.
    pub from_self: bool,
    /// The package's own script runs this: the package is there already.
    pub packaged: bool,
    /// Change the service's key although it works.
    pub rotate: bool,
    /// Administrate the realm by kadmin.local.
    pub local: bool,
    /// Users that the service may write as.
    pub proxy_users: Vec<String>,
    /// The running program.
    pub program: PathBuf,
}
