//! Where a configuration comes from, and what the `${…}` in it stand for.
//!
//! | module | what it is for |
//! |---|---|
//! | [`properties`] | the system properties that a JVM would have |
//! | [`lookups`] | `${env:…}`, `${sys:…}`, `${file:…}` and the others |
//! | [`filters`] | config filters: secrets from the environment, a program, or Hadoop's credential store |

pub mod filters;
pub mod lookups;
pub mod properties;
