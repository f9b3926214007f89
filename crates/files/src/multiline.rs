//! Lines that belong together: a stack trace, a pretty-printed document.

use bytes::{Bytes, BytesMut};
use flume_core::Config;
use flume_java::regex::JavaRegex;

/// Which lines are one event.
#[derive(Clone, Config)]
pub(crate) struct MultilineConfig {
    /// A regular expression in Java's dialect. A line in which it matches begins an event; the lines after it belong to
    /// that event.
    #[prop("multiline.startPattern")]
    start_pattern: Option<JavaRegex>,
    /// A regular expression in Java's dialect. A line in which it matches is the last of its event.
    #[prop("multiline.endPattern")]
    end_pattern: Option<JavaRegex>,
    /// Most lines of an event.
    #[prop("multiline.maxLines", default = 500)]
    max_lines: usize,
}

/// Joins lines, with line feeds between them.
pub(crate) struct LineJoiner {
    config: MultilineConfig,
    joined: BytesMut,
    lines: usize,
    /// No line can be added.
    complete: bool,
    /// Where in the file the last of the lines ends.
    offset: u64,
}

/// Lines that are an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JoinedLines {
    pub(crate) text: Bytes,
    /// Where in the file they end.
    pub(crate) offset: u64,
}

impl LineJoiner {
    pub(crate) fn new(config: MultilineConfig) -> Self {
        LineJoiner {
            config,
            joined: BytesMut::new(),
            lines: 0,
            complete: false,
            offset: 0,
        }
    }

    /// Whether there is anything to join: otherwise each line is an event.
    pub(crate) fn is_on(&self) -> bool {
        self.config.start_pattern.is_some() || self.config.end_pattern.is_some()
    }

    /// Takes in a line that ends at `offset`; returns what is complete with it.
    pub(crate) fn push(&mut self, text: Bytes, offset: u64) -> Option<JoinedLines> {
        if !self.is_on() {
            return Some(JoinedLines { text, offset });
        }
        let matches = |pattern: &Option<JavaRegex>| {
            let text = String::from_utf8_lossy(&text);
            pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_found(&text).unwrap_or(false))
        };
        let begins = matches(&self.config.start_pattern);
        let ends = matches(&self.config.end_pattern);
        let before = if begins || self.complete {
            self.flush()
        } else {
            None
        };
        if self.lines > 0 {
            self.joined.extend_from_slice(b"\n");
        }
        self.joined.extend_from_slice(&text);
        self.lines += 1;
        self.offset = offset;
        self.complete = ends || self.lines >= self.config.max_lines;
        // When this line completes an event of its own, that one comes out with the next line.
        if self.complete && before.is_none() {
            return self.flush();
        }
        before
    }

    /// What was not complete yet.
    pub(crate) fn flush(&mut self) -> Option<JoinedLines> {
        if self.lines == 0 {
            return None;
        }
        self.lines = 0;
        self.complete = false;
        Some(JoinedLines {
            text: self.joined.split().freeze(),
            offset: self.offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use flume_core::Registry;
    use flume_testkit::parts::read;

    use super::*;

    fn check(properties: &str, lines: &str, expected: &[&str]) {
        let (config, wrong) = read::<MultilineConfig>(&Registry::EMPTY, "x", properties);
        assert!(wrong.is_empty(), "{wrong:?}");
        let mut joiner = LineJoiner::new(config.unwrap());
        let mut seen = vec![];
        for (place, line) in lines.split(' ').enumerate() {
            seen.extend(joiner.push(Bytes::copy_from_slice(line.as_bytes()), place as u64));
        }
        seen.extend(joiner.flush());
        let texts = seen
            .iter()
            .map(|lines| String::from_utf8_lossy(&lines.text).replace('\n', " "));
        assert_eq!(texts.collect::<Vec<_>>(), expected, "{properties}");
    }

    #[test]
    fn lines_are_joined_from_a_start_or_up_to_an_end() {
        check("", "a b", &["a", "b"]);
        check(
            r"multiline.startPattern = ^\d",
            "x 1 a b 2 c 3",
            &["x", "1 a b", "2 c", "3"],
        );
        check(
            "multiline.endPattern = ;$",
            "a b; c; d",
            &["a b;", "c;", "d"],
        );
        check(
            "multiline.startPattern = ^<\nmultiline.endPattern = >$",
            "< a > b <x> c < y",
            &["< a >", "b", "<x>", "c", "< y"],
        );
        check(
            "multiline.startPattern = ^1\nmultiline.maxLines = 2",
            "1 a b c",
            &["1 a", "b c"],
        );
    }
}
