//! What the NameNode of the simulation answers.

use super::*;

impl World {
    pub(super) fn located(&self, block: u64, generation: u64, nodes: &[usize]) -> LocatedBlock {
        let info = |at: &usize| {
            let head = DatanodeInfoHead { id: node_id(*at) };
            Bytes::from(head.encode_to_vec())
        };
        LocatedBlock {
            block: ExtendedBlock {
                pool_id: "p".into(),
                block_id: block,
                generation_stamp: generation,
                num_bytes: Some(0),
            },
            locations: nodes.iter().map(info).collect(),
            token: Token::default(),
            ..LocatedBlock::default()
        }
    }

    pub(super) fn answer(&mut self, call: BlockCall) -> Result<CallAnswer, CallFailure> {
        match call {
            BlockCall::AddBlock { previous, exclude } => {
                if let (Some(previous), Some(last)) = (previous, self.blocks.last_mut()) {
                    assert_eq!(previous.block_id, last.id);
                    assert_eq!(previous.generation_stamp, last.generation);
                    last.known = previous.num_bytes.unwrap();
                }
                let excluded = |at: &usize| {
                    let head = DatanodeInfoHead { id: node_id(*at) };
                    exclude.contains(&Bytes::from(head.encode_to_vec()))
                };
                let mut free: Vec<_> = (0..self.nodes.len()).filter(|at| !excluded(at)).collect();
                self.random.shuffle(&mut free);
                free.truncate(self.settings.replication);
                if free.is_empty() {
                    return Err(CallFailure {
                        kind: crate::fs::FsErrorKind::Retry,
                        text: "could only be written to 0 nodes".into(),
                    });
                }
                let id = self.blocks.len() as u64 + 1 + 1000 * self.next_generation;
                let generation = self.next_generation;
                self.next_generation += 1;
                let located = self.located(id, generation, &free);
                self.blocks.push(FakeBlock {
                    id,
                    generation,
                    nodes: free,
                    known: 0,
                });
                Ok(CallAnswer::Located(located))
            }
            BlockCall::Abandon { block } => {
                let last = self.blocks.pop().unwrap();
                assert_eq!(last.id, block.block_id);
                for node in &mut self.nodes {
                    node.replicas.remove(&last.id);
                }
                Ok(CallAnswer::Done)
            }
            BlockCall::AdditionalDatanode {
                block,
                existing,
                exclude,
            } => {
                let mut nodes: Vec<_> = existing.iter().map(number).collect();
                let excluded = |at: &usize| {
                    let head = DatanodeInfoHead { id: node_id(*at) };
                    exclude.contains(&Bytes::from(head.encode_to_vec()))
                };
                let fresh = (0..self.nodes.len()).find(|at| !nodes.contains(at) && !excluded(at));
                nodes.extend(fresh);
                let located = self.located(block.block_id, block.generation_stamp, &nodes);
                Ok(CallAnswer::Located(located))
            }
            BlockCall::NewGeneration { block } => {
                self.next_generation += 1;
                Ok(CallAnswer::Located(self.located(
                    block.block_id,
                    self.next_generation,
                    &[],
                )))
            }
            BlockCall::UpdatePipeline { old, new, nodes } => {
                let last = self.blocks.last_mut().unwrap();
                assert_eq!(old.generation_stamp, last.generation);
                assert!(new.generation_stamp > last.generation);
                assert!(new.num_bytes.unwrap() >= last.known, "smaller size");
                last.generation = new.generation_stamp;
                last.known = new.num_bytes.unwrap();
                last.nodes = nodes.iter().map(number).collect();
                Ok(CallAnswer::Done)
            }
            BlockCall::Fsync { length } => {
                // It may come after the block has ended.
                if let Some(last) = self.blocks.last_mut()
                    && last
                        .nodes
                        .iter()
                        .all(|node| self.nodes[*node].replicas[&last.id].acked as u64 >= length)
                {
                    last.known = last.known.max(length);
                }
                Ok(CallAnswer::Done)
            }
            BlockCall::Complete { last } => {
                if let (Some(last), Some(block)) = (&last, self.blocks.last_mut()) {
                    assert_eq!(last.generation_stamp, block.generation);
                    block.known = last.num_bytes.unwrap();
                }
                let reported = self.refused_completes == 0;
                self.refused_completes = self.refused_completes.saturating_sub(1);
                Ok(CallAnswer::Complete(reported))
            }
        }
    }
}
