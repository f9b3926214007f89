//! Whom a client trusts, and who it is: TLS stores and JAAS logins of Java, for librdkafka.

use std::collections::BTreeMap;

use flume_core::AgentInfo;
use rdkafka::ClientConfig;

use super::jaas::{self, LoginModule};

/// Why a client cannot be secured as it is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error("{key}: {text}")]
    Wrong { key: &'static str, text: String },
}

fn wrong(key: &'static str, text: impl Into<String>) -> SecurityError {
    SecurityError::Wrong {
        key,
        text: text.into(),
    }
}

/// Sets what `ours`, the properties as they are written, says of security.
pub(super) fn apply(
    ours: &BTreeMap<String, String>,
    _agent: &AgentInfo,
    config: &mut ClientConfig,
) -> Result<(), SecurityError> {
    let get = |key: &str| ours.get(key).map(String::as_str);
    let protocol = get("security.protocol")
        .unwrap_or("PLAINTEXT")
        .to_ascii_uppercase();
    let (sasl, tls) = match protocol.as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (false, true),
        "SASL_PLAINTEXT" => (true, false),
        "SASL_SSL" => (true, true),
        _ => {
            let text =
                format!("expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, found `{protocol}`");
            return Err(wrong("security.protocol", text));
        }
    };
    config.set("security.protocol", &protocol);
    if sasl {
        let module = match get("sasl.jaas.config") {
            Some(text) => {
                Some(jaas::parse_one(text).map_err(|text| wrong("sasl.jaas.config", text))?)
            }
            None => None,
        };
        if let Some(module) = module {
            log_in(&module, config)?;
        }
    }
    if tls {
        let unchecked = get("ssl.disableTLSHostnameVerification")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if unchecked {
            config.set("ssl.endpoint.identification.algorithm", "none");
        }
    }
    Ok(())
}

fn log_in(module: &LoginModule, config: &mut ClientConfig) -> Result<(), SecurityError> {
    let option = |key: &'static str| {
        module.option(key).ok_or_else(|| {
            wrong(
                "sasl.jaas.config",
                format!("{} has no {key}", module.name()),
            )
        })
    };
    match module.name() {
        "PlainLoginModule" | "ScramLoginModule" => {
            config.set("sasl.username", option("username")?);
            config.set("sasl.password", option("password")?);
        }
        "Krb5LoginModule" => {
            if let Some(service) = module.option("serviceName") {
                config.set("sasl.kerberos.service.name", service);
            }
        }
        other => {
            let text = format!(
                "`{other}` is not known; there are PlainLoginModule, ScramLoginModule, Krb5LoginModule"
            );
            return Err(wrong("sasl.jaas.config", text));
        }
    }
    Ok(())
}
