//! A configuration in a node of ZooKeeper, which is watched.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState};

use crate::remote::{Asked, RemoteDocument, Shared};

/// As Curator's default in Flume.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a lost session is replaced, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Where Flume's nodes are when nobody says otherwise.
pub const DEFAULT_BASE: &str = "/flume";

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperNode {
    /// `host:port,host:port`, with the path of a root behind it if need be.
    pub servers: String,
    /// The node's path.
    pub path: String,
}

impl ZooKeeperNode {
    /// The node of an agent: its name below the base path.
    ///
    /// # Errors
    /// The path is none of ZooKeeper's.
    pub fn of_agent(servers: &str, base: &str, agent: &str) -> Result<ZooKeeperNode, String> {
        let path = format!("{}/{agent}", base.trim_end_matches('/'));
        let is_plain = path.starts_with('/')
            && path
                .split('/')
                .skip(1)
                .all(|part| !part.is_empty() && part != "." && part != "..");
        if !is_plain {
            return Err(format!(
                "--zkBasePath {base}: a path begins with `/`, and its parts are not empty"
            ));
        }
        if servers.is_empty() || servers.contains(char::is_whitespace) {
            return Err(format!(
                "--zkConnString {servers}: write HOST:PORT,HOST:PORT"
            ));
        }
        Ok(ZooKeeperNode {
            servers: servers.into(),
            path,
        })
    }

    fn shown(&self) -> String {
        format!("node {} of ZooKeeper {}", self.path, self.servers)
    }
}

/// Begins to read and to watch a node.
///
/// # Errors
/// The system gives no thread.
pub fn start(node: ZooKeeperNode) -> Result<RemoteDocument, String> {
    let shown = node.shown();
    RemoteDocument::start(shown, "conf-zookeeper", move |shared, asked| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(Watch { node, shared }.run(asked)),
            Err(error) => shared.failed(format!(
                "{}: failed to start a runtime: {error}",
                node.shown()
            )),
        }
    })
}

struct Watch {
    node: ZooKeeperNode,
    shared: Arc<Shared>,
}

/// Why a watch on a node ended.
enum WatchEnd {
    /// Nobody wants the document any longer.
    Unwanted,
    /// The session is lost.
    Lost,
}

impl Watch {
    async fn run(self, mut asked: Asked) {
        let mut pause = PAUSES[0];
        loop {
            let connected = Client::connector()
                .with_session_timeout(SESSION_TIMEOUT)
                .with_connection_timeout(CONNECTION_TIMEOUT)
                .with_fail_eagerly()
                .connect(&self.node.servers)
                .await;
            match connected {
                Ok(client) => {
                    pause = PAUSES[0];
                    match self.watch(&client, &mut asked).await {
                        WatchEnd::Unwanted => return,
                        WatchEnd::Lost => {}
                    }
                }
                Err(error) => self.failed(&format!("no connection: {error}")),
            }
            tokio::select! {
                () = sleep(pause) => {}
                wanted = asked.recv() => if wanted.is_none() { return },
            }
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    async fn watch(&self, client: &Client, asked: &mut Asked) -> WatchEnd {
        let mut states = client.state_watcher();
        loop {
            let watcher = match self.read(client).await {
                Ok(watcher) => watcher,
                Err(error) => {
                    self.failed(&error.to_string());
                    return WatchEnd::Lost;
                }
            };
            let changed = watcher.changed();
            tokio::pin!(changed);
            loop {
                tokio::select! {
                    _ = &mut changed => break,
                    wanted = asked.recv() => match wanted {
                        Some(()) => break,
                        None => return WatchEnd::Unwanted,
                    },
                    state = states.changed() => {
                        if state.is_terminated() {
                            self.failed("the session is lost; making another one");
                            return WatchEnd::Lost;
                        }
                        if state == SessionState::SyncConnected {
                            break;
                        }
                        self.failed("the connection is lost; trying the servers in turn");
                    }
                }
            }
        }
    }

    /// Reads the node, and watches it whether it is there or not.
    async fn read(&self, client: &Client) -> Result<OneshotWatcher, Error> {
        loop {
            match client.get_and_watch_data(&self.node.path).await {
                Ok((data, _, watcher)) => {
                    self.shared.received(data);
                    return Ok(watcher);
                }
                Err(Error::NoNode) => {
                    let (found, watcher) = client.check_and_watch_stat(&self.node.path).await?;
                    if found.is_none() {
                        self.failed("it does not exist; put the properties into it");
                        return Ok(watcher);
                    }
                    // It was made in between.
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn failed(&self, why: &str) {
        self.shared.failed(format!("{}: {why}", self.node.shown()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_an_agent() {
        let of = |servers, base| ZooKeeperNode::of_agent(servers, base, "a1").map(|node| node.path);
        assert_eq!(of("h:1,h:2/x", "/flume").as_deref(), Ok("/flume/a1"));
        assert_eq!(of("h:1", "/").as_deref(), Ok("/a1"));
        assert_eq!(of("h:1", "/x/y/").as_deref(), Ok("/x/y/a1"));
        assert!(
            of("h:1", "x")
                .unwrap_err()
                .contains("a path begins with `/`")
        );
        assert!(of("h:1", "/x//y").is_err());
        assert!(of("h:1", "/x/../y").is_err());
        assert!(of("", "/x").unwrap_err().contains("write HOST:PORT"));
    }
}
