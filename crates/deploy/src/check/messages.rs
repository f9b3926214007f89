//! Messages of ClientNamenodeProtocol.proto that the check sends and reads, with the fields it uses.

use prost::Message;

/// `GetListingRequestProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetListing {
    #[prost(string, required, tag = "1")]
    pub(super) path: String,
    /// Entries after this one; empty: from the first.
    #[prost(bytes = "vec", required, tag = "2")]
    pub(super) after: Vec<u8>,
    /// Whether the places of blocks are wanted.
    #[prost(bool, required, tag = "3")]
    pub(super) locations: bool,
}

/// `GetListingResponseProto`; nothing is in it when there is no such directory.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Listing {
    #[prost(message, optional, tag = "1")]
    pub(super) listing: Option<Entries>,
}

/// `DirectoryListingProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
}

/// `HdfsFileStatusProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    /// The name within the directory.
    #[prost(bytes = "vec", required, tag = "2")]
    pub(super) name: Vec<u8>,
    #[prost(string, required, tag = "5")]
    pub(super) owner: String,
}

/// `DeleteRequestProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Delete {
    #[prost(string, required, tag = "1")]
    pub(super) path: String,
    #[prost(bool, required, tag = "2")]
    pub(super) recursive: bool,
}

/// `SetOwnerRequestProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetOwner {
    #[prost(string, required, tag = "1")]
    pub(super) path: String,
    #[prost(string, optional, tag = "3")]
    pub(super) group: Option<String>,
}

/// `DeleteResponseProto`, and answers that say nothing.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Done {
    /// Whether something was there.
    #[prost(bool, optional, tag = "1")]
    pub(super) result: Option<bool>,
}
