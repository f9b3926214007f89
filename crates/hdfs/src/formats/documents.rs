//! The documents that serializers lack: schemas, in files of this machine or in the sink's file system.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use flume_core::{Event, EventSerializer, with_causes};
use flume_wire::document::read_local;

use crate::fs::FileSystem;

/// How long a document is taken for what it was: a file begun later sees a changed one.
const FRESH: Duration = Duration::from_secs(300);
/// Events name documents, so their number is bounded.
const MOST_DOCUMENTS: usize = 1000;

/// What was read, for all files of a sink.
#[derive(Default)]
pub struct Documents(HashMap<String, (Instant, Vec<u8>)>);

impl Documents {
    /// Hands over what the serializer lacks for this event. A URL with scheme `hdfs` is read from `fs` whatever cluster
    /// it names; all others are files of this machine.
    ///
    /// # Errors
    /// Why it could not be read: the event is not for now.
    pub async fn provide(
        &mut self,
        serializer: &mut dyn EventSerializer,
        event: &Event,
        fs: &dyn FileSystem,
    ) -> Result<(), String> {
        let Some(url) = serializer.lacks(event) else { return Ok(()) };
        self.0.retain(|_, (read, _)| read.elapsed() < FRESH);
        if let Some((_, document)) = self.0.get(&url[..]) {
            serializer.supply(&url, document);
            return Ok(());
        }
        let document = match hdfs_path(&url) {
            Some(path) => {
                fs.read(path).await.map(|bytes| bytes.to_vec()).map_err(|error| with_causes(&error))
            }
            None => read_local(&url).map_err(|error| format!("failed to read {url}: {error}")),
        }?;
        serializer.supply(&url, &document);
        if self.0.len() < MOST_DOCUMENTS {
            self.0.insert(url.to_string(), (Instant::now(), document));
        }
        Ok(())
    }
}

/// The path of `hdfs://authority/path`.
fn hdfs_path(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    scheme.eq_ignore_ascii_case("hdfs").then_some(path)
}
