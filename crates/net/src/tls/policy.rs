//! Which protocols and cipher suites may be used, by the names that Java has for them.

use std::sync::Arc;

use flume_core::{BuildError, Config, Context};
use rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};

/// Every protocol Java knows; those that rustls lacks cannot be chosen.
const PROTOCOLS: &[(&str, Option<&SupportedProtocolVersion>)] = &[
    ("SSL", None),
    ("SSLv2", None),
    ("SSLv2Hello", None),
    ("SSLv3", None),
    ("TLSv1", None),
    ("TLSv1.1", None),
    ("TLSv1.2", Some(&TLS12)),
    ("TLSv1.3", Some(&TLS13)),
];

/// Protocols and cipher suites as they are configured: names separated by blanks or commas.
#[derive(Clone, Config)]
pub(super) struct TlsPolicyConfig {
    /// Protocols that are not used, such as `TLSv1.2`; unset: `flume.ssl.exclude.protocols`.
    #[prop("exclude-protocols")]
    exclude_protocols: Option<String>,
    /// The only protocols that may be used; unset: `flume.ssl.include.protocols`, else `TLSv1.2 TLSv1.3`.
    #[prop("include-protocols")]
    include_protocols: Option<String>,
    /// Cipher suites that are not used, by their names in Java; unset: `flume.ssl.exclude.cipherSuites`.
    #[prop("exclude-cipher-suites")]
    exclude_cipher_suites: Option<String>,
    /// The only cipher suites that may be used; unset: `flume.ssl.include.cipherSuites`, else all that are safe.
    #[prop("include-cipher-suites")]
    include_cipher_suites: Option<String>,
}

/// What is left of protocols and cipher suites.
pub(super) struct TlsPolicy {
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    suites: Vec<SupportedCipherSuite>,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        TlsPolicy {
            versions: vec![&TLS13, &TLS12],
            suites: aws_lc_rs::DEFAULT_CIPHER_SUITES.to_vec(),
        }
    }
}

impl TlsPolicy {
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            cipher_suites: self.suites.clone(),
            ..aws_lc_rs::default_provider()
        })
    }
}

impl TlsPolicyConfig {
    pub(super) fn build(&self, cx: &Context) -> Result<TlsPolicy, BuildError> {
        let names = |own: &Option<String>, global: &str| {
            let text = own.as_ref().or(cx.agent.system_properties.get(global));
            let parts = text.map_or("", String::as_str).split([' ', ',', '\t']);
            let names = parts.filter(|name| !name.is_empty());
            names.map(String::from).collect::<Vec<_>>()
        };
        let versions = versions(
            &names(&self.include_protocols, "flume.ssl.include.protocols"),
            &names(&self.exclude_protocols, "flume.ssl.exclude.protocols"),
        )?;
        let suites = suites(
            &names(
                &self.include_cipher_suites,
                "flume.ssl.include.cipherSuites",
            ),
            &names(
                &self.exclude_cipher_suites,
                "flume.ssl.exclude.cipherSuites",
            ),
        )?;
        let usable: Vec<_> = versions
            .into_iter()
            .filter(|version| suites.iter().any(|suite| suite.version() == *version))
            .collect();
        if usable.is_empty() {
            let text = "none of these suites belongs to a protocol that may be used";
            return Err(BuildError::at("include-cipher-suites", text));
        }
        Ok(TlsPolicy {
            versions: usable,
            suites,
        })
    }
}

fn versions(
    include: &[String],
    exclude: &[String],
) -> Result<Vec<&'static SupportedProtocolVersion>, BuildError> {
    for (key, names) in [
        ("include-protocols", include),
        ("exclude-protocols", exclude),
    ] {
        let is_known = |name: &String| PROTOCOLS.iter().any(|(known, _)| known == name);
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let known: Vec<_> = PROTOCOLS.iter().map(|(known, _)| *known).collect();
            let text = format!(
                "`{unknown}` is not a protocol; Java knows {}",
                known.join(" ")
            );
            return Err(BuildError::at(key, text));
        }
    }
    let is_used = |name: &str| {
        let included = include.is_empty() || include.iter().any(|listed| listed == name);
        included && !exclude.iter().any(|listed| listed == name)
    };
    let versions: Vec<_> = (PROTOCOLS.iter())
        .filter(|(name, _)| is_used(name))
        .filter_map(|(_, version)| *version)
        .collect();
    if versions.is_empty() {
        let key = if include.is_empty() {
            "exclude-protocols"
        } else {
            "include-protocols"
        };
        let text = "no protocol is left; this program has TLSv1.2 and TLSv1.3, because older ones are not safe";
        return Err(BuildError::at(key, text));
    }
    Ok(versions)
}

fn suites(include: &[String], exclude: &[String]) -> Result<Vec<SupportedCipherSuite>, BuildError> {
    let all = aws_lc_rs::ALL_CIPHER_SUITES;
    let is_used = |suite: &SupportedCipherSuite| {
        let name = java_name(suite);
        let included = include.is_empty() || include.contains(&name);
        included && !exclude.contains(&name)
    };
    let suites: Vec<_> = all.iter().copied().filter(is_used).collect();
    if suites.is_empty() {
        let key = if include.is_empty() {
            "exclude-cipher-suites"
        } else {
            "include-cipher-suites"
        };
        let known: Vec<_> = all.iter().map(java_name).collect();
        let text = format!(
            "no cipher suite is left; this program has {}",
            known.join(" ")
        );
        return Err(BuildError::at(key, text));
    }
    Ok(suites)
}

/// Java's names are IANA's; rustls marks those of TLS 1.3.
fn java_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}
