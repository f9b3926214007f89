//! What a file does when a DataNode fails: whom to blame, and how the same block goes on without it.
//!
//! Proof blames at once: a refused or reset connection, an error that a DataNode reports. Silence does not: after some
//! seconds every node of the pipeline is asked on a connection of its own, and who does not answer twice is blamed. So a
//! hung DataNode is found by itself, where Hadoop's client waits a minute and guesses.

use std::time::Duration;

use super::{
    BlockCall, Effect, FileMachine, NodeAnswer, PipelineNode, SetUpFailure, TransferRequest,
    machine::FileStage,
};
use crate::{
    fs::FsErrorKind,
    namenode::messages::{ExtendedBlock, LocatedBlock},
};

/// Nodes are asked after this much silence.
const SILENCE_BEFORE_PROBE: Duration = Duration::from_secs(5);
/// Who does not answer is asked again after this: a collector's pause is not a death.
const SECOND_PROBE_PAUSE: Duration = Duration::from_secs(3);
/// Silence although all answer: a new pipeline.
const SILENCE_BEFORE_REBUILD: Duration = Duration::from_secs(20);
/// Pipelines in a row that nothing is acknowledged on.
const MAX_RECOVERIES: u32 = 8;
/// New nodes that are tried for a block.
const MAX_REPLACEMENTS: u32 = 3;
/// A DataNode that said it restarts is back within this, or dead.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A question to nodes that may hang.
#[derive(Clone, Hash)]
pub(super) struct NodeProbe {
    /// The answer that is waited for; `None`: it is time to ask again at `again_at`.
    op: Option<u64>,
    asked: Vec<PipelineNode>,
    second: bool,
    again_at: Duration,
}

impl FileMachine {
    /// The connection to the first DataNode is gone.
    pub fn disconnected(&mut self, text: &str) {
        if self.stage == FileStage::Streaming {
            if self.restart_until.is_some_and(|until| until > self.now) && self.nodes.len() == 1 {
                return self.await_restart();
            }
            self.recover(&[0], text);
            self.advance();
        } else if matches!(self.stage, FileStage::Updating { .. }) {
            self.lost = Some(text.into());
        }
    }

    /// A node reports that it or one behind it has failed.
    pub(super) fn node_failed(&mut self, at: usize, restarts: bool, reply: i32) {
        if restarts && self.nodes.len() == 1 {
            self.restart_until = Some(self.now + RESTART_TIMEOUT);
            return self.await_restart();
        }
        let text = if restarts {
            "it restarts".to_string()
        } else {
            format!("the pipeline reports status {reply} for it")
        };
        self.recover(&[at], &text);
    }

    fn await_restart(&mut self) {
        self.effects.push_back(Effect::HangUp);
        let until = self.now + RESTART_PAUSE;
        self.enter(FileStage::Waiting { until });
    }

    /// Goes on without these nodes of the pipeline.
    pub(super) fn recover(&mut self, culprits: &[usize], cause: &str) {
        self.effects.push_back(Effect::HangUp);
        let mut culprits = culprits.to_vec();
        culprits.sort_unstable();
        culprits.dedup();
        culprits.retain(|at| *at < self.nodes.len());
        for at in culprits.into_iter().rev() {
            let node = self.nodes.remove(at);
            self.effects.push_back(Effect::Blame {
                node: node.clone(),
                cause: cause.into(),
            });
            self.failed.push(node);
        }
        if self.stage == (FileStage::SettingUp { renewed: None }) {
            // Nothing was written: another block is cheaper than a recovery, and works with every version.
            self.no_pipeline = match self.failed.last() {
                Some(node) => format!("{}: {cause}", node.id.address()),
                None => cause.into(),
            };
            let block = self.block.clone();
            return self.call(FileStage::Abandoning, BlockCall::Abandon { block });
        }
        if self.nodes.is_empty() {
            let text = format!("all DataNodes of the block have failed, the last one: {cause}");
            return self.die(FsErrorKind::Retry, text);
        }
        self.recoveries += 1;
        if self.recoveries > MAX_RECOVERIES {
            let text = format!("{MAX_RECOVERIES} pipelines in a row have failed: {cause}");
            return self.die(FsErrorKind::Retry, text);
        }
        self.replace_or_bump();
    }

    fn replace_or_bump(&mut self) {
        let few = self.nodes.len() < self.settings.replication && self.settings.replication >= 3;
        let worth_it = self.bytes.acked > 0 && !self.bytes.ended;
        if self.settings.replace_nodes && few && worth_it && self.replacements < MAX_REPLACEMENTS {
            self.replacements += 1;
            let call = BlockCall::AdditionalDatanode {
                block: self.acked_block(),
                existing: self.nodes.clone(),
                exclude: self.failed.iter().map(|node| node.info.clone()).collect(),
            };
            self.call(FileStage::AskingForNode, call);
        } else {
            self.bump();
        }
    }

    /// The NameNode has named a node, or none.
    pub(super) fn copy_to_new_node(&mut self, located: &LocatedBlock) {
        let named = PipelineNode::all_of(located).unwrap_or_default();
        let is_known = |node: &&PipelineNode| {
            let mut known = self.nodes.iter().chain(&self.failed);
            known.any(|known| known.id.uuid == node.id.uuid)
        };
        let fresh = named.iter().find(|node| !is_known(node)).cloned();
        let Some(fresh) = fresh else {
            return self.no_replacement("the cluster has no other DataNode");
        };
        let mut nodes = self.nodes.clone();
        nodes.push(fresh.clone());
        let Some(source) = self
            .nodes
            .get(self.replacements as usize % self.nodes.len())
            .cloned()
        else {
            return self.bump();
        };
        let block = self.acked_block();
        let token = located.token.clone();
        let target = fresh.clone();
        let op = self.enter(FileStage::Copying { nodes, fresh });
        self.effects.push_back(Effect::Transfer(TransferRequest {
            op,
            source,
            target,
            block,
            token,
        }));
    }

    /// The block goes on with the nodes that are left.
    pub(super) fn no_replacement(&mut self, _text: &str) {
        self.replacements = MAX_REPLACEMENTS;
        self.bump();
    }

    /// A copy is made, or not.
    pub fn transferred(&mut self, op: u64, copied: Result<(), String>) {
        if op != self.op {
            return;
        }
        let FileStage::Copying { nodes, fresh } = self.stage.clone() else {
            return;
        };
        match copied {
            Ok(()) => {
                self.nodes = nodes;
                self.bump();
            }
            Err(_) => {
                self.failed.push(fresh);
                self.replace_or_bump();
            }
        }
        self.advance();
    }

    /// Asks for a new generation: replicas of the old one are void from then on.
    pub(super) fn bump(&mut self) {
        let block = self.acked_block();
        self.call(FileStage::Bumping, BlockCall::NewGeneration { block });
    }

    pub(super) fn bumped(&mut self, located: LocatedBlock) {
        self.token = located.token;
        let renewed = ExtendedBlock {
            generation_stamp: located.block.generation_stamp,
            ..self.acked_block()
        };
        self.set_up_pipeline(Some(renewed));
    }

    /// The pipeline is there, or not. `false`: nobody waits for it any more, so its connection is of no use.
    pub fn set_up(&mut self, op: u64, outcome: Result<(), SetUpFailure>) -> bool {
        if op != self.op {
            return false;
        }
        let FileStage::SettingUp { renewed } = self.stage.clone() else {
            return false;
        };
        match (outcome, renewed) {
            (Ok(()), None) => self.begin_streaming(),
            (Ok(()), Some(renewed)) => {
                let call = BlockCall::UpdatePipeline {
                    old: self.acked_block(),
                    new: renewed.clone(),
                    nodes: self.nodes.clone(),
                };
                self.call(FileStage::Updating { renewed }, call);
            }
            (Err(failure), renewed) => self.set_up_failed(&failure, renewed.is_some()),
        }
        self.advance();
        true
    }

    fn set_up_failed(&mut self, failure: &SetUpFailure, recovering: bool) {
        if failure.token && !self.token_renewed && recovering {
            self.token_renewed = true;
            self.effects.push_back(Effect::HangUp);
            return self.bump();
        }
        if self.restart_until.is_some_and(|until| until > self.now) && self.nodes.len() == 1 {
            return self.await_restart();
        }
        if failure.silent && recovering && self.nodes.len() == 1 {
            self.effects.push_back(Effect::HangUp);
            return self.bump();
        }
        let named = failure
            .bad_link
            .as_ref()
            .and_then(|bad| self.nodes.iter().position(|node| node.id.address() == *bad));
        self.recover(&[named.unwrap_or(0)], &failure.text);
    }

    pub(super) fn updated(&mut self, renewed: ExtendedBlock) {
        self.block = renewed;
        self.persisted = true;
        self.token_renewed = false;
        if self.bytes.ended {
            // The nodes have ended the block in their answer.
            self.end_block();
        } else {
            self.begin_streaming();
            if let Some(text) = self.lost.take() {
                return self.recover(&[0], &text);
            }
            // Bad news may have come before the NameNode's answer.
            self.received(&[]);
        }
    }

    /// Whether the silence means anything.
    pub(super) fn watch(&mut self) {
        if self.now < self.watch_at() {
            return;
        }
        let (asked, second) = match &self.probe {
            Some(NodeProbe { op: Some(_), .. }) => return,
            Some(probe) => (probe.asked.clone(), true),
            None => (self.nodes.clone(), false),
        };
        let op = self.fresh_op();
        self.effects.push_back(Effect::Probe {
            op,
            nodes: asked.clone(),
            block: self.acked_block(),
            token: self.token.clone(),
        });
        self.probe = Some(NodeProbe {
            op: Some(op),
            asked,
            second,
            again_at: self.now,
        });
    }

    /// When the silence is looked at next.
    pub(super) fn watch_at(&self) -> Duration {
        let quiet_since = if self.stage == FileStage::Streaming {
            self.progress
        } else {
            self.since
        };
        match &self.probe {
            Some(NodeProbe { op: Some(_), .. }) => self.now + SILENCE_BEFORE_PROBE,
            Some(probe) => probe.again_at,
            None => self.next_probe.max(quiet_since + SILENCE_BEFORE_PROBE),
        }
    }

    /// The nodes have answered, or not: one answer for each that was asked.
    pub fn probed(&mut self, op: u64, answers: &[NodeAnswer]) {
        let Some(probe) = self.probe.take_if(|probe| probe.op == Some(op)) else {
            return;
        };
        let culprit = |answer: NodeAnswer| match answer {
            NodeAnswer::Answers => false,
            NodeAnswer::Silent => probe.second,
            NodeAnswer::Gone => true,
        };
        let is_culprit = |node: &PipelineNode| {
            let mut asked = probe.asked.iter().zip(answers);
            asked.any(|(asked, answer)| asked.id.uuid == node.id.uuid && culprit(*answer))
        };
        let culprits: Vec<_> = (0..self.nodes.len())
            .filter(|at| is_culprit(&self.nodes[*at]))
            .collect();
        let proved = answers.contains(&NodeAnswer::Gone);
        if !culprits.is_empty() && (culprits.len() < self.nodes.len() || proved) {
            self.recover(&culprits, "it does not answer");
            return self.advance();
        }
        let silent: Vec<_> = probe
            .asked
            .iter()
            .zip(answers)
            .filter(|(_, answer)| **answer == NodeAnswer::Silent)
            .map(|(node, _)| node.clone())
            .collect();
        if !silent.is_empty() && !probe.second {
            self.probe = Some(NodeProbe {
                op: None,
                asked: silent,
                second: false,
                again_at: self.now + SECOND_PROBE_PAUSE,
            });
            return;
        }
        // All answer, or none does, which tells more about this host's network than about them.
        self.next_probe = self.now + SILENCE_BEFORE_PROBE;
        let quiet = self.now.saturating_sub(self.progress);
        if self.stage == FileStage::Streaming
            && silent.is_empty()
            && quiet >= SILENCE_BEFORE_REBUILD
        {
            self.recover(&[], "nothing is acknowledged although all DataNodes answer");
            self.advance();
        }
    }
}
