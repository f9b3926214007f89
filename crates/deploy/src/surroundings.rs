//! What a host says about itself.

use std::path::Path;

use flume_core::config::Secret;
use flume_host::names::qualified_name;

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
            host: qualified_name(),
            hadoop_conf_dir: variable("HADOOP_CONF_DIR").or_else(usual),
            password: variable(PASSWORD_VARIABLE).map(Secret),
            krb5: Krb5Conf::load(),
        }
    }
}
