//! TLS with Flume's properties: which key store, which protocols, which cipher suites.
//!
//! A property that is not set falls back to the `javax.net.ssl.*` and `flume.ssl.*` system properties of the agent,
//! which the `FLUME_SSL_*` variables of its environment set as well. The libraries behind are rustls and aws-lc; what
//! they leave out on purpose (SSLv3, TLSv1, TLSv1.1, suites without forward secrecy) is an error of the configuration
//! only where nothing else is left.

mod policy;
mod stores;
mod verifier;

use std::{io, path::PathBuf, sync::Arc};

use flume_core::{
    BuildError, Config, Context,
    config::{Scalar, Secret},
};
use flume_keystore::KeyStoreError;
use rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use policy::{TlsPolicy, TlsPolicyConfig};

/// TLS for everything that listens. Flatten it into a component's properties.
#[derive(Clone, Config)]
pub struct TlsServerConfig {
    /// Whether clients have to use TLS.
    #[prop("ssl", default = false)]
    ssl: bool,
    /// Key store with the private key and its certificates; unset: `javax.net.ssl.keyStore`.
    #[prop("keystore")]
    keystore: Option<PathBuf>,
    /// Password of the key store and of the key; unset: `javax.net.ssl.keyStorePassword`.
    #[prop("keystore-password")]
    keystore_password: Option<Secret>,
    /// `JKS`, `JCEKS`, `PKCS12` or `PEM`; the file itself tells which it is. Unset: `javax.net.ssl.keyStoreType`.
    #[prop("keystore-type")]
    keystore_type: Option<StoreType>,
    #[prop(flatten)]
    policy: TlsPolicyConfig,
}

/// TLS for everything that connects. Flatten it into a component's properties.
#[derive(Clone, Config)]
pub struct TlsClientConfig {
    /// Whether to use TLS.
    #[prop("ssl", default = false)]
    ssl: bool,
    /// Key store with the certificates to trust; unset: `javax.net.ssl.trustStore`, else those of the system.
    #[prop("truststore")]
    truststore: Option<PathBuf>,
    /// Password of the trust store; unset: `javax.net.ssl.trustStorePassword`.
    #[prop("truststore-password")]
    truststore_password: Option<Secret>,
    /// `JKS`, `JCEKS`, `PKCS12` or `PEM`; the file itself tells which it is. Unset: `javax.net.ssl.trustStoreType`.
    #[prop("truststore-type")]
    truststore_type: Option<StoreType>,
    /// Whether any certificate of a server is accepted. Then nobody knows who the server is.
    #[prop("trust-all-certs", default = false)]
    trust_all_certs: bool,
    /// Whether the certificate has to be for the host that was dialled. Flume never looks. Not a property of Flume.
    #[prop("verify-hostname", default = false)]
    verify_hostname: bool,
    #[prop(flatten)]
    policy: TlsPolicyConfig,
}

/// What a listener offers TLS with. Cheap to clone.
#[derive(Clone)]
pub struct TlsServerSettings {
    keystore: PathBuf,
    password: Secret,
    policy: Arc<TlsPolicy>,
    /// Offered by ALPN; empty: none is.
    protocols: Vec<Vec<u8>>,
}

/// What a client speaks TLS with. Cheap to clone.
#[derive(Clone)]
pub struct TlsClientSettings {
    trust: Trust,
    verify_hostname: bool,
    policy: Arc<TlsPolicy>,
}

/// Which certificates a client trusts.
#[derive(Clone)]
enum Trust {
    All,
    System,
    Store {
        path: PathBuf,
        password: Option<Secret>,
    },
}

/// A format of key stores. The file tells its own, so this is checked and not used.
#[derive(Clone, Copy, Debug)]
struct StoreType;

impl Scalar for StoreType {
    const TYPE: &'static str = "key store type";

    fn parse(text: &str) -> Result<Self, String> {
        let known = ["JKS", "JCEKS", "PKCS12", "PEM"];
        if known.iter().any(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(StoreType);
        }
        Err("one of `JKS`, `JCEKS`, `PKCS12`, `PEM`".into())
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("failed to read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key store could not be opened.
    #[error("failed to open the key store {path}")]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyStoreError,
    },
    /// The key store holds what TLS cannot use.
    #[error("failed to use {path}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is nothing to trust.
    #[error("{0} has no certificate to trust")]
    NothingTrusted(PathBuf),
    /// The protocols and cipher suites do not go together.
    #[error("failed to configure TLS")]
    Policy(#[source] rustls::Error),
}

impl TlsServerConfig {
    /// TLS, if it is on. Looks at no file.
    ///
    /// # Errors
    /// When something is missing, or asks for what TLS here does not have.
    pub fn build(&self, cx: &Context) -> Result<Option<TlsServerSettings>, BuildError> {
        if !self.ssl {
            return Ok(None);
        }
        let global = |key: &str| cx.agent.system_properties.get(key);
        let keystore = self
            .keystore
            .clone()
            .or_else(|| global("javax.net.ssl.keyStore").map(PathBuf::from));
        let keystore = keystore.ok_or_else(|| {
            let text = "required with ssl = true; set it here, by -Djavax.net.ssl.keyStore or by FLUME_SSL_KEYSTORE_PATH";
            BuildError::at("keystore", text)
        })?;
        let password = self.keystore_password.clone().or_else(|| {
            global("javax.net.ssl.keyStorePassword")
                .cloned()
                .map(Secret)
        });
        let password = password.ok_or_else(|| {
            let text = "required with ssl = true; set it here, by -Djavax.net.ssl.keyStorePassword or by FLUME_SSL_KEYSTORE_PASSWORD";
            BuildError::at("keystore-password", text)
        })?;
        check_type(
            self.keystore_type,
            "keystore-type",
            global("javax.net.ssl.keyStoreType"),
        )?;
        Ok(Some(TlsServerSettings {
            keystore,
            password,
            policy: Arc::new(self.policy.build(cx)?),
            protocols: vec![],
        }))
    }
}

impl TlsClientConfig {
    /// TLS, if it is on. Looks at no file.
    ///
    /// # Errors
    /// When the properties ask for what TLS here does not have.
    pub fn build(&self, cx: &Context) -> Result<Option<TlsClientSettings>, BuildError> {
        if !self.ssl {
            return Ok(None);
        }
        let global = |key: &str| cx.agent.system_properties.get(key);
        let truststore = self
            .truststore
            .clone()
            .or_else(|| global("javax.net.ssl.trustStore").map(PathBuf::from));
        let password = self.truststore_password.clone().or_else(|| {
            global("javax.net.ssl.trustStorePassword")
                .cloned()
                .map(Secret)
        });
        check_type(
            self.truststore_type,
            "truststore-type",
            global("javax.net.ssl.trustStoreType"),
        )?;
        let trust = match truststore {
            _ if self.trust_all_certs => Trust::All,
            Some(path) => Trust::Store { path, password },
            None => Trust::System,
        };
        Ok(Some(TlsClientSettings {
            trust,
            verify_hostname: self.verify_hostname,
            policy: Arc::new(self.policy.build(cx)?),
        }))
    }
}

/// The global type counts where the component has none.
fn check_type(
    own: Option<StoreType>,
    key: &str,
    global: Option<&String>,
) -> Result<(), BuildError> {
    match (own, global) {
        (None, Some(global)) => StoreType::parse(global).map(drop).map_err(|expected| {
            BuildError::at(
                key,
                format!("the global type is `{global}`; expected {expected}"),
            )
        }),
        _ => Ok(()),
    }
}

impl TlsServerSettings {
    /// Offers HTTP/2 beside HTTP/1.1.
    pub fn offer_http2(&mut self) {
        self.protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }

    /// Reads the key store.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let store = stores::read(&self.keystore, Some(&self.password))?;
        let identity = store
            .identity(&self.password.0)
            .map_err(|source| TlsError::Store {
                path: self.keystore.clone(),
                source,
            })?;
        let config = ServerConfig::builder_with_provider(self.policy.provider())
            .with_protocol_versions(&self.policy.versions)
            .map_err(TlsError::Policy)?
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key);
        let mut config = config.map_err(|source| TlsError::Unusable {
            path: self.keystore.clone(),
            source,
        })?;
        config.alpn_protocols = self.protocols.clone();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl TlsClientSettings {
    /// TLS with the certificates that the system trusts, and with the host's name verified: for URLs.
    pub fn of_system() -> Self {
        TlsClientSettings {
            trust: Trust::System,
            verify_hostname: true,
            policy: Arc::new(TlsPolicy::default()),
        }
    }

    /// Reads the trust store.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn connector(&self) -> Result<TlsConnector, TlsError> {
        let provider = self.policy.provider();
        let verifier = match &self.trust {
            Trust::All => verifier::ServerVerifier::trusting_all(&provider),
            Trust::System => {
                verifier::ServerVerifier::new(stores::of_system()?, self.verify_hostname, &provider)
            }
            Trust::Store { path, password } => {
                let trusted = stores::trusted(path, password.as_ref())?;
                verifier::ServerVerifier::new(trusted, self.verify_hostname, &provider)
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.policy.versions)
            .map_err(TlsError::Policy)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

#[cfg(test)]
mod tests;
