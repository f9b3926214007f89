//! What the NameNode of the simulation answers.

use super::*;

impl World {
    pub(super) fn answer(&mut self, call: BlockCall) -> Result<CallAnswer, CallFailure> {
        match call {
            BlockCall::AddBlock { previous, exclude } => self.add_block(previous, &exclude),
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
                let fresh = self.free(&exclude).find(|at| !nodes.contains(at));
                nodes.extend(fresh);
                let located = located(block.block_id, block.generation_stamp, &nodes);
                Ok(CallAnswer::Located(located))
            }
            BlockCall::NewGeneration { block } => {
                if !self.leaves_out(Rule::GenerationGrows) {
                    self.next_generation += 1;
                }
                let located = located(block.block_id, self.next_generation, &[]);
                Ok(CallAnswer::Located(located))
            }
            BlockCall::UpdatePipeline { old, new, nodes } => {
                if !self.leaves_out(Rule::NameNodeIsTold) {
                    self.update(&old, &new, &nodes);
                }
                Ok(CallAnswer::Done)
            }
            BlockCall::Fsync { length } => {
                let last = self.blocks.last_mut().expect("a block that is persisted");
                let has = |node: &usize| self.nodes[*node].replicas[&last.id].acked as u64;
                assert!(last.nodes.iter().all(|node| has(node) >= length));
                last.known = last.known.max(length);
                last.persisted = self.left_out != Some(Rule::NameNodeRemembers);
                Ok(CallAnswer::Done)
            }
            BlockCall::Complete { last } => {
                self.commit(last.as_ref());
                let reported = self.refused_completes == 0;
                self.refused_completes = self.refused_completes.saturating_sub(1);
                Ok(CallAnswer::Complete(reported))
            }
        }
    }

    fn add_block(
        &mut self,
        previous: Option<ExtendedBlock>,
        exclude: &[Bytes],
    ) -> Result<CallAnswer, CallFailure> {
        self.commit(previous.as_ref());
        let mut free: Vec<_> = self.free(exclude).collect();
        if !self.modelled {
            self.random.shuffle(&mut free);
        }
        free.truncate(self.settings.replication);
        if free.is_empty() {
            return Err(CallFailure {
                kind: crate::fs::FsErrorKind::Retry,
                text: "could only be written to 0 nodes".into(),
            });
        }
        let id = self.blocks.len() as u64 + 1 + 1000 * self.next_generation;
        let generation = self.next_generation;
        if !self.leaves_out(Rule::GenerationGrows) {
            self.next_generation += 1;
        }
        let located = located(id, generation, &free);
        self.blocks.push(FakeBlock {
            id,
            generation,
            nodes: free,
            known: 0,
            persisted: false,
        });
        Ok(CallAnswer::Located(located))
    }

    /// The last block has its final length.
    fn commit(&mut self, block: Option<&ExtendedBlock>) {
        let less = u64::from(self.leaves_out(Rule::LengthIsWhole));
        if let (Some(block), Some(last)) = (block, self.blocks.last_mut()) {
            assert_eq!(block.block_id, last.id);
            if self.left_out.is_none() {
                assert_eq!(block.generation_stamp, last.generation);
            }
            last.known = block.num_bytes.unwrap() - less;
        }
    }

    fn update(&mut self, old: &ExtendedBlock, new: &ExtendedBlock, nodes: &[PipelineNode]) {
        let last = self.blocks.last_mut().unwrap();
        if self.left_out.is_none() {
            assert_eq!(old.generation_stamp, last.generation);
            assert!(new.generation_stamp > last.generation);
        }
        assert!(new.num_bytes.unwrap() >= last.known, "smaller size");
        last.generation = new.generation_stamp;
        last.known = new.num_bytes.unwrap();
        last.persisted = true;
        last.nodes = nodes.iter().map(number).collect();
    }

    /// DataNodes that are not excluded.
    fn free(&self, exclude: &[Bytes]) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| !exclude.contains(&info(*at)))
    }
}

fn located(block: u64, generation: u64, nodes: &[usize]) -> LocatedBlock {
    LocatedBlock {
        block: ExtendedBlock {
            pool_id: "p".into(),
            block_id: block,
            generation_stamp: generation,
            num_bytes: Some(0),
        },
        locations: nodes.iter().map(|at| info(*at)).collect(),
        token: Token::default(),
        ..LocatedBlock::default()
    }
}

fn info(at: usize) -> Bytes {
    let head = DatanodeInfoHead { id: node_id(at) };
    head.encode_to_vec().into()
}
