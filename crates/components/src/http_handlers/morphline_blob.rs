//! `BlobHandler` of Flume's morphlines: the beginning of a request's body is an event.

use std::num::NonZeroUsize;

use flume_core::{
    BuildError, Component, Config, Context, Event, HandlerError, HttpHandler, HttpMessage,
};

use super::blob::parameters;

/// Makes one event of a request: its body, and a header for each parameter of the URL and for the content type.
#[derive(Clone, Config)]
pub(crate) struct MorphlineBlobConfig {
    /// Most bytes of an event; the rest of a longer body is dropped, as in Flume.
    #[prop("maxBlobLength", default = 100000000)]
    max_blob_length: NonZeroUsize,
}

pub(crate) struct MorphlineBlobHandler {
    max_bytes: usize,
}

impl Component for MorphlineBlobHandler {
    type Config = MorphlineBlobConfig;
    fn build(config: MorphlineBlobConfig, _: &Context) -> Result<Self, BuildError> {
        let max_bytes = config.max_blob_length.get();
        Ok(MorphlineBlobHandler { max_bytes })
    }
}

impl HttpHandler for MorphlineBlobHandler {
    fn events(&self, request: &HttpMessage<'_>) -> Result<Vec<Event>, HandlerError> {
        let mut headers = parameters(request.query);
        let name = "Content-Type";
        if let Some(value) = request.content_type.filter(|_| headers.get(name).is_none()) {
            headers.set(name.into(), value.into());
        }
        let body = request.body.slice(..request.body.len().min(self.max_bytes));
        Ok(vec![Event { headers, body }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(max_bytes: usize, expected: &'static str) {
        let handler = MorphlineBlobHandler { max_bytes };
        let body = bytes::Bytes::from_static(b"0123456789");
        let request = HttpMessage {
            content_type: Some("text/plain"),
            query: "x=1",
            body: &body,
        };
        let events = handler.events(&request).expect("an event");
        assert_eq!(
            (events.len(), &events[0].body[..]),
            (1, expected.as_bytes())
        );
        let header = |name: &str| events[0].headers.get(name).map(|value| value.to_string());
        assert_eq!(header("Content-Type").as_deref(), Some("text/plain"));
        assert_eq!(header("x").as_deref(), Some("1"));
    }

    #[test]
    fn a_long_body_is_cut() {
        check(3, "012");
        check(10, "0123456789");
        check(100, "0123456789");
    }
}
