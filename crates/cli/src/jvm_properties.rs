//! Properties of the JVM that change what Flume does: `-Duser.timezone` and others. An agent honours them, or says that
//! they have no effect.

use std::{collections::BTreeMap, io};

use crate::process;

/// Beginnings of properties that this program or its components read.
const READ: &[&str] = &[
    "flume.",
    "javax.net.ssl.",
    "hadoop.",
    "user.timezone",
    "user.home",
    "user.language",
    "user.country",
    "user.region",
    "user.name",
    "java.io.tmpdir",
    "java.security.krb5.conf",
    "java.security.auth.login.config",
    "zookeeper.sasl.client",
    "file.encoding",
];

/// Makes the properties the defaults of this process. The answer is to be logged as warnings. Call it before there are
/// threads: one of the properties needs another environment, with which the program begins anew.
pub(crate) fn apply(properties: &BTreeMap<String, String>) -> io::Result<Vec<String>> {
    let get = |key: &str| properties.get(key).filter(|value| !value.is_empty());
    if let Some(path) = get("java.security.krb5.conf") {
        // The Kerberos library reads its configuration from there.
        process::have("KRB5_CONFIG", path)?;
    }
    if let Some(home) = get("user.home") {
        flume_host::home::set(home.into());
    }
    flume_hadoop::conf::set_system_properties(properties.clone());
    let mut doubts = flume_java::defaults::set(properties);
    if let Some(encoding) = get("file.encoding")
        && !["utf-8", "utf8"].contains(&encoding.to_ascii_lowercase().as_str())
    {
        doubts.push(format!(
            "file.encoding={encoding} has no effect: bodies of events are text in UTF-8 where nothing else is set; \
             name the encoding in the component, as in `charset = {encoding}`"
        ));
    }
    Ok(doubts)
}

/// Properties that nobody here reads; a Java component may.
pub(crate) fn unread(properties: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let is_read = |key: &&str| READ.iter().any(|read| key.starts_with(read));
    properties
        .keys()
        .map(String::as_str)
        .filter(move |key| !is_read(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_named() {
        let keys = [
            "flume.root.logger",
            "user.timezone",
            "appFlag",
            "sun.net.inetaddr.ttl",
        ];
        let properties = keys.map(|key| (key.to_string(), String::new())).into();
        let unread: Vec<_> = unread(&properties).collect();
        assert_eq!(unread, ["appFlag", "sun.net.inetaddr.ttl"]);
    }
}
