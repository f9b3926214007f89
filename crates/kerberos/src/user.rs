//! Who the operating system says this process is.

/// The user this process runs as, as Java's `user.name`; the number where there is no name.
pub fn user_name() -> String {
    whoami::username().unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string())
}
