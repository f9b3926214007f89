//! The table of lanes.

use std::path::Path;

use anyhow::Result;

use super::input::{
    LINES, http, netcat, nothing, rotate, spooled_files, syslog_tcp, syslog_tcp_dated, syslog_udp,
    tailed_file, wait_only,
};
use crate::agents::Running;

/// A source with its input.
pub(super) struct Lane {
    pub(super) name: &'static str,
    /// Properties of the source; a line that begins with `a1.` is taken as it is.
    properties: &'static str,
    /// What lies in the agent's directory before it starts.
    pub(super) prepare: fn(&Path) -> std::io::Result<()>,
    /// Sends the input; returns what the sender was answered.
    pub(super) send: fn(&mut Running) -> Result<Vec<String>>,
    /// Events that come out of the first sink.
    pub(super) events: u64,
    /// Those of a second sink, if there is one.
    pub(super) events_of_second: u64,
    pub(super) is_in_slice: bool,
}

const fn lane(
    name: &'static str,
    properties: &'static str,
    send: fn(&mut Running) -> Result<Vec<String>>,
    events: u64,
) -> Lane {
    Lane {
        name,
        properties,
        prepare: nothing,
        send,
        events,
        events_of_second: 0,
        is_in_slice: false,
    }
}

impl Lane {
    const fn with_files(self, prepare: fn(&Path) -> std::io::Result<()>) -> Lane {
        Lane { prepare, ..self }
    }

    const fn with_second(self, events_of_second: u64) -> Lane {
        Lane {
            events_of_second,
            ..self
        }
    }

    const fn in_slice(self) -> Lane {
        Lane {
            is_in_slice: true,
            ..self
        }
    }

    pub(super) fn is_netcat(&self) -> bool {
        self.properties.starts_with("type = netcat")
    }

    /// The whole `flume.conf`.
    pub(super) fn configuration(&self) -> String {
        let mut text = FLOW.to_string();
        for line in self.properties.lines().map(str::trim) {
            let prefix = if line.starts_with("a1.") {
                ""
            } else {
                "a1.sources.r1."
            };
            text += &format!("{prefix}{line}\n");
        }
        if self.events_of_second > 0 {
            text += SECOND;
        } else {
            text += "a1.channels = c1\na1.sinks = k1\na1.sources.r1.channels = c1\n";
        }
        text
    }
}

const FLOW: &str = "\
a1.sources = r1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 1000
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.serializer = HEADER_AND_TEXT
a1.sinks.k1.channel = c1
";

const SECOND: &str = "\
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.channels = c1 c2
a1.channels.c2.type = memory
a1.channels.c2.capacity = 1000
a1.sinks.k2.type = file_roll
a1.sinks.k2.sink.directory = @DIR@/files2
a1.sinks.k2.sink.rollInterval = 0
a1.sinks.k2.sink.serializer = HEADER_AND_TEXT
a1.sinks.k2.channel = c2
";

const COUNT: u64 = LINES.len() as u64;

#[rustfmt::skip]
pub(super) const LANES: &[Lane] = &[
    lane("netcat", "type = netcat\nbind = 127.0.0.1\nport = @PORT@", netcat, COUNT),
    lane("http", "type = http\nbind = 127.0.0.1\nport = @PORT@", http, 21).in_slice(),
    lane("exec", "type = exec\ncommand = cat @DIR@/logs/a.log", wait_only, COUNT).with_files(tailed_file),
    lane("spooldir", "type = spooldir\nspoolDir = @DIR@/spool\nfileHeader = true\nbasenameHeader = true", wait_only, 3 * COUNT)
        .with_files(spooled_files).in_slice(),
    lane("TAILDIR", "type = TAILDIR\nfilegroups = g\nfilegroups.g = @DIR@/logs/.*log\nheaders.g.k = v\nfileHeader = true\n\
         positionFile = @DIR@/position.json", rotate, COUNT + 3).with_files(tailed_file).in_slice(),
    lane("syslogtcp", "type = syslogtcp\nhost = 127.0.0.1\nport = @PORT@\nkeepFields = all", syslog_tcp, 7),
    lane("syslogtcp without fields", "type = syslogtcp\nhost = 127.0.0.1\nport = @PORT@", syslog_tcp, 7).in_slice(),
    lane("multiport_syslogtcp", "type = multiport_syslogtcp\nhost = 127.0.0.1\nports = @PORT@", syslog_tcp_dated, 5),
    lane("syslogudp", "type = syslogudp\nhost = 127.0.0.1\nport = @PORT@\nkeepFields = none", syslog_udp, 3),
    lane("interceptors", INTERCEPTORS, netcat, COUNT - 1),
    lane("multiplexing", MULTIPLEXING, netcat, 1).with_second(COUNT - 1).in_slice(),
];

const INTERCEPTORS: &str = "\
type = netcat
bind = 127.0.0.1
port = @PORT@
interceptors = f x s h c n
interceptors.f.type = regex_filter
interceptors.f.regex = ^drop
interceptors.f.excludeEvents = true
interceptors.x.type = regex_extractor
interceptors.x.regex = level=(\\\\w+) code=(\\\\d+|x)
interceptors.x.serializers = l c
interceptors.x.serializers.l.name = level
interceptors.x.serializers.c.name = code
interceptors.s.type = search_replace
interceptors.s.searchPattern = (\\\\w)\\\\s+(\\\\w)
interceptors.s.replaceString = $2-$1
interceptors.h.type = remove_header
interceptors.h.withName = code
interceptors.c.type = static
interceptors.c.key = place
interceptors.c.value = here
interceptors.n.type = host
interceptors.n.useIP = false";

const MULTIPLEXING: &str = "\
type = netcat
bind = 127.0.0.1
port = @PORT@
interceptors = x
interceptors.x.type = regex_extractor
interceptors.x.regex = level=(\\\\w+)
interceptors.x.serializers = l
interceptors.x.serializers.l.name = level
selector.type = multiplexing
selector.header = level
selector.mapping.WARN = c1
selector.default = c2";
