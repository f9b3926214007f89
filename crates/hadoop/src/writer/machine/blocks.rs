//! From one block to the next: how a file asks for a block, ends it, and is closed.

use super::{FileMachine, FileStage};
use crate::{
    fs::FsErrorKind,
    namenode::messages::{ExtendedBlock, LocatedBlock},
    writer::{BlockCall, Effect, PipelineNode, SetUpRequest},
    xfer::messages::stage,
};

/// New blocks that are tried before the file is given up.
const MAX_ALLOCATIONS: u32 = 6;

impl FileMachine {
    /// Makes packets of what is queued, and ends the block when it is full or the file closes.
    pub(super) fn stream(&mut self) {
        let everything = !self.tickets.is_empty() || self.closing.is_some();
        self.bytes.pack(&self.settings, everything);
        let full = self.bytes.packed == self.settings.block_bytes;
        let idle = self.bytes.queued == 0;
        if self.tickets.iter().any(|ticket| ticket.sync) && (full || idle) {
            let next = self.block_start + self.bytes.packed;
            if self.synced < next && !self.bytes.ended {
                self.bytes.ask_for_sync();
            }
        }
        let over = full || (self.closing.is_some() && idle);
        if over && self.bytes.packets.is_empty() && !self.bytes.ended {
            // Nobody can sync a full block later.
            self.bytes.end(self.sync_blocks || full);
        }
    }

    /// Every node has all of the block and has ended it.
    pub(in crate::writer) fn end_block(&mut self) {
        self.effects.push_back(Effect::HangUp);
        self.previous = Some(ExtendedBlock {
            num_bytes: Some(self.bytes.packed),
            ..self.block.clone()
        });
        self.block_start += self.bytes.packed;
        if self.sync_blocks || self.bytes.packed == self.settings.block_bytes {
            self.synced = self.synced.max(self.block_start);
        }
        self.bytes.next_block();
        self.nodes.clear();
        self.failed.clear();
        self.acks.clear();
        self.persisted = false;
        self.allocations = 0;
        self.replacements = 0;
        self.stage = FileStage::Vacant;
        self.since = self.now;
    }

    pub(in crate::writer) fn allocate(&mut self) {
        self.allocations += 1;
        if self.allocations > MAX_ALLOCATIONS {
            let cause = &self.no_pipeline;
            let text = format!(
                "{MAX_ALLOCATIONS} blocks in a row found no pipeline, the last one: {cause}"
            );
            return self.die(FsErrorKind::Retry, text);
        }
        let call = BlockCall::AddBlock {
            previous: self.previous.clone(),
            exclude: self.failed.iter().map(|node| node.info.clone()).collect(),
        };
        self.call(FileStage::Allocating, call);
    }

    pub(super) fn allocated(&mut self, located: &LocatedBlock) {
        match PipelineNode::all_of(located) {
            Ok(nodes) if !nodes.is_empty() => self.nodes = nodes,
            _ => {
                return self.die(
                    FsErrorKind::Retry,
                    "the NameNode gave a block without nodes",
                );
            }
        }
        self.block = located.block.clone();
        self.token = located.token.clone();
        self.token_renewed = false;
        self.set_up_pipeline(None);
    }

    /// Asks the first DataNode to set the pipeline up.
    pub(in crate::writer) fn set_up_pipeline(&mut self, renewed: Option<ExtendedBlock>) {
        let (stage, new_generation) = match &renewed {
            None => (stage::CREATE, 0),
            Some(block) if self.bytes.ended => (stage::CLOSE_RECOVERY, block.generation_stamp),
            Some(block) => (stage::STREAMING_RECOVERY, block.generation_stamp),
        };
        self.acks.clear();
        self.lost = None;
        let op = self.enter(FileStage::SettingUp { renewed });
        self.effects.push_back(Effect::SetUp(SetUpRequest {
            op,
            nodes: self.nodes.clone(),
            block: ExtendedBlock {
                num_bytes: Some(self.settings.block_bytes),
                ..self.block.clone()
            },
            token: self.token.clone(),
            stage,
            new_generation,
            min_bytes: self.bytes.acked,
            max_bytes: self.bytes.sent.max(self.bytes.acked),
        }));
    }

    pub(super) fn complete(&mut self) {
        let last = self.previous.clone();
        self.call(
            FileStage::Completing { again_at: None },
            BlockCall::Complete { last },
        );
    }
}
