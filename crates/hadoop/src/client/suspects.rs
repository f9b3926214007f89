//! DataNodes that have failed lately. New blocks avoid them for a while, of whichever file; the NameNode itself needs ten
//! minutes to know that a DataNode is dead.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use prost::bytes::Bytes;
use tokio::time::Instant;

use crate::writer::PipelineNode;

const FIRST_SUSPICION: Duration = Duration::from_secs(60);
const MAX_SUSPICION: Duration = Duration::from_secs(600);

/// The table of a client.
#[derive(Default)]
pub(super) struct Suspects(Mutex<HashMap<String, Suspect>>);

struct Suspect {
    info: Bytes,
    until: Instant,
    /// How long the suspicion lasts; it doubles each time.
    lasts: Duration,
}

impl Suspects {
    /// A DataNode has failed. Files that fail with it at the same time say so once.
    pub(super) fn blame(&self, node: &PipelineNode, cause: &str) {
        let now = Instant::now();
        let mut suspects = self.0.lock();
        let known = suspects.get(&node.id.uuid);
        if known.is_some_and(|known| known.until > now) {
            return;
        }
        let lasts = known.map_or(FIRST_SUSPICION, |known| {
            (known.lasts * 2).min(MAX_SUSPICION)
        });
        let address = node.id.address();
        let name = &node.id.host_name;
        let seconds = lasts.as_secs();
        tracing::warn!("DataNode {address} ({name}) gets no new blocks for {seconds} s: {cause}");
        let suspect = Suspect {
            info: node.info.clone(),
            until: now + lasts,
            lasts,
        };
        suspects.insert(node.id.uuid.clone(), suspect);
    }

    /// `DatanodeInfoProto`s of those that are avoided now.
    pub(super) fn avoided(&self) -> Vec<Bytes> {
        let now = Instant::now();
        let mut suspects = self.0.lock();
        suspects.retain(|_, suspect| suspect.until + MAX_SUSPICION > now);
        let current = suspects.values().filter(|suspect| suspect.until > now);
        current.map(|suspect| suspect.info.clone()).collect()
    }

    /// The cluster has no others: they are tried again.
    pub(super) fn forgive(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namenode::messages::DatanodeId;

    #[tokio::test(start_paused = true)]
    async fn a_suspicion_ends_and_lasts_longer_the_next_time() {
        let node = PipelineNode {
            id: DatanodeId::default(),
            info: Bytes::from_static(b"info"),
            storage_type: 1,
            storage_id: String::new(),
        };
        let suspects = Suspects::default();
        suspects.blame(&node, "x");
        suspects.blame(&node, "x");
        assert_eq!(suspects.avoided(), std::slice::from_ref(&node.info));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(suspects.avoided().is_empty());
        suspects.blame(&node, "x");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(suspects.avoided().len(), 1);
        suspects.forgive();
        assert!(suspects.avoided().is_empty());
    }
}
