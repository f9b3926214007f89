//! `BLOBHandler`: a request is an event.

use flume_core::{
    BuildError, Component, Config, Context, Event, HandlerError, Headers, HttpHandler, HttpMessage,
    Str,
};

/// Makes one event of a request: its body, and a header for each parameter of the URL.
#[derive(Clone, Config)]
pub(crate) struct BlobConfig {
    /// Names of parameters that a request must have, separated by commas.
    #[prop("mandatoryParameters", default = "")]
    mandatory_parameters: String,
}

pub(crate) struct BlobHandler {
    mandatory: Vec<String>,
}

impl Component for BlobHandler {
    type Config = BlobConfig;
    fn build(config: BlobConfig, _: &Context) -> Result<Self, BuildError> {
        let names = config.mandatory_parameters.split(',');
        let names = names.filter(|name| !name.is_empty());
        Ok(BlobHandler {
            mandatory: names.map(String::from).collect(),
        })
    }
}

impl HttpHandler for BlobHandler {
    fn events(&self, request: &HttpMessage<'_>) -> Result<Vec<Event>, HandlerError> {
        let headers = parameters(request.query);
        for name in &self.mandatory {
            if headers.get(name).is_none() {
                let text = format!("please specify the parameter `{name}` in the request");
                return Err(HandlerError::Failed(text));
            }
        }
        let body = request.body.clone();
        Ok(vec![Event { headers, body }])
    }
}

/// The parameters of a URL as headers. Of several values of a parameter Flume takes the first.
pub(super) fn parameters(query: &str) -> Headers {
    let mut headers = Headers::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = unescaped(name);
        if headers.get(&name).is_none() {
            headers.set(Str::from(&*name), Str::from(&*unescaped(value)));
        }
    }
    headers
}

/// Text of a query as it was before it was written into a URL.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| first == b'%');
        let hex = hex.filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(code) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(code);
            rest = &behind[2..];
            continue;
        }
        bytes.push(if first == b'+' { b' ' } else { first });
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, mandatory: &str, expected: Result<&str, &str>) {
        let handler = BlobHandler {
            mandatory: mandatory.split_terminator(',').map(String::from).collect(),
        };
        let body = bytes::Bytes::from_static(b"\0\xff");
        let request = HttpMessage {
            content_type: None,
            query,
            body: &body,
        };
        let events = handler.events(&request).map_err(|error| error.to_string());
        let headers = events.map(|events| {
            assert_eq!((events.len(), &events[0].body), (1, &body));
            let pairs = events[0].headers.iter();
            let pairs: Vec<_> = pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.join(" ")
        });
        assert_eq!(
            headers.as_deref().map_err(String::as_str),
            expected,
            "{query}"
        );
    }

    #[test]
    fn parameters_become_headers() {
        check("", "", Ok(""));
        check("x=1&y=2", "x,y", Ok("x=1 y=2"));
        check("x=1&x=2&&z", "", Ok("x=1 z="));
        check("a%20b=c+d%26&%zz=%4", "", Ok("%zz=%4 a b=c d&"));
        let missing = Err("please specify the parameter `y` in the request");
        check("x=1", "x,y", missing);
    }
}
