//! The documents that serializers lack: schemas, in files of this machine or in the sink's file system.

use std::{collections::HashMap, time::Duration};

use flume_core::{Event, EventSerializer, with_causes};
use flume_wire::document::read_local;
use tokio::time::Instant;

use flume_hadoop::fs::FileSystem;

/// How long a document is taken for what it was: a file begun later sees a changed one.
const FRESH: Duration = Duration::from_secs(300);
/// How long to leave a file system alone that did not answer within [`SLOW`], because all buckets wait while it is
/// asked.
const PAUSE: Duration = Duration::from_secs(10);
const SLOW: Duration = Duration::from_secs(5);
/// Events name documents, so their number is bounded.
const MOST_DOCUMENTS: usize = 1000;

/// What was read, for all files of a sink.
#[derive(Default)]
pub struct Documents {
    read: HashMap<String, (Instant, Vec<u8>)>,
    /// Until when the file system is left alone, and why.
    pausing: Option<(Instant, String)>,
}

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
        let Some(url) = serializer.lacks(event) else {
            return Ok(());
        };
        self.read.retain(|_, (read, _)| read.elapsed() < FRESH);
        if let Some((_, document)) = self.read.get(&url[..]) {
            serializer.supply(&url, document);
            return Ok(());
        }
        let document = match hdfs_path(&url) {
            Some(path) => self.ask(fs, path).await,
            None => read_local(&url).map_err(|error| format!("failed to read {url}: {error}")),
        }?;
        serializer.supply(&url, &document);
        if self.read.len() < MOST_DOCUMENTS {
            self.read
                .insert(url.to_string(), (Instant::now(), document));
        }
        Ok(())
    }

    async fn ask(&mut self, fs: &dyn FileSystem, path: &str) -> Result<Vec<u8>, String> {
        let start = Instant::now();
        if let Some((_, reason)) = self.pausing.as_ref().filter(|(until, _)| *until > start) {
            return Err(reason.clone());
        }
        let read = fs
            .read(path)
            .await
            .map(|bytes| bytes.to_vec())
            .map_err(|error| with_causes(&error));
        if let Err(reason) = &read
            && start.elapsed() > SLOW
        {
            self.pausing = Some((Instant::now() + PAUSE, reason.clone()));
        }
        read
    }
}

/// The path of `hdfs://authority/path`.
fn hdfs_path(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    scheme.eq_ignore_ascii_case("hdfs").then_some(path)
}
