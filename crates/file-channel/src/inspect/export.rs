//! The events of a store, for whoever takes them elsewhere.

use std::{collections::BTreeSet, io, ops::Range, path::PathBuf};

use flume_core::Event;

use super::{Damage, InspectError, Outside, events, numbers};
use crate::{
    format::{FrameKind, Malformed, decode_events},
    frame::open_body,
    log::cipher,
    segment::Found,
};

/// What became of the events.
#[derive(Debug, Default)]
pub struct Exported {
    /// Events that were handed on.
    pub events: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl Outside {
    /// Its directories.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let layout = self.log.pool.layout();
        let all = layout.data_dirs.iter().chain([&layout.checkpoint_dir]);
        all.cloned().collect()
    }

    /// Hands every event that is not consumed to `sink`, in order.
    pub fn export(
        &self,
        sink: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<Exported, InspectError> {
        let mut exported = Exported::default();
        let total = self.length();
        for (before, kept) in self.occupied() {
            let seal = cipher(self.keys.as_deref(), &kept.segment.header)?;
            let mut walk = self.walk(kept)?;
            while let Some(found) = walk.advance()? {
                let mut damaged = |range: Range<u64>, events, why: &str| {
                    exported.damage.push(Damage {
                        path: kept.segment.path.clone(),
                        offset: range.start,
                        length: range.end - range.start,
                        events,
                        why: why.into(),
                    });
                };
                let (header, body) = match found {
                    Found::Frame(header, body) if header.kind == FrameKind::Put => (header, body),
                    Found::Frame(..) | Found::Group(_) => continue,
                    Found::Damage(range) => {
                        damaged(range, 0, "no header can be read");
                        continue;
                    }
                };
                if self.log.consumed.covers(&numbers(&header)) {
                    continue;
                }
                self.tell(before + body.start, total);
                let stored = walk.read(body.clone())?;
                let decoded = open_body(&header, stored, seal.as_ref())?
                    .and_then(|body| decode_events(body, header.count));
                match decoded {
                    Ok(batch) => {
                        for (number, event) in numbers(&header).zip(batch) {
                            if !self.log.consumed.covers(&(number..number + 1)) {
                                sink(event)?;
                                exported.events += 1;
                            }
                        }
                    }
                    Err(Malformed(why)) => damaged(body, events(&header), why),
                }
            }
        }
        Ok(exported)
    }
}
