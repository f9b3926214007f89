//! The one JVM of an agent. It is started when the first component needs it, and again after it ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flume_core::BackOff;
use parking_lot::Mutex;

use crate::{
    connection::{HostConnection, HostError},
    counters, launch,
};

const NAME: &str = "the JVM";
/// Pauses before a JVM that ended is started again.
const RESTART: BackOff = BackOff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// A JVM that ran this long is healthy: the pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(120);

struct Jvm {
    connection: Option<Arc<HostConnection>>,
    started: Option<Instant>,
    restart: BackOff,
    /// Not before this moment.
    due: Option<Instant>,
}

static JVM: Mutex<Jvm> = Mutex::new(Jvm {
    connection: None,
    started: None,
    restart: RESTART,
    due: None,
});

/// The JVM, started if there is none. May block for seconds.
///
/// # Errors
/// It cannot be started, or ended a moment ago.
pub(crate) fn connect() -> Result<Arc<HostConnection>, HostError> {
    let mut jvm = JVM.lock();
    match &jvm.connection {
        Some(connection) if connection.is_alive() => return Ok(connection.clone()),
        Some(connection) if jvm.due.is_none() => {
            let end = connection.end();
            if jvm
                .started
                .is_some_and(|started| started.elapsed() > HEALTHY)
            {
                jvm.restart.reset();
            }
            let pause = jvm.restart.next_pause();
            jvm.due = Some(Instant::now() + pause);
            return Err(HostError::Gone(format!(
                "{end}; starting it again in {pause:?}"
            )));
        }
        _ => {}
    }
    if let Some(due) = jvm.due
        && let Some(rest) = due.checked_duration_since(Instant::now())
    {
        let seconds = rest.as_secs() + 1;
        return Err(HostError::Gone(format!(
            "{NAME} is not running; starting it in {seconds} s"
        )));
    }
    let started = launch::start().and_then(|child| HostConnection::start(NAME, child, None));
    match started {
        Ok(connection) => {
            counters::follow(&connection);
            jvm.connection = Some(connection.clone());
            jvm.started = Some(Instant::now());
            jvm.due = None;
            Ok(connection)
        }
        Err(error) => {
            let pause = jvm.restart.next_pause();
            jvm.due = Some(Instant::now() + pause);
            Err(error)
        }
    }
}
