//! For tests only: a real KDC, NameNodes and DataNodes as processes on loopback.
//!
//! Everything lives below one directory, on free ports, and dies with the value that started it, or with the process
//! that holds it. What is missing is installed from Debian's packages when the user is root, and named otherwise.

mod cluster;
mod daemon;
mod hadoop;
mod kdc;
mod layout;
mod packages;
mod shell;
mod trouble;

pub use cluster::{Cluster, USERS};
pub use daemon::{Daemon, Ready, free_port};
pub use kdc::{ADMIN, ADMIN_PASSWORD, Kdc, REALM};
pub use layout::{Layout, Protection, Security};
pub use packages::{installing, need};
pub use shell::Answer;
pub use trouble::{CutOff, FullDisk, SlowDown};
