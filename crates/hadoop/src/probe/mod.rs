//! The first question to a cluster: does it take this identity? It is asked before any event is, with a connection of
//! its own, and answered within seconds, also where a client would try again for minutes without saying why.

mod explain;

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use flume_kerberos::{Identity, on_thread, resolve_for, user_name};
use tokio::time::Instant;

use crate::{
    conf::{ClientSettings, NameNode, Protection},
    rpc::{
        ConnectionSettings, RpcConnection, RpcError, RpcUser, messages::GetFileInfoRequest,
        sasl::SaslDemands,
    },
};

/// A NameNode answers sooner, unless something is wrong.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a NameNode said yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The active NameNode.
    pub namenode: NameNode,
    /// Who it has proved to be; `None` without Kerberos.
    pub server: Option<String>,
    /// What was agreed on for calls.
    pub protection: Protection,
    /// How long it took.
    pub took: Duration,
}

/// Why a cluster does not take an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}; {hint}")]
pub struct ProbeError {
    /// Which of the known problems it is.
    pub problem: ProbeProblem,
    /// What is so: the NameNode and its words.
    pub text: String,
    /// What would help.
    pub hint: String,
}

/// Problems that have a message of their own. With several NameNodes the last of these that was met is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeProblem {
    /// The host is unknown, or nobody listens there.
    Unreachable,
    /// It took the connection, and did not answer in time.
    NoAnswer,
    /// It is a standby. Told only when no NameNode is active.
    Standby,
    /// Something else listens there.
    NoNameNode,
    /// The server has an exception that is none of the others.
    Failed,
    /// The KDC gives no ticket for the NameNode, or nobody is logged in.
    NoTicket,
    /// The NameNode does not accept the ticket.
    TicketRefused,
    /// The NameNode offers less protection than the configuration demands.
    TooWeak,
    /// The NameNode is not who the configuration says.
    WrongServer,
    /// The cluster has no Kerberos, and the client must have it.
    NoKerberos,
    /// The cluster wants Kerberos, and the client has none.
    KerberosWanted,
    /// The user may not use this service at all.
    NotAuthorized,
    /// The user may not act for the other one.
    Impersonation,
}

/// Asks all NameNodes of a cluster at once, each for at most `limit`. The identity's `_HOST` is resolved.
///
/// # Errors
/// Why none of them takes this identity.
pub async fn probe(
    namenodes: &[NameNode],
    identity: &Identity,
    client: &ClientSettings,
    limit: Duration,
) -> Result<Accepted, ProbeError> {
    let asked = namenodes
        .iter()
        .map(|namenode| ask(namenode, identity, client, limit));
    let mut accepted = vec![];
    let mut refused = vec![];
    for (namenode, answer) in namenodes
        .iter()
        .zip(futures_util::future::join_all(asked).await)
    {
        match answer {
            Ok(answer) => accepted.push(answer),
            Err(error) => refused.push(explain::explain(namenode, identity, client, &error)),
        }
    }
    match accepted.into_iter().next() {
        Some(accepted) => Ok(accepted),
        None => Err(explain::together(refused)),
    }
}

/// Asks a NameNode for the attributes of the root directory, which every user may see and a standby may not tell.
async fn ask(
    namenode: &NameNode,
    identity: &Identity,
    client: &ClientSettings,
    limit: Duration,
) -> Result<Accepted, RpcError> {
    let start = Instant::now();
    let deadline = Instant::now() + limit;
    let mut connection = connect(namenode, identity, client, limit).await?;
    connection
        .call(
            "getFileInfo",
            &GetFileInfoRequest { path: "/".into() },
            deadline,
        )
        .await?;
    let RpcConnection {
        protection, server, ..
    } = &connection;
    Ok(Accepted {
        namenode: namenode.clone(),
        server: server.clone(),
        protection: *protection,
        took: start.elapsed(),
    })
}

/// A connection to a NameNode for more questions.
///
/// # Errors
/// What stood in the way, after `limit` at the latest.
pub async fn connect(
    namenode: &NameNode,
    identity: &Identity,
    client: &ClientSettings,
    limit: Duration,
) -> Result<RpcConnection, RpcError> {
    let client_id = fastrand::u128(..).to_be_bytes();
    connect_as(namenode, identity, client, client_id, limit).await
}

/// The same for a client that calls again what may have been lost, and is recognised by its id.
///
/// # Errors
/// What stood in the way, after `limit` at the latest.
pub async fn connect_as(
    namenode: &NameNode,
    identity: &Identity,
    client: &ClientSettings,
    client_id: [u8; 16],
    limit: Duration,
) -> Result<RpcConnection, RpcError> {
    let deadline = Instant::now() + limit;
    let server = server_principal(namenode, client, limit).await?;
    let settings = ConnectionSettings {
        client_id,
        user: user(identity, client),
        proxy_user: identity.proxy_user.clone(),
        demands: SaslDemands {
            protection: client.rpc_protection.clone(),
            server,
            server_pattern: client.namenode_principal_pattern.clone(),
            simple_will_do: client.fallback_to_simple,
        },
    };
    RpcConnection::open(namenode, settings, deadline).await
}

/// Who calls: as in Flume a principal alone turns Kerberos on, whatever the configuration says.
fn user(identity: &Identity, client: &ClientSettings) -> RpcUser {
    match &identity.login {
        Some(login) => RpcUser::Keytab(login.clone()),
        None if client.kerberos => RpcUser::Tickets,
        None => RpcUser::Simple(simple_user()),
    }
}

/// Who this process is without Kerberos, for a tool that acts for a service of another user.
static CLAIMED: OnceLock<String> = OnceLock::new();

/// Makes this process a user's to clusters without Kerberos, once and for all.
pub fn claim(user: &str) {
    let _ = CLAIMED.set(user.into());
}

/// Who this process is without Kerberos: `HADOOP_USER_NAME`, else the system's user.
pub fn simple_user() -> String {
    if let Some(claimed) = CLAIMED.get() {
        return claimed.clone();
    }
    std::env::var("HADOOP_USER_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(user_name)
}

/// Who the NameNode must be: `_HOST` is its canonical name.
async fn server_principal(
    namenode: &NameNode,
    client: &ClientSettings,
    limit: Duration,
) -> Result<Option<String>, RpcError> {
    let Some(principal) = client.namenode_principal.clone() else {
        return Ok(None);
    };
    let host = namenode.host.clone();
    let resolved = on_thread(limit, move || resolve_for(&principal, &host)).await;
    resolved
        .map(Some)
        .map_err(|_| RpcError::TimedOut(limit.as_secs()))
}

/// For the log: "hdfs/nn1@R at nn1:8020, privacy, 12 ms".
impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "{server} at ")?;
        }
        write!(
            f,
            "{}, {}, {} ms",
            self.namenode,
            self.protection,
            self.took.as_millis()
        )
    }
}

/// The time of this host, for messages about clocks.
fn now() -> String {
    flume_kerberos::shown(SystemTime::now())
}

#[cfg(test)]
mod tests;
