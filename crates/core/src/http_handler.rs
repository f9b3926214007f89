//! From an HTTP request to events.

use bytes::Bytes;

use crate::Event;

/// Makes events of the requests that the `http` source receives. Pure: the source owns the I/O.
pub trait HttpHandler: Send + Sync {
    /// The events of a request. They are put together, so either all of them are stored or none.
    ///
    /// # Errors
    /// The request gives no events; the client is told why.
    fn events(&self, request: &HttpMessage<'_>) -> Result<Vec<Event>, HandlerError>;
}

/// What a handler sees of a request.
#[derive(Clone, Copy, Debug)]
pub struct HttpMessage<'r> {
    /// The value of `Content-Type`.
    pub content_type: Option<&'r str>,
    /// What stands behind `?` in the URL.
    pub query: &'r str,
    /// The body.
    pub body: &'r Bytes,
}

/// Why a request gives no events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The client made a mistake: status 400.
    #[error("{0}")]
    BadRequest(String),
    /// Flume's handler fails over such a request, and does not blame the client: status 500.
    #[error("{0}")]
    Failed(String),
}
