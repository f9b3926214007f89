//! How what an agent shows reads in a terminal.

use jiff::Timestamp;

/// A text for a terminal: what would move its cursor, or turn the order of letters, is shown as an escape.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whole seconds, minutes, hours or days between two moments.
pub fn ago(since: Timestamp, until: Timestamp) -> String {
    let seconds = until.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
