//! The keys of a node configuration: what each accepts, and its default.

use std::path::Path;

use super::Surroundings;

pub(super) const FULL_NAME: &str = "a host name with its domain, like `node1.example.com`";
/// Longest name of a unix account.
const ACCOUNT_CHARS_MAX: usize = 32;

/// A key of the file.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Whether a value is acceptable; an error completes "expected".
    pub(super) accepts: fn(&str) -> Result<(), &'static str>,
    /// What it is when the file does not say so.
    pub(super) default: fn(&Surroundings) -> Option<String>,
    pub(super) secret: bool,
}

const fn key(
    name: &'static str,
    accepts: fn(&str) -> Result<(), &'static str>,
    default: fn(&Surroundings) -> Option<String>,
) -> Key {
    Key {
        name,
        accepts,
        default,
        secret: false,
    }
}

/// Every key, in the order in which they are shown.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("host", host_name, |around| around.host.clone()),
    key("hdp.flume_user", account, |_| Some("flume".into())),
    key("hdp.flume_group", account, |_| Some("flume".into())),
    key("hdp.flume_conf_dir", absolute, |_| Some("/etc/flume/conf".into())),
    key("hdp.hadoop_conf_dir", absolute, |around| around.hadoop_conf_dir.clone()),
    key("krb5_client.realm", not_empty, |around| around.krb5.default_realm.clone()),
    key("krb5_client.krb5_config", not_empty, |around| around.krb5_config.clone()),
    key("krb5_client.kadmin_principal", not_empty, |_| None),
    Key { secret: true, ..key("krb5_client.kadmin_password", not_empty, |_| None) },
    key("krb5_client.kadmin_password_file", not_empty, |_| None),
    key("krb5_client.kadmin_server", not_empty, |_| None),
    key("krb5_client.kadmin_policy", not_empty, |_| None),
];

fn not_empty(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("a text that is not empty")
    } else {
        Ok(())
    }
}

fn absolute(text: &str) -> Result<(), &'static str> {
    let path = Path::new(text);
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if path.is_absolute() && path.parent().is_some() && !climbs {
        Ok(())
    } else {
        Err("an absolute path")
    }
}

fn account(text: &str) -> Result<(), &'static str> {
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if first && rest && text.len() <= ACCOUNT_CHARS_MAX {
        Ok(())
    } else {
        Err("an account name of lower-case letters, digits, `-` and `_`")
    }
}

fn host_name(text: &str) -> Result<(), &'static str> {
    let label = |label: &str| {
        let plain = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain
            && !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let address = text.parse::<std::net::IpAddr>().is_ok();
    if !address && text.split('.').all(label) {
        Ok(())
    } else {
        Err(FULL_NAME)
    }
}
