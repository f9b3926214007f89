//! Where a configuration comes from, and what the `${…}` in it stand for.
//!
//! | module | what it is for |
//! |---|---|
//! | [`properties`] | the system properties that a JVM would have |
//! | [`lookups`] | `${env:…}`, `${sys:…}`, `${file:…}` and the others |
//! | [`place`] | what `--conf-file` and `--conf-uri` name |
//! | [`remote`] | a configuration that another machine has |
//! | [`web`] | one on a web server |
//! | [`zookeeper`] | one in ZooKeeper |
//! | `digest_md5` | a guard of the login there |
//! | `access` | files that are read, and programs that are run, for a configuration |
//! | [`filters`] | config filters: secrets from the environment, a program, or Hadoop's credential store |

mod access;
mod digest_md5;
pub mod filters;
pub mod lookups;
pub mod place;
pub mod properties;
pub mod remote;
pub mod web;
pub mod zookeeper;
