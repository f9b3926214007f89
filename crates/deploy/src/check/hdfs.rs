//! A flow into HDFS: as the service itself, then as each user that it may write as.

use std::time::Duration;

use flume_hadoop::{
    Destination,
    conf::{ClientSettings, Hadoop, NameNode},
    fs::{FsError, connect},
    namenode::messages::{
        BooleanResponse, DeleteRequest, FileStatus, GetListingRequest, GetListingResponse,
        SetOwnerRequest,
    },
    probe::{self, ProbeError, ProbeProblem, probe},
    rpc::{RpcConnection, RpcError},
};
use flume_kerberos::{Identity, Login};
use tokio::{runtime::Runtime, time::Instant};

use super::agent::{CheckAgent, CheckSink, lines};
use crate::{Site, fault::Fault};

/// A NameNode answers sooner.
const LIMIT: Duration = Duration::from_secs(20);
/// A user that nobody has.
const STRANGER: &str = "flume-check-stranger";
/// What every user may write to.
const PARENT: &str = "/tmp";

/// A cluster as this site's service sees it.
pub(super) struct Cluster<'a> {
    pub(super) site: &'a Site,
    pub(super) hadoop: Hadoop,
    pub(super) client: ClientSettings,
    /// `hdfs://…`
    pub(super) url: String,
    pub(super) namenodes: Vec<NameNode>,
    pub(super) runtime: Runtime,
}

/// Somebody who writes: with a directory of their own.
struct Writer {
    identity: Identity,
    /// Whose the files must be.
    owner: String,
    directory: String,
}

impl Cluster<'_> {
    /// Everything that can be asserted, and nothing left of it.
    pub(super) fn run(&self) -> Result<Vec<String>, Fault> {
        let site = self.site;
        let node = &self.site.node;
        if self.client.kerberos && !node.wants_kerberos() {
            let remedy = "add krb5_client to the node configuration, and flume-ng provision";
            return Err(Fault::new(
                "Hadoop's configuration asks for Kerberos, the node configuration does not",
                remedy,
            ));
        }
        let writers = self.writers();
        let mut found = vec![];
        for writer in &writers {
            let accepted = self
                .runtime
                .block_on(self.probe(&writer.identity))
                .map_err(fault)?;
            found.push(format!(
                "{} takes {}",
                accepted.namenode,
                self.shown(writer)
            ));
        }
        if !site.proxy_users.is_empty() {
            found.push(self.stranger_is_refused()?);
        }
        // Whatever happens from here on, what was written is removed.
        let flow = self.flow(&writers);
        let removed = self.remove(&writers);
        found.extend(flow?);
        removed?;
        found.push("everything that was written is removed".into());
        if self.client.kerberos {
            found.push(
                "the keytab alone was enough: reading and removing were done by another unix user"
                    .into(),
            );
        }
        found.push(format!(
            "advice: hosts that run MapReduce jobs as {} need the unix user, too",
            node.user()
        ));
        Ok(found)
    }

    /// The service itself, and those it may write as.
    fn writers(&self) -> Vec<Writer> {
        let node = &self.site.node;
        let id = flume_host::clock::now_ms();
        let directory = |who: &str| format!("{PARENT}/flume-check-{id}-{who}");
        let login = node.principal().map(|principal| Login {
            principal,
            keytab: node.keytab(),
        });
        // With Kerberos the short name is the principal's first part; without it, the unix user's.
        let own = if login.is_some() {
            "flume"
        } else {
            node.user()
        };
        let service = Writer {
            identity: Identity {
                login: login.clone(),
                proxy_user: None,
            },
            owner: own.into(),
            directory: directory(own),
        };
        let proxies = self.site.proxy_users.iter().map(|user| Writer {
            identity: Identity {
                login: login.clone(),
                proxy_user: Some(user.clone()),
            },
            owner: user.clone(),
            directory: directory(user),
        });
        std::iter::once(service).chain(proxies).collect()
    }

    fn shown(&self, writer: &Writer) -> String {
        let who = self
            .site
            .node
            .principal()
            .unwrap_or_else(|| format!("user {}", self.site.node.user()));
        match &writer.identity.proxy_user {
            None => who,
            Some(user) => format!("{who} as {user}"),
        }
    }

    /// Whether the NameNode takes somebody: its own words if not.
    async fn probe(&self, identity: &Identity) -> Result<probe::Accepted, ProbeError> {
        probe(&self.namenodes, identity, &self.client, LIMIT).await
    }

    /// A service that may act as anybody may act as the superuser.
    fn stranger_is_refused(&self) -> Result<String, Fault> {
        let login = self
            .writers()
            .into_iter()
            .next()
            .and_then(|writer| writer.identity.login);
        let stranger = Identity {
            login,
            proxy_user: Some(STRANGER.into()),
        };
        match self.runtime.block_on(self.probe(&stranger)) {
            Err(error) if error.problem == ProbeProblem::Impersonation => {
                Ok(format!("and refuses to let it act as {STRANGER}, whom nobody named"))
            }
            Err(error) => Err(fault(error)),
            Ok(_) => Ok("advice: the NameNode lets it act as anybody, the superuser included: name users or groups in \
                         hadoop.proxyuser.flume.users or .groups"
                .into()),
        }
    }

    /// Lines through an agent into a file for each writer, read back, with the right owner.
    fn flow(&self, writers: &[Writer]) -> Result<Vec<String>, Fault> {
        let sinks: Vec<_> = writers
            .iter()
            .enumerate()
            .map(|(at, writer)| self.sink(at, writer))
            .collect();
        let mut agent = CheckAgent::start(self.site, |_| sinks)?;
        agent.pass_lines()?;
        agent.stop()?;
        let mut found = vec![];
        for writer in writers {
            self.runtime.block_on(self.read_back(writer))?;
            found.push(format!(
                "lines written as {} were read back from a file of {0}'s",
                writer.owner
            ));
        }
        if let Some(service) = writers.first() {
            found.push(self.runtime.block_on(self.groups(service)));
        }
        Ok(found)
    }

    fn sink(&self, at: usize, writer: &Writer) -> CheckSink {
        let property = |key: &str, value: &str| (key.to_string(), value.to_string());
        let mut properties = vec![
            property("type", "hdfs"),
            property("hdfs.path", &format!("{}{}", self.url, writer.directory)),
            property("hdfs.filePrefix", "check"),
            property("hdfs.fileType", "DataStream"),
            property("hdfs.rollInterval", "0"),
            property("hdfs.rollSize", "0"),
            property("hdfs.rollCount", "0"),
        ];
        if let Some(login) = &writer.identity.login {
            // Both spellings that sites have: as it is, and with the host filled in by the agent.
            let realm = self.site.node.realm().unwrap_or_default();
            let principal = if at == 0 {
                login.principal.clone()
            } else {
                format!("flume/_HOST@{realm}")
            };
            properties.push(property("hdfs.kerberosPrincipal", &principal));
            properties.push(property(
                "hdfs.kerberosKeytab",
                &login.keytab.display().to_string(),
            ));
        }
        if let Some(user) = &writer.identity.proxy_user {
            properties.push(property("hdfs.proxyUser", user));
        }
        CheckSink {
            name: format!("k{at}"),
            properties,
        }
    }

    /// The only file in a writer's directory: its owner and its content.
    async fn read_back(&self, writer: &Writer) -> Result<(), Fault> {
        let Writer {
            identity,
            owner,
            directory,
        } = writer;
        let listing = GetListingRequest {
            path: directory.clone(),
            after: vec![],
            locations: false,
        };
        let answer: GetListingResponse = self.call(identity, "getListing", &listing).await?;
        let entries = answer
            .listing
            .map(|listing| listing.entries)
            .unwrap_or_default();
        let [
            FileStatus {
                name,
                owner: theirs,
                ..
            },
        ] = &entries[..]
        else {
            let cause = format!(
                "{} files are in {directory}, and one was written",
                entries.len()
            );
            return Err(Fault::new(cause, "flume-ng doctor"));
        };
        if theirs != owner {
            let cause = format!("the file written as {owner} belongs to {theirs}");
            return Err(Fault::new(
                cause,
                "look at hadoop.security.auth_to_local of the NameNode",
            ));
        }
        let file = format!("{directory}/{}", String::from_utf8_lossy(name));
        let failed = |error: FsError| {
            Fault::new(
                flume_core::with_causes(&error),
                "are the DataNodes reachable from this host?",
            )
        };
        let cluster = flume_hadoop::Cluster {
            hadoop: self.hadoop.clone(),
            url: self.url.clone(),
            client: self.client.clone(),
            identity: identity.clone(),
        };
        let fs = connect(Destination::Cluster(Box::new(cluster)), LIMIT).map_err(failed)?;
        let bytes = fs.read(&file).await.map_err(failed)?;
        if bytes == lines().as_bytes() {
            Ok(())
        } else {
            let cause = format!(
                "{} bytes were sent and {} are in {file}",
                lines().len(),
                bytes.len()
            );
            Err(Fault::new(cause, "flume-ng doctor"))
        }
    }

    /// Whether the NameNode knows that the service is in its group: only a member may give a file to a group.
    async fn groups(&self, service: &Writer) -> String {
        let group = self.site.node.group();
        let request = SetOwnerRequest {
            path: service.directory.clone(),
            group: Some(group.into()),
        };
        match self
            .call::<BooleanResponse>(&service.identity, "setOwner", &request)
            .await
        {
            Ok(_) => format!(
                "the NameNode knows that {} is in group {group}",
                service.owner
            ),
            Err(_) => format!(
                "advice: the NameNode does not know that {} is in group {group}: if permissions of HDFS are to depend on it, \
                 make user and group on the NameNode's host, or in LDAP",
                service.owner
            ),
        }
    }

    /// Removes every directory, as whom it was made; the first failure is told after all were tried.
    fn remove(&self, writers: &[Writer]) -> Result<(), Fault> {
        let remove = |writer: &Writer| {
            let request = DeleteRequest {
                path: writer.directory.clone(),
                recursive: true,
            };
            let removed = self.runtime.block_on(self.call::<BooleanResponse>(
                &writer.identity,
                "delete",
                &request,
            ));
            removed.map_err(|fault| {
                let remedy = format!("hdfs dfs -rm -r -skipTrash {}", writer.directory);
                Fault::new(
                    format!("{} could not be removed: {}", writer.directory, fault.cause),
                    remedy,
                )
            })
        };
        let tried: Vec<_> = writers.iter().map(remove).collect();
        tried.into_iter().try_for_each(|removed| removed.map(drop))
    }

    /// Calls a method of the active NameNode.
    async fn call<M: prost::Message + Default>(
        &self,
        identity: &Identity,
        method: &str,
        request: &impl prost::Message,
    ) -> Result<M, Fault> {
        let namenode = self.probe(identity).await.map_err(fault)?.namenode;
        let mut connection: RpcConnection =
            probe::connect(&namenode, identity, &self.client, LIMIT)
                .await
                .map_err(remote)?;
        let answer = connection
            .call(method, request, Instant::now() + LIMIT)
            .await
            .map_err(remote)?;
        let broken = |error| {
            Fault::new(
                format!("the answer to {method} cannot be read: {error}"),
                "is it a NameNode?",
            )
        };
        M::decode_length_delimited(answer).map_err(broken)
    }
}

fn fault(error: ProbeError) -> Fault {
    Fault::new(error.text, error.hint)
}

fn remote(error: RpcError) -> Fault {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Fault::new(
        format!("the NameNode refuses: {first}"),
        format!("may everybody write to {PARENT}?"),
    )
}
