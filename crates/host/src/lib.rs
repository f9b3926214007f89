//! What a program needs from the machine it runs on: names, time, files, locks, other programs.
//!
//! This crate belongs to the ground floor. It knows nothing of events, channels, sinks or configuration files. Code
//! belongs here when two crates need the same thing from the operating system, or when getting it wrong is dangerous:
//! a child that inherits a password, or a file that root writes where somebody else has put a link. Network protocols
//! do not belong here.
//!
//! | module | what it is for |
//! |---|---|
//! | [`names`] | the name and address of this host as Java sees them |
//! | [`clock`] | milliseconds since 1970 |
//! | [`environment`] | the environment that a child gets |
//! | [`child`] | runs a program to its end, with a time limit |
//! | [`group`] | a command that runs beside the agent, with everything it started |
//! | [`home`] | the home directory of the user |
//! | [`leftovers`] | what commands left running in the background |
//! | [`interrupt`] | whether somebody asked this process to stop |
//! | [`mod@replace`] | writes a file whole or not at all |
//! | [`lock`] | one process at a time |
//! | [`watch`] | notices that files changed |
//! | [`limited`] | calls that may never return |
//! | [`trust`] | reads a file, and whether root may do what it says |
//! | [`directory`] | files that root may touch although others live nearby |

pub mod child;
pub mod clock;
pub mod directory;
pub mod environment;
pub mod group;
pub mod home;
pub mod interrupt;
pub mod leftovers;
pub mod limited;
pub mod lock;
pub mod names;
pub mod replace;
pub mod trust;
pub mod watch;
