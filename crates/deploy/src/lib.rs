//! From a bare host to a checked, Kerberized service: `flume-ng provision` and `flume-ng doctor`.
