//! `TEXT` and `HEADER_AND_TEXT`: bodies as lines.

use flume_core::{BuildError, Component, Config, Context, Event, EventSerializer};

/// Writes the body of each event and drops its headers.
#[derive(Clone, Config)]
pub(super) struct TextConfig {
    /// Whether each body is followed by a newline.
    #[prop("appendNewline", default = true)]
    append_newline: bool,
}

pub(super) struct Text(TextConfig);

impl Component for Text {
    type Config = TextConfig;
    fn build(config: TextConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(Text(config))
    }
}

impl EventSerializer for Text {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&event.body);
        if self.0.append_newline {
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Writes the headers of each event as `{name=value, name=value}`, sorted by name, a space, and the body.
#[derive(Clone, Config)]
pub(super) struct HeaderAndTextConfig {
    /// Whether each event is followed by a newline.
    #[prop("appendNewline", default = true)]
    append_newline: bool,
}

pub(super) struct HeaderAndText(HeaderAndTextConfig);

impl Component for HeaderAndText {
    type Config = HeaderAndTextConfig;
    fn build(config: HeaderAndTextConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(HeaderAndText(config))
    }
}

impl EventSerializer for HeaderAndText {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'{');
        for (place, (name, value)) in event.headers.iter().enumerate() {
            if place > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"} ");
        out.extend_from_slice(&event.body);
        if self.0.append_newline {
            out.push(b'\n');
        }
        Ok(())
    }
}
