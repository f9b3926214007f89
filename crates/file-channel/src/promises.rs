//! Promises that a test breaks on purpose, to see that it notices.

/// Which promise a test breaks on purpose, to see that it notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A group is written before the one before it was synced.
    WriteAhead,
    /// Batches can be taken before they were synced.
    EarlyTake,
    /// Sequence numbers begin anew after an open.
    SequenceReuse,
}

thread_local! {
    static BROKEN: std::cell::Cell<Option<Broken>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread breaks a promise, or none.
pub(crate) fn break_promise(broken: Option<Broken>) {
    BROKEN.set(broken);
}

/// Whether this thread breaks that promise.
pub(crate) fn breaks(broken: Broken) -> bool {
    BROKEN.get() == Some(broken)
}
