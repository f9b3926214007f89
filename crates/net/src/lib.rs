//! What every component needs that talks over a network: listening, dialling, TLS and HTTP.
//!
//! This crate belongs to the ground floor. Limits on what strangers may do (connections, bytes, time) live here, once.
//! What does not belong here: what the bytes mean. A protocol is a format in `wire` and a component that speaks it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`Listener`] | accepts connections: limit, address filter, TLS, an orderly end |
//! | [`ListenerConfig`] | the properties of everything that listens; flatten it into a component's own |
//! | [`Dialer`], [`DialerConfig`] | the same for everything that connects |
//! | [`Connection`] | one connection, with or without TLS |
//! | [`intake`] | from a connection into the channels: reads on while the last put is being stored |
//! | [`http`] | an HTTP server with its limits |
//! | [`http_client`] | asks a server over HTTP |
//! | [`tls`] | Flume's TLS properties, key stores, protocols and cipher suites |
//! | [`address`] | names and addresses as Java sees them |

pub mod address;
mod complaints;
mod connection;
mod dialer;
mod filter;
pub mod http;
pub mod http_client;
pub mod intake;
mod listener;
mod pace;
pub mod tls;

pub use complaints::Complaints;
pub use connection::Connection;
pub use dialer::{Dialer, DialerConfig};
pub use filter::AddressFilter;
pub use listener::{ListenError, Listener, ListenerConfig, ListenerSettings, bind_udp};
