//! The NameNode's interface for clients, `ClientProtocol`.

pub mod messages;
