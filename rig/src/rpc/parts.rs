//! Parts that demonstrations make configurations of.

/// A source `r1`, a channel `c1` and these sinks, and how they hang together.
pub fn names(sinks: &[&str]) -> String {
    let all = sinks.join(" ");
    let mut text = format!(
        "a1.sources = r1\na1.channels = c1\na1.sinks = {all}\na1.sources.r1.channels = c1\n"
    );
    for sink in sinks {
        text += &settings(&format!("a1.sinks.{sink}"), "channel = c1");
    }
    text
}

/// A source `r1` that listens at `@PORT@`.
pub fn source(kind: &str) -> String {
    let lines = format!("type = {kind}\nbind = 127.0.0.1\nport = @PORT@");
    settings("a1.sources.r1", &lines)
}

/// A sink of this name that sends to a port here, with more properties.
pub fn avro_sink(name: &str, port: u16, more: &str) -> String {
    let lines = format!("type = avro\nhostname = 127.0.0.1\nport = {port}\n{more}");
    settings(&format!("a1.sinks.{name}"), &lines)
}

/// A channel `c1` in memory.
pub fn memory_channel(capacity: usize, transaction_capacity: usize) -> String {
    format!(
        "a1.channels.c1.type = memory\na1.channels.c1.capacity = {capacity}\n\
         a1.channels.c1.transactionCapacity = {transaction_capacity}\n"
    )
}

/// A channel `c1` on disk.
pub const FILE_CHANNEL: &str = "\
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/data
a1.channels.c1.capacity = 1000000
a1.channels.c1.minimumRequiredSpace = 0
";

/// A sink `k1` that throws events away.
pub const NULL_SINK: &str = "a1.sinks.k1.type = null\na1.sinks.k1.batchSize = 1000\n";

/// Time limits of a sink that are shorter than a stall.
pub const SHORT_LIMITS: &str = "request-timeout = 2000\nconnect-timeout = 2000";

/// Lines of a component with its name in front of each.
pub fn settings(component: &str, lines: &str) -> String {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.map(|line| format!("{component}.{line}\n")).collect()
}
