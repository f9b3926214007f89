//! Whether somebody asked this process to stop. A command that changes a host, and runs other programs for it, looks
//! here while it waits, returns an error, and so cleans up on its usual way out.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGTERM, SIGINT and SIGHUP no longer end the process: they make [`interrupted`] true.
///
/// # Errors
/// The system has no thread or no signal handler to give.
pub fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(guard);
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hang_up.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::SeqCst);
            }
        });
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Whether a signal came since [`listen`].
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
