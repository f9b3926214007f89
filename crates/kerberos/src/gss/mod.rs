//! Kerberos through GSSAPI (RFC 2743, 2744, 4121): credentials from a keytab, and security contexts of both sides.
//!
//! MIT's `libgssapi_krb5` is loaded when it is first needed; without it every call here is a [`GssError`], and nothing
//! else. Calls that ask a KDC block for as long as `krb5.conf` allows, which may be minutes: make them on a thread that
//! may be left behind.

#[expect(
    unsafe_code,
    reason = "the border to the C library; each block says why it holds"
)]
mod api;

use std::{fmt, io::Write, path::Path};

use api::Api;

/// Bits of [`GssContext::initiate`]: what the context must offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GssFlags {
    /// Messages are checked: integrity.
    pub integrity: bool,
    /// Messages can be encrypted: confidentiality.
    pub confidentiality: bool,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GssError {
    /// The status of GSSAPI; 0 if the library itself is missing.
    pub major: u32,
    /// The status of Kerberos, as `krb5.h` lists them; see [`code`].
    pub minor: i32,
    /// What the library says: "Cannot contact any KDC for realm 'EXAMPLE.COM'".
    pub text: String,
}

impl fmt::Display for GssError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for GssError {}

impl GssError {
    /// Whether the credential, fresh or not, is past its time.
    pub fn is_expired(&self) -> bool {
        const CREDENTIALS_EXPIRED: u32 = 11 << 16;
        self.major == CREDENTIALS_EXPIRED
    }
}

/// Statuses of Kerberos that callers tell apart.
pub mod code {
    const BASE: i32 = -1_765_328_384;

    /// The KDC does not know the client.
    pub const CLIENT_UNKNOWN: i32 = BASE + 6;
    /// The KDC does not know the service.
    pub const SERVICE_UNKNOWN: i32 = BASE + 7;
    /// The KDC has no key of a type that both sides accept.
    pub const ENCTYPE_UNSUPPORTED: i32 = BASE + 14;
    /// The client is locked or expired.
    pub const CLIENT_REVOKED: i32 = BASE + 18;
    /// The client's key has expired.
    pub const KEY_EXPIRED: i32 = BASE + 23;
    /// The key is wrong, says the KDC.
    pub const PREAUTH_FAILED: i32 = BASE + 24;
    /// The key is wrong, says the answer that it does not decrypt.
    pub const BAD_INTEGRITY: i32 = BASE + 31;
    /// The clocks differ too much, says the other side.
    pub const SKEW: i32 = BASE + 37;
    /// The realm has no KDC in `krb5.conf` or DNS.
    pub const REALM_UNKNOWN: i32 = BASE + 154;
    /// No KDC of the realm answers.
    pub const KDC_UNREACHABLE: i32 = BASE + 156;
    /// The clocks differ too much, says the KDC's answer.
    pub const REPLY_SKEW: i32 = BASE + 148;
    /// `krb5.conf` cannot be opened.
    pub const CONFIG_CANNOT_OPEN: i32 = BASE + 135;
    /// `krb5.conf` cannot be parsed.
    pub const CONFIG_BAD_FORMAT: i32 = BASE + 136;
    /// The keytab has no fitting key.
    pub const KEYTAB_NOT_FOUND: i32 = BASE + 181;
}

/// Who this process is towards services.
pub struct GssCredential(api::OwnedCredential);

impl GssCredential {
    /// Logs `principal` in by a keytab. Its tickets are this value's alone, and are forgotten with it.
    ///
    /// # Errors
    /// Without the library, the principal in the keytab, or a KDC that accepts it.
    pub fn from_keytab(principal: &str, keytab: &Path) -> Result<GssCredential, GssError> {
        Api::get()?
            .log_in(principal, text_of(keytab)?)
            .map(GssCredential)
    }

    /// Logs `principal` in by a keytab, with tickets in the default cache of the process, where libraries look that log
    /// in by themselves. Tickets that are there and less than half used are kept.
    ///
    /// # Errors
    /// As [`from_keytab`](Self::from_keytab), and with a cache that is another principal's and cannot hold two.
    pub fn from_keytab_for_process(
        principal: &str,
        keytab: &Path,
    ) -> Result<GssCredential, GssError> {
        Api::get()?
            .log_in_for_process(principal, text_of(keytab)?)
            .map(GssCredential)
    }

    /// The keys by which the service `principal` knows its clients. Asks no KDC.
    ///
    /// # Errors
    /// Without the library, or the principal in the keytab.
    pub fn of_service(principal: &str, keytab: &Path) -> Result<GssCredential, GssError> {
        Api::get()?
            .serve(principal, text_of(keytab)?)
            .map(GssCredential)
    }

    /// The tickets that this process' user already has.
    ///
    /// # Errors
    /// Without any.
    pub fn of_user() -> Result<GssCredential, GssError> {
        Api::get()?.of_user().map(GssCredential)
    }

    /// Its principal.
    ///
    /// # Errors
    /// With tickets that are gone.
    pub fn principal(&self) -> Result<String, GssError> {
        Ok(self.0.inquire()?.0)
    }

    /// Seconds until its ticket expires.
    ///
    /// # Errors
    /// With tickets that are gone.
    pub fn lifetime_seconds(&self) -> Result<u32, GssError> {
        Ok(self.0.inquire()?.1)
    }
}

fn text_of(path: &Path) -> Result<&str, GssError> {
    path.to_str().ok_or_else(|| GssError {
        major: 0,
        minor: 0,
        text: format!("the path {} is not UTF-8", path.display()),
    })
}

/// Ends the process without the exit handlers of C libraries. Those of Kerberos' take away what a thread that still
/// asks a KDC needs, and abort the process when they notice.
pub fn exit(code: u8) -> ! {
    // What Rust itself would do at the end.
    let _ = std::io::stdout().flush();
    api::_exit(code.into())
}

/// Whom a context is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GssService {
    /// A principal as the KDC knows it: `nn/host@REALM`.
    Principal(String),
    /// A service on a host, whose realm `krb5.conf` knows: `nn@host`.
    OnHost(String),
}

/// A security context of a client and a service.
pub struct GssContext(api::OwnedContext);

/// One step of setting a context up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GssStep {
    /// What to send to the other side; may be empty.
    pub token: Vec<u8>,
    /// Whether the context is ready.
    pub ready: bool,
}

impl GssContext {
    /// A context that is not set up yet. Both sides prove who they are.
    ///
    /// # Errors
    /// A name that is none.
    pub fn initiate(
        credential: GssCredential,
        service: &GssService,
        flags: GssFlags,
    ) -> Result<GssContext, GssError> {
        let (name, principal) = match service {
            GssService::Principal(name) => (name, true),
            GssService::OnHost(name) => (name, false),
        };
        credential
            .0
            .initiate(name, principal, flags)
            .map(GssContext)
    }

    /// The side of a service, whose keys `credential` has. It waits for a client's token.
    pub fn accept(credential: GssCredential) -> GssContext {
        GssContext(credential.0.accept())
    }

    /// Takes what the other side sent. A client begins with nothing, and its first step asks a KDC for a ticket.
    ///
    /// # Errors
    /// What the KDC or the other side refused, and tokens that are none.
    pub fn step(&mut self, token: &[u8]) -> Result<GssStep, GssError> {
        self.0.step(token)
    }

    /// The principal of the client.
    ///
    /// # Errors
    /// Before the context is ready.
    pub fn initiator(&self) -> Result<String, GssError> {
        self.0.initiator()
    }

    /// Seals a message; encrypts it if so wanted.
    ///
    /// # Errors
    /// Before the context is ready, and after it expired.
    pub fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError> {
        self.0.wrap(message, encrypt)
    }

    /// Opens a message, and says whether it was encrypted.
    ///
    /// # Errors
    /// A message that is not from the other side.
    pub fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
        self.0.unwrap(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works with and without the library: it is an error of its own either way.
    #[test]
    fn a_missing_keytab_is_an_error() {
        let none = Path::new("/nowhere/x.keytab");
        let error = GssCredential::from_keytab("flume/host@NOWHERE.TEST", none)
            .err()
            .unwrap();
        assert!(!error.text.is_empty());
        assert!(GssCredential::from_keytab("a\0b", none).is_err());
        assert!(GssCredential::from_keytab("", none).is_err());
        assert!(GssCredential::of_service("flume/host@NOWHERE.TEST", none).is_err());
    }
}
