//! What befalls the DataNodes of the simulation.

use super::*;

impl World {
    pub(super) fn fault(&mut self, fault: Happening) {
        match fault {
            Happening::Reset => {
                if let Some(chain) = self.chain.take() {
                    self.proofs.insert(self.chains[&chain].nodes[0]);
                    self.machine.disconnected("reset");
                }
            }
            Happening::Kill(node) => self.end(node, ERROR),
            Happening::Upgrade(node) => {
                self.end(node, status::OOB_RESTART);
                let back = self.now + Duration::from_millis(self.random.u64(1000..40_000));
                self.at(back, Happening::Restart(node));
            }
            Happening::Restart(node) => self.nodes[node].dead = false,
            Happening::FillDisk(node) => {
                self.proofs.insert(node);
                self.nodes[node].full = true;
            }
            Happening::Hang(node) => self.nodes[node].hung = true,
            Happening::Resume(node) => {
                self.nodes[node].hung = false;
                for stalled in std::mem::take(&mut self.nodes[node].stalled) {
                    self.happen(stalled);
                }
            }
            _ => unreachable!("no fault"),
        }
    }

    /// Its process is gone, and its connections with it.
    fn end(&mut self, node: usize, word: i32) {
        self.proofs.insert(node);
        self.nodes[node].dead = true;
        self.nodes[node].stalled.clear();
        if let Some(chain) = self.chain.map(|chain| self.chains[&chain].clone())
            && let Some(at) = chain.nodes.iter().position(|other| *other == node)
        {
            self.tell_of_end(&chain, at, word);
        }
        for replica in self.nodes[node].replicas.values_mut() {
            replica.writer = 0;
        }
    }

    /// Faults at random times; one node is spared where one has to live.
    pub(super) fn schedule_faults(&mut self) {
        let spared = if self.lives { 1 } else { 0 };
        for _ in 0..self.random.usize(0..4) {
            if self.nodes.len() <= spared {
                break;
            }
            let node = self.random.usize(spared..self.nodes.len());
            let when = Duration::from_millis(self.random.u64(0..60_000));
            match self.random.u32(0..6) {
                0 => {
                    self.at(when, Happening::Hang(node));
                    let until = when + Duration::from_millis(self.random.u64(0..20_000));
                    self.at(until, Happening::Resume(node));
                }
                1 => self.at(when, Happening::Hang(node)),
                3 => self.at(when, Happening::Upgrade(node)),
                4 => self.at(when, Happening::FillDisk(node)),
                2 if !self.lives => self.at(when, Happening::Reset),
                _ => self.at(when, Happening::Kill(node)),
            }
        }
    }
}
