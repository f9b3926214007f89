//! JSON as Flume reads it: events in an array, in the tolerant dialect of the library Gson.

mod events;
mod reader;
mod text;

pub use events::{JsonCharset, JsonError, event_of_line, events};
