//! Who this process is towards Kerberos: logins by keytab, the tickets that follow, and why a login fails.
//!
//! [`gss`] is the border to the C library; nothing else in the workspace holds `unsafe` code. [`Identity`] is what a
//! component is configured with. Before the first event each identity is looked at where mistakes are cheapest to
//! explain: the keytab on disk ([`keytab`], [`check`]), then a login at the KDC ([`login`]). [`KerberosSession`] keeps
//! the result fresh and visible. Equal identities share what is made for them.
//!
//! [`sasl`] has the mechanism GSSAPI, which protocols put into messages of their own. What a service demands of a client
//! (quality of protection, its own principal) does not belong here: that is the protocol's business, as Hadoop's RPC has
//! it in the crate `hadoop`.

pub mod check;
pub mod gss;
mod identity;
pub mod keytab;
pub mod login;
mod principal;
pub mod sasl;
mod session;

pub use flume_host::names::user_name;
pub use flume_host::{
    limited::{Stuck, on_thread},
    names::canonical_host_name,
};
pub use identity::{Identity, IdentityError, IdentityMisfit, IdentityProblem, Login};
pub use keytab::Keytab;
pub use login::{Ticket, shown};
pub use principal::{resolve_for, resolve_host};
pub use session::{KerberosSession, LOGIN_TIMEOUT, SessionTexts};

/// No components, but what the Kerberos library asks of the process.
pub static REGISTRY: flume_core::Registry = flume_core::Registry {
    exit: Some(gss::exit),
    ..flume_core::Registry::EMPTY
};
