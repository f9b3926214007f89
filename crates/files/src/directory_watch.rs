//! Tells that something was put into a directory, sooner than looking at it would. A hint only: whoever uses it looks
//! now and then all the same, because network file systems give no such events.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Events that are read at once; more are read the next time.
const MAX_EVENT_BYTES: usize = 4096;

/// Watched directories.
pub(crate) struct DirectoryWatch(AsyncFd<OwnedFd>);

impl DirectoryWatch {
    /// Watches for `what` in directories that are there and may be read. Fails when the kernel has no watch left.
    pub(crate) fn new(
        directories: impl IntoIterator<Item = impl AsRef<Path>>,
        what: WatchFlags,
    ) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        for directory in directories {
            // One that cannot be watched does not take the watch from the others.
            if let Err(error @ (Errno::NOSPC | Errno::NOMEM)) =
                inotify::add_watch(&fd, directory.as_ref(), what)
            {
                return Err(error.into());
            }
        }
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its descriptor, which is all that is asked"
        )]
        let registered = AsyncFd::with_interest(fd, Interest::READABLE);
        registered.map(DirectoryWatch)
    }

    /// Waits until something happened since the last call.
    pub(crate) async fn changed(&self) {
        let Ok(mut ready) = self.0.readable().await else {
            return std::future::pending().await;
        };
        let mut buffer = [0; MAX_EVENT_BYTES];
        while rustix::io::read(self.0.get_ref(), &mut buffer).is_ok_and(|bytes| bytes > 0) {}
        ready.clear_ready();
    }
}

/// Waits for a change when there is a watch, else for ever.
pub(crate) async fn changed(watch: Option<&DirectoryWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
