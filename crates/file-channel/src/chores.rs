//! What need not hold up the writer: checkpoints, and spare segments made ahead. One thread does it, the housekeeper.

use std::{io, sync::Arc};

use parking_lot::{Condvar, Mutex};

use crate::{checkpoint::Checkpoint, disk::Disk, inbox::Inbox, pool::Pool};

/// What is to be done.
pub(crate) enum Chore {
    /// Make it durable.
    Checkpoint(Checkpoint),
    /// Make a spare segment, if there are too few.
    Fill,
}

/// The housekeeper's list.
#[derive(Default)]
pub(crate) struct Chores {
    list: Mutex<List>,
    came: Condvar,
}

#[derive(Default)]
struct List {
    checkpoint: Option<Checkpoint>,
    fill: bool,
    done: Option<(Checkpoint, io::Result<usize>)>,
    /// Whether the last attempt made a spare segment, until somebody asks.
    filled: Option<bool>,
    troubles: Troubles,
    closed: bool,
}

/// What fails now. It is logged when it begins and when it ends.
#[derive(Default)]
struct Troubles {
    checkpoint: usize,
    fill: usize,
}

impl Chores {
    /// Adds a chore.
    pub(crate) fn begin(&self, chore: Chore) {
        let mut list = self.list.lock();
        match chore {
            Chore::Checkpoint(checkpoint) => list.checkpoint = Some(checkpoint),
            Chore::Fill => list.fill = true,
        }
        self.came.notify_one();
    }

    /// Asks for spare segments.
    pub(crate) fn fill(&self) {
        let mut list = self.list.lock();
        if !list.fill {
            list.fill = true;
            self.came.notify_one();
        }
    }

    /// The checkpoint that was finished, once, with its bytes.
    pub(crate) fn finished(&self) -> Option<(Checkpoint, io::Result<usize>)> {
        self.list.lock().done.take()
    }

    /// Whether the last attempt at a spare segment made one; once.
    pub(crate) fn filled(&self) -> Option<bool> {
        self.list.lock().filled.take()
    }

    /// Ends the housekeeper after the chore under way and the last checkpoint.
    pub(crate) fn close(&self) {
        self.list.lock().closed = true;
        self.came.notify_one();
    }

    fn next(&self) -> Option<Chore> {
        let mut list = self.list.lock();
        loop {
            list.fill &= !list.closed;
            if let Some(chore) = list.take() {
                return Some(chore);
            }
            if list.closed {
                return None;
            }
            self.came.wait(&mut list);
        }
    }

    /// Does one chore if there is one.
    #[cfg(test)]
    pub(crate) fn step(&self, disk: &dyn Disk, pool: &Pool) -> bool {
        let chore = self.list.lock().take();
        let some = chore.is_some();
        chore
            .into_iter()
            .for_each(|chore| self.run_one(chore, disk, pool));
        some
    }

    /// Does chores until the list is closed; tells the writer of each.
    pub(crate) fn run(&self, disk: &dyn Disk, pool: &Arc<Pool>, inbox: &Inbox) {
        while let Some(chore) = self.next() {
            self.run_one(chore, disk, pool);
            inbox.chore_done();
        }
    }

    fn run_one(&self, chore: Chore, disk: &dyn Disk, pool: &Pool) {
        match chore {
            Chore::Checkpoint(checkpoint) => {
                let outcome = checkpoint.write(disk, &pool.layout().checkpoint_dir);
                let mut list = self.list.lock();
                let failure = outcome.as_ref().err();
                say_once(&mut list.troubles.checkpoint, "write a checkpoint", failure);
                list.done = Some((checkpoint, outcome));
            }
            Chore::Fill => {
                let outcome = pool.fill_one();
                let mut list = self.list.lock();
                let failure = outcome.as_ref().err();
                say_once(&mut list.troubles.fill, "make a spare segment", failure);
                list.filled = Some(outcome.unwrap_or(false));
            }
        }
    }
}

/// Logs the first failure of a row and its end.
fn say_once(failures: &mut usize, doing: &str, failure: Option<&io::Error>) {
    match (failure, *failures) {
        (None, 0) => {}
        (None, count) => {
            tracing::info!("managed to {doing} after {count} failed attempts");
            *failures = 0;
        }
        (Some(error), count) => {
            if count == 0 {
                tracing::warn!("failed to {doing}; trying again: {error}");
            }
            *failures += 1;
        }
    }
}

impl List {
    fn take(&mut self) -> Option<Chore> {
        if let Some(checkpoint) = self.checkpoint.take() {
            return Some(Chore::Checkpoint(checkpoint));
        }
        std::mem::take(&mut self.fill).then_some(Chore::Fill)
    }
}
