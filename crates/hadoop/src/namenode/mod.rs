//! The NameNode's interface for clients, `ClientProtocol`: its messages, what its exceptions mean ([`exceptions`]), and
//! calls that outlive a lost connection, a restart and a failover ([`NameNodes`]).

pub mod exceptions;
pub mod messages;
mod service;

pub use service::NameNodes;
