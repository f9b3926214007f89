//! Whom a client trusts, and who it is: key stores and logins of Java, for librdkafka.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flume_core::AgentInfo;
use flume_java::jaas::{self, LoginModule};
use flume_kerberos::Login;
use flume_keystore::{KeyStore, KeyStoreError};
use rdkafka::ClientConfig;

/// No key store and no file of JAAS is longer; a mistaken path may lead to anything.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Properties of Java's TLS that apply where a client has none of its own.
const GLOBAL: &[(&str, &str)] = &[
    ("ssl.keystore.location", "javax.net.ssl.keyStore"),
    ("ssl.keystore.password", "javax.net.ssl.keyStorePassword"),
    ("ssl.truststore.location", "javax.net.ssl.trustStore"),
    (
        "ssl.truststore.password",
        "javax.net.ssl.trustStorePassword",
    ),
];

/// The property of Java that names a file of JAAS.
const JAAS_FILE: &str = "java.security.auth.login.config";
/// The entry in it.
const JAAS_ENTRY: &str = "KafkaClient";

/// Why a client cannot be secured as it is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error("failed to read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("failed to open the key store {place}")]
    Store {
        place: String,
        #[source]
        cause: KeyStoreError,
    },
    #[error("{key}: {text}")]
    Wrong { key: &'static str, text: String },
    #[error(transparent)]
    Login(#[from] flume_kerberos::IdentityError),
}

fn wrong(key: &'static str, text: impl Into<String>) -> SecurityError {
    SecurityError::Wrong {
        key,
        text: text.into(),
    }
}

/// What the properties of a client say of security.
pub(super) struct Security<'a> {
    /// As they are written.
    ours: &'a BTreeMap<String, String>,
    /// `sasl.mechanism`.
    mechanism: &'a str,
    agent: &'a AgentInfo,
    sasl: bool,
    tls: bool,
}

impl<'a> Security<'a> {
    pub(super) fn new(
        ours: &'a BTreeMap<String, String>,
        mechanism: Option<&'a str>,
        agent: &'a AgentInfo,
    ) -> Result<Self, SecurityError> {
        let protocol = ours
            .get("security.protocol")
            .map_or("PLAINTEXT", String::as_str);
        let (sasl, tls) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (false, true),
            "SASL_PLAINTEXT" => (true, false),
            "SASL_SSL" => (true, true),
            _ => {
                let text = format!(
                    "expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, found `{protocol}`"
                );
                return Err(wrong("security.protocol", text));
            }
        };
        Ok(Security {
            ours,
            mechanism: mechanism.unwrap_or("GSSAPI"),
            agent,
            sasl,
            tls,
        })
    }

    /// Reads the files and sets what librdkafka needs.
    pub(super) fn apply(&self, config: &mut ClientConfig) -> Result<(), SecurityError> {
        let protocol = match (self.sasl, self.tls) {
            (false, false) => "PLAINTEXT",
            (false, true) => "SSL",
            (true, false) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        };
        config.set("security.protocol", protocol);
        if self.sasl {
            // Tickets are fetched and renewed here; without this, a program is run for it.
            config.set("sasl.kerberos.min.time.before.relogin", "0");
            self.log_in(config)?;
        }
        if self.tls {
            self.trust(config)?;
            self.identify(config)?;
            let unchecked = self.own("ssl.disableTLSHostnameVerification");
            if unchecked.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                config.set("ssl.endpoint.identification.algorithm", "none");
            }
        }
        Ok(())
    }

    /// The login by a keytab, if that is how the client logs in.
    pub(super) fn keytab_login(&self) -> Result<Option<Login>, SecurityError> {
        if !self.sasl || self.mechanism != "GSSAPI" {
            return Ok(None);
        }
        let Some(module) = self
            .module()?
            .filter(|module| module.name() == "Krb5LoginModule")
        else {
            return Ok(None);
        };
        if !module
            .option("useKeyTab")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
        {
            return Ok(None);
        }
        let option = |key: &'static str| {
            let value = module.option(key).map(String::from);
            value.ok_or_else(|| {
                wrong(
                    "sasl.jaas.config",
                    format!("Krb5LoginModule has useKeyTab and no {key}"),
                )
            })
        };
        Ok(Some(Login {
            principal: flume_kerberos::resolve_host(&option("principal")?),
            keytab: option("keyTab")?.into(),
        }))
    }

    fn own(&self, key: &str) -> Option<&'a str> {
        self.ours.get(key).map(String::as_str)
    }

    /// A property of the client, else the one of Java that applies to all.
    fn get(&self, key: &str) -> Option<&'a str> {
        let global = || {
            let (_, name) = GLOBAL.iter().find(|(own, _)| *own == key)?;
            self.agent.system_properties.get(*name).map(String::as_str)
        };
        self.own(key).or_else(global)
    }

    /// `sasl.jaas.config`, else the entry of the file that `-D` names.
    fn module(&self) -> Result<Option<LoginModule>, SecurityError> {
        if let Some(text) = self.own("sasl.jaas.config") {
            let module = jaas::parse_one(text).map_err(|text| wrong("sasl.jaas.config", text))?;
            return Ok(Some(module));
        }
        let Some(path) = self.agent.system_properties.get(JAAS_FILE) else {
            return Ok(None);
        };
        let bytes = read(path)?;
        jaas::parse_entry(&String::from_utf8_lossy(&bytes), JAAS_ENTRY)
            .map_err(|text| wrong(JAAS_FILE, format!("{path}: {text}")))
    }

    fn log_in(&self, config: &mut ClientConfig) -> Result<(), SecurityError> {
        let Some(module) = self.module()? else {
            if self.mechanism == "GSSAPI" {
                // With the tickets that the agent's user has.
                return Ok(());
            }
            let text = format!(
                "{} needs a user: set it, or an entry {JAAS_ENTRY} in a file named by -D{JAAS_FILE}",
                self.mechanism
            );
            return Err(wrong("sasl.jaas.config", text));
        };
        let option = |key: &'static str| {
            let missing = || {
                wrong(
                    "sasl.jaas.config",
                    format!("{} has no {key}", module.name()),
                )
            };
            module.option(key).ok_or_else(missing)
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
                let known = "PlainLoginModule, ScramLoginModule and Krb5LoginModule";
                return Err(wrong(
                    "sasl.jaas.config",
                    format!("`{other}` is not known; there are {known}"),
                ));
            }
        }
        Ok(())
    }

    /// The certificates of the trust store; without one, those that the system trusts.
    fn trust(&self, config: &mut ClientConfig) -> Result<(), SecurityError> {
        let inline = self.own("ssl.truststore.certificates");
        let location = self.get("ssl.truststore.location");
        let Some(store) = open(inline, location, self.get("ssl.truststore.password"))? else {
            return Ok(());
        };
        let certificates: Vec<_> = store
            .trusted()
            .map(|certificate| pem("CERTIFICATE", certificate.as_ref()))
            .collect();
        if certificates.is_empty() {
            return Err(wrong(
                "ssl.truststore.location",
                "there is no trusted certificate in it",
            ));
        }
        config.set("ssl.ca.pem", certificates.concat());
        Ok(())
    }

    /// The private key and its certificates, for brokers that ask who the client is.
    fn identify(&self, config: &mut ClientConfig) -> Result<(), SecurityError> {
        let inline = match (
            self.own("ssl.keystore.key"),
            self.own("ssl.keystore.certificate.chain"),
        ) {
            (Some(key), Some(chain)) => Some(format!("{key}\n{chain}\n")),
            _ => None,
        };
        let location = self.get("ssl.keystore.location");
        let password = self.get("ssl.keystore.password");
        let Some(store) = open(inline.as_deref(), location, password)? else {
            return Ok(());
        };
        let password = self
            .own("ssl.key.password")
            .or(password)
            .unwrap_or_default();
        let place = location.unwrap_or("ssl.keystore.key").to_string();
        let identity = store
            .identity(password)
            .map_err(|cause| SecurityError::Store { place, cause })?;
        let chain: Vec<_> = identity
            .chain
            .iter()
            .map(|certificate| pem("CERTIFICATE", certificate.as_ref()))
            .collect();
        config.set("ssl.certificate.pem", chain.concat());
        let kind = match identity.key {
            flume_keystore::PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            flume_keystore::PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        config.set("ssl.key.pem", pem(kind, identity.key.secret_der()));
        Ok(())
    }
}

/// A key store from a text or a file.
fn open(
    inline: Option<&str>,
    location: Option<&str>,
    password: Option<&str>,
) -> Result<Option<KeyStore>, SecurityError> {
    let (bytes, place) = match (inline, location) {
        (Some(text), _) => (text.as_bytes().to_vec(), "in the configuration".to_string()),
        (None, Some(path)) => (read(path)?, path.to_string()),
        (None, None) => return Ok(None),
    };
    KeyStore::read(&bytes, password)
        .map(Some)
        .map_err(|cause| SecurityError::Store { place, cause })
}

fn read(path: &str) -> Result<Vec<u8>, SecurityError> {
    read_file(Path::new(path)).map_err(|cause| SecurityError::File {
        path: path.into(),
        cause,
    })
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe without a writer would never return.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = vec![];
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// RFC 7468.
fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {kind}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {kind}-----\n"));
    out
}
