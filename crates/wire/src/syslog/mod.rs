//! Syslog as Flume reads it: messages of RFC 3164 and RFC 5424, in two dialects, and how a stream is cut into them.
//!
//! Flume has two parsers that agree in little. [`classic`] is that of `syslogtcp` and `syslogudp`, [`strict`] that of
//! `multiport_syslogtcp`. Both are pure: bytes in, events out; the clock and the zone of this host come from outside.

pub mod classic;
mod scan;
pub mod stream;
pub mod strict;
mod time;

use flume_core::Str;
pub use time::Clock;

/// Header that says what is wrong with a message.
pub const STATUS: Str = Str::from_static("flume.syslog.status");
/// Its value for a message without a good priority.
pub const INVALID: Str = Str::from_static("Invalid");
/// Its value for a message that was cut.
pub const INCOMPLETE: Str = Str::from_static("Incomplete");

/// Which fields of a message stay in front of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptFields {
    /// The message stays as it came.
    pub all: bool,
    /// `<13>`
    pub priority: bool,
    /// `1 `
    pub version: bool,
    /// The time as it was written.
    pub timestamp: bool,
    /// The name of the host.
    pub hostname: bool,
}

impl KeptFields {
    /// Reads Flume's property `keepFields`: `none`, `all`, their old spellings `false` and `true`, or names of fields
    /// with anything in between.
    pub fn parse(text: &str) -> Self {
        let text = text.to_lowercase();
        let is_all = text == "all" || text == "true";
        KeptFields {
            all: is_all,
            priority: is_all || text.contains("priority"),
            version: is_all || text.contains("version"),
            timestamp: is_all || text.contains("timestamp"),
            hostname: is_all || text.contains("hostname"),
        }
    }

    /// Whether anything stays.
    fn any(self) -> bool {
        self != KeptFields::default()
    }
}

/// A small number as the text of a header, without an allocation for the usual ones.
fn number(value: u32) -> Str {
    const SMALL: [&str; 24] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23",
    ];
    match SMALL.get(value as usize) {
        Some(text) => Str::from_static(text),
        None => value.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
