//! What must be so, whatever happens.

use super::*;

impl World {
    pub(super) fn check_flushed(&mut self, ticket: u64) {
        let target = self
            .tickets
            .remove(&ticket)
            .expect("a ticket is flushed once");
        self.flushed = self.flushed.max(target);
        let mut start = 0;
        for (at, block) in self.blocks.iter().enumerate() {
            let last = at + 1 == self.blocks.len();
            let length = if last {
                target.saturating_sub(start)
            } else {
                block.known as usize
            };
            let ended = |node: &usize| self.nodes[*node].replicas[&block.id].ended;
            let is_open = last && length > 0 && !block.nodes.iter().any(ended);
            assert!(!is_open || block.persisted, "a block that is forgotten");
            for node in &block.nodes {
                let replica = &self.nodes[*node].replicas[&block.id];
                assert!(
                    replica.acked >= length.min(target.saturating_sub(start)),
                    "node {node} has acknowledged {} of {length}",
                    replica.acked
                );
                // A recovery under way has told the nodes before the NameNode.
                assert!(replica.generation >= block.generation);
            }
            start += length;
        }
        assert!(
            start >= target || self.blocks.is_empty(),
            "{start} of {target}"
        );
    }

    pub(super) fn check_closed(&mut self) {
        self.closed = true;
        let mut whole: Vec<u8> = vec![];
        for block in &self.blocks {
            let good: Vec<_> = self
                .nodes
                .iter()
                .filter_map(|node| node.replicas.get(&block.id))
                .filter(|replica| replica.ended && replica.generation == block.generation)
                .collect();
            assert!(!good.is_empty(), "a block without a replica");
            let whole_block = &good[0].data;
            assert_eq!(block.known as usize, whole_block.len(), "another length");
            // Any replica of this generation is one that readers may get.
            let current = self
                .nodes
                .iter()
                .filter_map(|node| node.replicas.get(&block.id))
                .filter(|replica| replica.generation == block.generation);
            for replica in current {
                assert!(replica.data == *whole_block, "a replica of its own");
            }
            whole.extend(whole_block);
        }
        assert!(
            whole == self.content,
            "{} of {} bytes",
            whole.len(),
            self.content.len()
        );
    }

    /// Every replica of the present generation is a prefix of what was written.
    pub(super) fn check_prefixes(&self) {
        let mut start = 0;
        for block in &self.blocks {
            for node in &self.nodes {
                if let Some(replica) = node.replicas.get(&block.id) {
                    let end = (start + replica.data.len()).min(self.content.len());
                    assert!(self.content[start..end] == replica.data[..], "a wrong byte");
                }
            }
            start += self.settings.block_bytes as usize;
        }
    }

    /// The last DataNode is blamed on proof alone.
    pub(super) fn check_failure(&self, failure: &WriteFailure) {
        let Some(block) = self.blocks.last() else {
            return;
        };
        if failure.text.starts_with("all DataNodes") {
            let proved = |node: &&usize| self.proofs.contains(node);
            assert!(block.nodes.iter().any(|node| proved(&node)), "{failure:?}");
        }
    }
}
