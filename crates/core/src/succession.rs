//! A channel takes the place of another one, with all events of its predecessor.
//!
//! Either both keep their events in the same store: then the first is closed and the second opened, because a store has
//! one owner. Or the events move: the second is opened first, so that a successor that does not open changes nothing.
//! Sinks are stopped meanwhile. Puts wait at the gate.

use std::{sync::Arc, time::Duration};

use tokio::{sync::RwLockWriteGuard, time::timeout};

use crate::{BuildError, Channel, ChannelError, ChannelHandle, Want, channel::StoreRelation};

/// How long a change of channel waits for the puts under way: longer than the usual keep-alive, and not so long that
/// an agent which reloads seems to hang.
const MAX_PUT_WAIT: Duration = Duration::from_secs(5);
/// Events that move in one transaction.
const MOVE_EVENTS: usize = 1000;
/// Their bytes.
const MOVE_BYTES: usize = 8 << 20;
/// How long to wait for an event that a channel counts, but cannot yield at once: one that is read from disk.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// A channel that yields nothing so many times in a row cannot read what it counts.
const MAX_EMPTY_TAKES: u32 = 10;
/// With more events than this, most of them move while puts go on.
const FEW_EVENTS: usize = 10_000;
/// Puts that are faster than the move end it: the rest moves while they wait.
const MAX_ROUNDS: usize = 10;

/// Builds a channel with the settings of the one that is in its place.
pub type Rebuild<'a> = &'a (dyn Fn() -> Result<Box<dyn Channel>, BuildError> + Send + Sync);

/// Why a channel keeps its place.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Fewer events fit into the successor than there are.
    #[error("the channel holds {held} events, and its successor has room for {capacity}")]
    TooSmall {
        /// Events to move.
        held: usize,
        /// Events that fit.
        capacity: usize,
    },
    /// It could not take its events back if a move failed.
    #[error(
        "the channel holds {held} events, which is more than its capacity {capacity}: \
         they could not return if the move failed; give it a capacity of {held} first"
    )]
    Overfull {
        /// Events in it.
        held: usize,
        /// Events that fit into it.
        capacity: usize,
    },
    /// A sink has taken events that it may yet return.
    #[error("{in_flight} of its events are with a sink that does not stop")]
    InFlight {
        /// How many.
        in_flight: usize,
    },
    /// A put waits for room, and may do so for long.
    #[error("a put has been waiting for room for more than {MAX_PUT_WAIT:?}")]
    Busy,
    /// Old and new directories are partly the same.
    #[error(
        "it holds {held} events in directories of which the new settings leave out some; \
         deliver them first, or give the channel directories that are all new"
    )]
    SharedStore {
        /// Events in the old directories.
        held: usize,
    },
    /// The successor cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The successor does not open.
    #[error("the channel with the new settings does not open")]
    Unopened(#[source] ChannelError),
    /// Fewer events are in the successor than were there before.
    #[error("the new settings show {found} of {held} events")]
    Incomplete {
        /// Events that the predecessor held.
        held: usize,
        /// Events in the successor.
        found: usize,
    },
    /// Events that had moved did not come back.
    #[error("{}", fate(*kept, place, *lost))]
    Stranded {
        /// How many are kept elsewhere.
        kept: usize,
        /// Where these are.
        place: String,
        /// How many are lost.
        lost: usize,
        /// Why the channel keeps its place.
        #[source]
        cause: Box<ReplaceError>,
    },
    /// A channel failed while the events moved.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl ReplaceError {
    /// How many events are lost.
    pub fn lost(&self) -> usize {
        match self {
            ReplaceError::Stranded { lost, .. } => *lost,
            _ => 0,
        }
    }
}

impl ChannelHandle {
    /// Puts `successor` in the place of this open channel, with all its events, in order. Puts wait meanwhile; no sink
    /// may hold a take. On an error the old channel is in service, or one of its settings that `rebuild` has made.
    /// [`is_open`](Self::is_open) says whether that one has opened again.
    pub async fn replace(
        &self,
        successor: Box<dyn Channel>,
        rebuild: Rebuild<'_>,
    ) -> Result<(), ReplaceError> {
        let old = self.channel();
        let held = held(&**old);
        match old.store().relation(&successor.store()) {
            StoreRelation::Apart => self.move_to(successor).await,
            StoreRelation::Partly if held > 0 => Err(ReplaceError::SharedStore { held }),
            StoreRelation::Same | StoreRelation::Partly => self.reopen_as(successor, rebuild).await,
        }
    }

    /// Puts a channel that will be opened later in the place of one that never opened. Puts wait until it is open.
    pub async fn reseat(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let _closed = self.stop_puts().await?;
        self.await_open();
        let old = self.seat(successor);
        // It never opened, so it holds nothing.
        if let Err(error) = old.close().await {
            tracing::warn!(
                "{}: the channel before failed to close: {error}",
                self.name()
            );
        }
        Ok(())
    }

    async fn move_to(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let old = self.channel();
        let in_flight = old.stats().in_flight;
        if in_flight > 0 && old.store().is_local() {
            return Err(ReplaceError::InFlight { in_flight });
        }
        let moves = old.store().is_local();
        let held = held(&**old);
        let capacity = old.stats().capacity;
        if moves && held > capacity {
            return Err(ReplaceError::Overfull { held, capacity });
        }
        successor.open().await.map_err(ReplaceError::Unopened)?;
        let mut outcome = Ok(());
        let mut moved = 0;
        if moves && successor.durable() && room(&*successor) >= old.stats().capacity {
            outcome = move_most(&**old, &*successor, &mut moved).await;
        }
        let closed = match self.stop_puts().await {
            Ok(closed) => closed,
            Err(error) => {
                return Err(take_back(&**old, &*successor, moved, error, self.name()).await);
            }
        };
        if outcome.is_ok() && moves {
            outcome = move_all(&**old, &*successor, &mut moved).await;
        }
        if let Err(error) = outcome {
            return Err(take_back(&**old, &*successor, moved, error, self.name()).await);
        }
        let store = old.store();
        if !store.is_local() {
            tracing::warn!(
                "{}: events that are still in {store} stay there; name it again to deliver them",
                self.name()
            );
        }
        self.seat(successor);
        drop(closed);
        // All events are in the successor: a failure here loses nothing.
        if let Err(error) = old.close().await {
            tracing::warn!(
                "{}: the channel before failed to close: {error}",
                self.name()
            );
        }
        Ok(())
    }

    async fn reopen_as(
        &self,
        successor: Box<dyn Channel>,
        rebuild: Rebuild<'_>,
    ) -> Result<(), ReplaceError> {
        let _closed = self.stop_puts().await?;
        let old = self.channel();
        old.save().await?;
        let in_flight = old.volatile_events();
        if in_flight > 0 {
            return Err(ReplaceError::InFlight { in_flight });
        }
        let before = held(&**old);
        let capacity = successor.stats().capacity;
        let shrinks = capacity < old.stats().capacity;
        if old.store().is_local() && shrinks && before > capacity {
            let held = before;
            return Err(ReplaceError::TooSmall { held, capacity });
        }
        if let Err(error) = old.close().await {
            self.bring_back(rebuild).await;
            return Err(error.into());
        }
        let opened = successor.open().await.map_err(ReplaceError::Unopened);
        let found = held(&*successor);
        let complete = opened.and_then(|()| {
            if successor.store().is_local() && found < before {
                let held = before;
                Err(ReplaceError::Incomplete { held, found })
            } else {
                Ok(())
            }
        });
        if let Err(error) = complete {
            let _ = successor.close().await;
            self.bring_back(rebuild).await;
            return Err(error);
        }
        self.seat(successor);
        Ok(())
    }

    /// The old channel is closed, so another one of its settings comes into its place.
    async fn bring_back(&self, rebuild: Rebuild<'_>) {
        match rebuild() {
            Ok(same) => drop(self.seat(same)),
            Err(error) => {
                tracing::error!("{}: failed to build it again: {error}", self.name());
            }
        }
        self.await_open();
        if let Err(error) = self.open().await {
            tracing::error!("{}: failed to open it again: {error}", self.name());
        }
    }

    /// Until the guard is dropped no put begins; none is under way.
    async fn stop_puts(&self) -> Result<RwLockWriteGuard<'_, ()>, ReplaceError> {
        timeout(MAX_PUT_WAIT, self.gate().write())
            .await
            .map_err(|_| ReplaceError::Busy)
    }

    fn seat(&self, channel: Box<dyn Channel>) -> Arc<Box<dyn Channel>> {
        self.swap(Arc::new(channel))
    }
}

/// Events of a channel, with those that sinks have.
fn held(channel: &dyn Channel) -> usize {
    let stats = channel.stats();
    stats.events + stats.in_flight
}

/// Moves events while puts go on, until few are left, or until more would not find room again in `from`.
async fn move_most(
    from: &dyn Channel,
    to: &dyn Channel,
    moved: &mut usize,
) -> Result<(), ReplaceError> {
    let most = from.stats().events.saturating_mul(MAX_ROUNDS);
    while *moved < most {
        let events = from.stats().events;
        if events <= FEW_EVENTS || *moved + held(from) > from.stats().capacity {
            return Ok(());
        }
        check_room(events, to)?;
        move_events(from, to, MOVE_EVENTS, moved).await?;
    }
    Ok(())
}

/// Moves all events. No put is under way.
async fn move_all(
    from: &dyn Channel,
    to: &dyn Channel,
    moved: &mut usize,
) -> Result<(), ReplaceError> {
    check_room(from.stats().events, to)?;
    move_events(from, to, usize::MAX, moved).await
}

fn check_room(held: usize, to: &dyn Channel) -> Result<(), ReplaceError> {
    let capacity = room(to);
    if held > capacity {
        return Err(ReplaceError::TooSmall { held, capacity });
    }
    Ok(())
}

/// Events that still fit.
fn room(channel: &dyn Channel) -> usize {
    channel.stats().capacity.saturating_sub(held(channel))
}

/// Moves events in order, each batch in a transaction: first into the new channel, then out of the old one.
async fn move_events(
    from: &dyn Channel,
    to: &dyn Channel,
    mut limit: usize,
    moved: &mut usize,
) -> Result<(), ReplaceError> {
    let most = to.stats().transaction_capacity.clamp(1, MOVE_EVENTS);
    let mut empty = 0;
    while limit > 0 && from.stats().events > 0 {
        let want = Want {
            events: most.min(limit),
            bytes: MOVE_BYTES,
            linger: Duration::ZERO,
        };
        let take = from.take(want, READ_TIMEOUT).await?;
        let events = take.events().len();
        if events == 0 {
            empty += 1;
            if empty == MAX_EMPTY_TAKES {
                let reason = "events that the channel counts cannot be read";
                return Err(ChannelError::Storage(reason.into()).into());
            }
            continue;
        }
        empty = 0;
        to.put(take.events().to_vec()).await?;
        *moved += events;
        take.commit().await?;
        limit = limit.saturating_sub(events);
    }
    let in_flight = from.stats().in_flight;
    if limit > 0 && in_flight > 0 {
        return Err(ReplaceError::InFlight { in_flight });
    }
    Ok(())
}

/// A move has failed: what has moved returns to the channel that stays in service, and the other one is closed. What does
/// not return is in the store of the other one, or lost with it, and the error says so. A store that is not local does
/// not tell what it holds, so nothing returns from there.
async fn take_back(
    stays: &dyn Channel,
    goes: &dyn Channel,
    moved: usize,
    cause: ReplaceError,
    name: &str,
) -> ReplaceError {
    let mut stranded = moved;
    if goes.store().is_local() {
        stranded = 0;
        if let Err(error) = move_events(goes, stays, usize::MAX, &mut 0).await {
            stranded = held(goes);
            tracing::error!(
                "{name}: {stranded} events could not return from {}: {error}",
                goes.store(),
            );
        }
    }
    if let Err(error) = goes.close().await {
        tracing::warn!("{name}: the channel that was refused failed to close: {error}");
    }
    if stranded == 0 {
        return cause;
    }
    // After the close, which may have moved events to disk, or failed to.
    let lost = goes.volatile_events().min(stranded);
    ReplaceError::Stranded {
        kept: stranded - lost,
        place: goes.store().to_string(),
        lost,
        cause: Box::new(cause),
    }
}

/// What has become of events that did not come back.
fn fate(kept: usize, place: &str, lost: usize) -> String {
    let kept_text = format!(
        "{kept} events are in {place} and did not come back; \
         they are delivered when a channel uses it again"
    );
    let lost_text = format!("{lost} events did not come back and are lost");
    match (kept, lost) {
        (_, 0) => kept_text,
        (0, _) => lost_text,
        _ => format!("{kept_text}; {lost_text}"),
    }
}
