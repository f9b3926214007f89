//! `TEXT`: the body and nothing else.

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
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(&event.body);
        if self.0.append_newline {
            out.push(b'\n');
        }
    }
}
