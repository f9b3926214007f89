//! What a host says about itself.

use std::path::Path;

use flume_core::config::Secret;
use flume_host::names::{own_name, qualified_name};

use crate::{
    krb5_conf::{self, Krb5Conf},
    node::Surroundings,
};

const HADOOP_CONF_DIR: &str = "/etc/hadoop/conf";

impl Surroundings {
    /// Those of the host that this runs on, with the administrator's password if it was given on standard input.
    pub fn of_this_host(password: Option<Secret>) -> Surroundings {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let usual = || {
            Path::new(HADOOP_CONF_DIR)
                .join("core-site.xml")
                .exists()
                .then(|| HADOOP_CONF_DIR.into())
        };
        Surroundings {
            host: qualified_name().or_else(|| Some(own_name().to_ascii_lowercase())),
            hadoop_conf_dir: variable("HADOOP_CONF_DIR").or_else(usual),
            krb5_config: variable("KRB5_CONFIG").filter(|files| files != krb5_conf::DEFAULT),
            password,
            krb5: Krb5Conf::load(),
        }
    }
}
