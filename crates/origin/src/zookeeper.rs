//! A configuration in a node of ZooKeeper, which is watched.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use flume_core::secrets;
use flume_host::trust::{self, MAX_CONFIGURATION_BYTES};
use flume_java::jaas::{self, LoginModule};
use tokio::time::sleep;
use zookeeper_client::{Client, Error, OneshotWatcher, SaslOptions, SessionState};

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

/// Who logs in at the servers, by SASL's DIGEST-MD5.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperLogin {
    user: String,
    password: String,
}

impl ZooKeeperLogin {
    /// As Java's client finds it: in the entry `Client`, or the one that `zookeeper.sasl.clientconfig` names, of the file
    /// that `java.security.auth.login.config` names. `None`: nobody logs in.
    ///
    /// # Errors
    /// The file cannot be read, or the entry asks for a login that is not built in.
    pub fn of(properties: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let get = |name: &str| properties.get(name).map(String::as_str);
        let Some(path) = get("java.security.auth.login.config") else {
            return Ok(None);
        };
        if get("zookeeper.sasl.client") == Some("false") {
            return Ok(None);
        }
        let entry = get("zookeeper.sasl.clientconfig").unwrap_or("Client");
        let contents = trust::read(Path::new(path), MAX_CONFIGURATION_BYTES)?;
        let module = jaas::parse_entry(&String::from_utf8_lossy(&contents.bytes), entry);
        let module = module.map_err(|error| format!("{path}: {error}"))?;
        let login = module.map(|module| Self::of_module(&module));
        login
            .transpose()
            .map_err(|error| format!("{path}: the entry `{entry}`: {error}"))
    }

    fn of_module(module: &LoginModule) -> Result<Self, String> {
        let name = module.name();
        if name != "DigestLoginModule" {
            return Err(format!(
                "`{name}` is not built in, only DigestLoginModule; -Dzookeeper.sasl.client=false reads the node without a login"
            ));
        }
        let option = |key: &str| {
            let value = module.option(key).map(String::from);
            value.ok_or_else(|| format!("`{name}` has no {key}"))
        };
        let login = ZooKeeperLogin {
            user: option("username")?,
            password: option("password")?,
        };
        secrets::remember(&login.password);
        Ok(login)
    }
}

/// Begins to read and to watch a node.
///
/// # Errors
/// The system gives no thread.
pub fn start(node: ZooKeeperNode, login: Option<ZooKeeperLogin>) -> Result<RemoteDocument, String> {
    let shown = node.shown();
    RemoteDocument::start(shown, "conf-zookeeper", move |shared, asked| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(
                Watch {
                    node,
                    login,
                    shared,
                }
                .run(asked),
            ),
            Err(error) => shared.failed(format!(
                "{}: failed to start a runtime: {error}",
                node.shown()
            )),
        }
    })
}

struct Watch {
    node: ZooKeeperNode,
    login: Option<ZooKeeperLogin>,
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
            match self.connect().await {
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

    async fn connect(&self) -> Result<Client, Error> {
        let connector = Client::connector()
            .with_session_timeout(SESSION_TIMEOUT)
            .with_connection_timeout(CONNECTION_TIMEOUT)
            .with_fail_eagerly();
        let connector = match self.login.clone() {
            Some(ZooKeeperLogin { user, password }) => {
                connector.with_sasl(SaslOptions::digest_md5(user, password))
            }
            None => connector,
        };
        connector.connect(&self.node.servers).await
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

    #[test]
    fn a_login_is_found_as_by_java() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "Client { org.apache.zookeeper.server.auth.DigestLoginModule required username=\"u\" password=\"hush\"; };\n\
                    Kerberos { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };\n\
                    Half { x.DigestLoginModule required username=\"u\"; };\n";
        std::fs::write(file.path(), text).unwrap();
        let of = |more: &[(&str, &str)]| {
            let path = file.path().display().to_string();
            let path = ("java.security.auth.login.config", path.as_str());
            let all = more.iter().chain([&path]);
            let all = all.map(|(key, value)| (key.to_string(), value.to_string()));
            ZooKeeperLogin::of(&all.collect())
        };
        let login = of(&[]).unwrap().unwrap();
        assert_eq!((&login.user[..], &login.password[..]), ("u", "hush"));
        let entry = "zookeeper.sasl.clientconfig";
        assert!(of(&[(entry, "Other")]).unwrap().is_none());
        assert!(of(&[("zookeeper.sasl.client", "false")]).unwrap().is_none());
        assert!(ZooKeeperLogin::of(&BTreeMap::new()).unwrap().is_none());
        for (name, expected) in [
            ("Kerberos", "`Krb5LoginModule` is not built in"),
            ("Half", "has no password"),
        ] {
            let error = of(&[(entry, name)]).err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
