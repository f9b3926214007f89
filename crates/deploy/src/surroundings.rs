//! What a host says about itself.

use std::path::Path;

use flume_core::config::Secret;

use crate::{
    krb5_conf::Krb5Conf,
    node::{PASSWORD_VARIABLE, Surroundings},
};

const HADOOP_CONF_DIR: &str = "/etc/hadoop/conf";

impl Surroundings {
    /// Those of the host that this runs on.
    pub fn of_this_host() -> Surroundings {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let usual = || {
            Path::new(HADOOP_CONF_DIR)
                .join("core-site.xml")
                .exists()
                .then(|| HADOOP_CONF_DIR.into())
        };
        Surroundings {
            host: full_name(),
            hadoop_conf_dir: variable("HADOOP_CONF_DIR").or_else(usual),
            password: variable(PASSWORD_VARIABLE).map(Secret),
            krb5: Krb5Conf::load(),
        }
    }
}

/// The host's fully qualified name: its own if it has a domain, else the one that its name resolves to.
pub(crate) fn full_name() -> Option<String> {
    let name = gethostname::gethostname().into_string().ok()?;
    if name.contains('.') {
        return Some(name.to_ascii_lowercase());
    }
    let hints = dns_lookup::AddrInfoHints {
        flags: AI_CANONNAME,
        ..Default::default()
    };
    let found = dns_lookup::getaddrinfo(Some(&name), None, Some(hints)).ok();
    let canonical = found.and_then(|mut all| all.find_map(|info| info.ok()?.canonname));
    Some(canonical.unwrap_or(name).to_ascii_lowercase())
}

/// As in netdb.h of Linux: ask for the canonical name.
const AI_CANONNAME: i32 = 2;
