//! Java's system properties: what `-Dkey=value` set, and what variables of the environment set as well.

use std::{collections::BTreeMap, env};

/// Each variable with the property that it sets, unless the command line has set that.
const VARIABLES: &[(&str, &str)] = &[
    ("FLUME_SSL_KEYSTORE_PATH", "javax.net.ssl.keyStore"),
    (
        "FLUME_SSL_KEYSTORE_PASSWORD",
        "javax.net.ssl.keyStorePassword",
    ),
    ("FLUME_SSL_KEYSTORE_TYPE", "javax.net.ssl.keyStoreType"),
    ("FLUME_SSL_TRUSTSTORE_PATH", "javax.net.ssl.trustStore"),
    (
        "FLUME_SSL_TRUSTSTORE_PASSWORD",
        "javax.net.ssl.trustStorePassword",
    ),
    ("FLUME_SSL_TRUSTSTORE_TYPE", "javax.net.ssl.trustStoreType"),
    ("FLUME_SSL_INCLUDE_PROTOCOLS", "flume.ssl.include.protocols"),
    ("FLUME_SSL_EXCLUDE_PROTOCOLS", "flume.ssl.exclude.protocols"),
    (
        "FLUME_SSL_INCLUDE_CIPHERSUITES",
        "flume.ssl.include.cipherSuites",
    ),
    (
        "FLUME_SSL_EXCLUDE_CIPHERSUITES",
        "flume.ssl.exclude.cipherSuites",
    ),
];

/// All of them.
pub(crate) fn of_agent(from_command_line: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    with_variables(from_command_line, |name| env::var(name).ok())
}

fn with_variables(
    from_command_line: &BTreeMap<String, String>,
    variable: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut properties = from_command_line.clone();
    for (name, key) in VARIABLES {
        if let Some(value) = variable(name) {
            properties.entry(key.to_string()).or_insert(value);
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let own = BTreeMap::from([("javax.net.ssl.keyStore".into(), "/own".into())]);
        let variable = |name: &str| match name {
            "FLUME_SSL_KEYSTORE_PATH" => Some("/variable".into()),
            "FLUME_SSL_TRUSTSTORE_PATH" => Some("/trust".into()),
            _ => None,
        };
        let all = with_variables(&own, variable);
        assert_eq!(all["javax.net.ssl.keyStore"], "/own");
        assert_eq!(all["javax.net.ssl.trustStore"], "/trust");
        assert_eq!(all.len(), 2);
    }
}
