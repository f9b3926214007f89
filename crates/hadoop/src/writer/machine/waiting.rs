//! Who waits for a file: for a flush or its close, and how long.

use std::time::Duration;

use super::{FileMachine, FileStage};
use crate::{
    fs::FsErrorKind,
    writer::{BlockCall, Effect},
};

/// A flush that somebody waits for.
#[derive(Clone, Hash)]
pub(super) struct FlushTicket {
    id: u64,
    /// Bytes of the file.
    target: u64,
    pub(super) sync: bool,
    since: Duration,
}

impl FileMachine {
    /// Asks that everything written is acknowledged by every DataNode, with `sync` after it is on their disks.
    /// [`Effect::Flushed`] names the ticket that this returns.
    pub fn flush(&mut self, sync: bool) -> u64 {
        let id = self.next_ticket;
        self.next_ticket += 1;
        self.sync_blocks |= sync;
        self.tickets.push_back(FlushTicket {
            id,
            target: self.written,
            sync,
            since: self.now,
        });
        self.advance();
        id
    }

    /// Tells who waited for a flush. The first one of a pipeline waits for the NameNode's disk besides.
    pub(super) fn resolve(&mut self) {
        let acknowledged = self.acknowledged();
        while let Some(ticket) = self.tickets.front() {
            let on_disk = !ticket.sync || self.synced >= ticket.target;
            if acknowledged < ticket.target || !on_disk || self.is_over() {
                return;
            }
            if self.bytes.acked > 0 && !self.persisted {
                if self.stage == FileStage::Streaming && self.fsync.is_none() {
                    let length = self.bytes.acked;
                    let op = self.fresh_op();
                    self.fsync = Some(op);
                    let call = BlockCall::Fsync { length };
                    self.effects.push_back(Effect::Call { op, call });
                }
                return;
            }
            let ticket = ticket.id;
            self.tickets.pop_front();
            self.effects.push_back(Effect::Flushed { ticket });
        }
    }

    /// Whoever has waited too long hears why.
    pub(super) fn end_of_patience(&mut self) {
        let over = self.patience_ends_at().is_some_and(|end| end <= self.now);
        if over && !self.is_over() {
            let text = self.why_waiting();
            self.die(FsErrorKind::Retry, text);
        }
    }

    pub(super) fn patience_ends_at(&self) -> Option<Duration> {
        let ticket = self.tickets.front().map(|ticket| ticket.since);
        let oldest = ticket.into_iter().chain(self.closing).min();
        oldest.map(|since| since + self.settings.patience)
    }

    fn why_waiting(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.id.address()).collect();
        let nodes = nodes.join(", ");
        let seconds = (self.now - self.since.max(self.progress)).as_secs();
        match self.stage {
            FileStage::Streaming => {
                format!("the DataNodes {nodes} have acknowledged nothing for {seconds} s")
            }
            FileStage::SettingUp { .. } => {
                format!("the DataNodes {nodes} have set up no pipeline for {seconds} s")
            }
            FileStage::Copying { .. } => "a new DataNode has not got its copy of the block".into(),
            _ => format!("the NameNode has not answered for {seconds} s"),
        }
    }
}
