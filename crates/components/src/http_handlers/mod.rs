//! Handlers of the `http` source. To add one: write its file, then add its two lines here.

mod blob;
mod json;
mod morphline_blob;

use flume_core::{HttpHandler, Registration};

/// Every handler in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const HTTP_HANDLERS: &[Registration<dyn HttpHandler>] = &[
    Registration::http_handler::<json::JsonHandler>("", "org.apache.flume.source.http.JSONHandler"),
    Registration::http_handler::<blob::BlobHandler>("", "org.apache.flume.source.http.BLOBHandler"),
    Registration::http_handler::<morphline_blob::MorphlineBlobHandler>("", "org.apache.flume.sink.solr.morphline.BlobHandler"),
];
