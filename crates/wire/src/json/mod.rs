//! JSON as Flume reads it: events in an array, in the tolerant dialect of the library Gson; and fields of documents in
//! strict JSON.

mod events;
mod fields;
mod reader;
mod text;

pub use events::{JsonCharset, JsonError, event_of_line, events};
pub use fields::{FieldPath, FieldPaths, NotJson};
