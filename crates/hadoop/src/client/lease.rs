//! The client's leases: one call renews those of all its files.

use std::{collections::HashMap, sync::Weak, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::ClientCore;
use crate::namenode::messages::{BooleanResponse, RenewLeaseRequest};

/// A lease that is not renewed for a minute may be taken by others.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(20);
const RETRY_PAUSE: Duration = Duration::from_secs(2);
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Open files, by the client's own numbers, with the namespace of each behind a router.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<u64, Option<String>>>);

impl Leases {
    pub(super) fn add(&self, file: u64, namespace: Option<String>) {
        self.0.lock().insert(file, namespace);
    }

    pub(super) fn remove(&self, file: u64) {
        self.0.lock().remove(&file);
    }

    /// Whether there are files, and the namespaces they are in.
    fn namespaces(&self) -> Option<Vec<String>> {
        let files = self.0.lock();
        let mut namespaces: Vec<String> = files.values().flatten().cloned().collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        (!files.is_empty()).then_some(namespaces)
    }
}

/// Renews as long as the client lives. A failure costs nothing at once: a lease that is really lost shows at the next call.
pub(super) async fn renew(core: Weak<ClientCore>) {
    let mut failing = false;
    loop {
        sleep(if failing {
            RETRY_PAUSE
        } else {
            RENEWAL_INTERVAL
        })
        .await;
        let Some(core) = core.upgrade() else { return };
        let Some(namespaces) = core.leases.namespaces() else {
            failing = false;
            continue;
        };
        let request = RenewLeaseRequest {
            client_name: core.name.clone(),
            namespaces,
        };
        let deadline = Instant::now() + RENEWAL_TIMEOUT;
        let renewed = core
            .namenodes
            .call::<BooleanResponse>("renewLease", &request, deadline);
        match renewed.await {
            Ok(_) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(
                        "the leases at {} are not renewed: {error}; retrying every {} s",
                        core.options.url,
                        RETRY_PAUSE.as_secs()
                    );
                }
                failing = true;
            }
        }
    }
}
