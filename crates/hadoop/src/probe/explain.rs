//! What a refusal means, and what would help.

use std::io::ErrorKind;

use flume_kerberos::gss::code;

use super::{ProbeError, ProbeProblem, now, simple_user};
use crate::{
    conf::{ClientSettings, NameNode},
    rpc::{RpcError, sasl::SaslRefusal},
};
use flume_kerberos::Identity;

const AUTHORIZATION: &str = "org.apache.hadoop.security.authorize.AuthorizationException";
const ACCESS_CONTROL: &str = "org.apache.hadoop.security.AccessControlException";
const SASL: &str = "javax.security.sasl.SaslException";
const STANDBY: &str = "org.apache.hadoop.ipc.StandbyException";

/// One NameNode's refusal.
pub(super) fn explain(
    namenode: &NameNode,
    identity: &Identity,
    client: &ClientSettings,
    error: &RpcError,
) -> ProbeError {
    let asked = Asked {
        namenode,
        identity,
        client,
    };
    let (problem, text, hint) = match error {
        RpcError::Network(error) => asked.network(error),
        RpcError::TimedOut(seconds) => (
            ProbeProblem::NoAnswer,
            format!("NameNode {namenode} does not answer within {seconds} s"),
            "is it overloaded or hanging, or does a firewall drop the packets?".into(),
        ),
        RpcError::Protocol(what) => (
            ProbeProblem::NoNameNode,
            format!("what listens at {namenode} is no NameNode: {what}"),
            "the port is that of the RPC address, 8020 by default, not of the web page".into(),
        ),
        RpcError::Remote { class, message } => asked.exception(class, message),
        RpcError::Kerberos(error) => asked.kerberos(error),
        RpcError::Negotiation(refusal) => asked.refusal(refusal),
    };
    ProbeError {
        problem,
        text,
        hint,
    }
}

/// The most telling of several; the others follow it.
pub(super) fn together(mut refused: Vec<ProbeError>) -> ProbeError {
    refused.sort_by_key(|refusal| std::cmp::Reverse(refusal.problem));
    let mut refused = refused.into_iter();
    let Some(first) = refused.next() else {
        let text = "the cluster has no NameNode".into();
        return ProbeError {
            problem: ProbeProblem::Unreachable,
            text,
            hint: "configure one".into(),
        };
    };
    let others: Vec<_> = refused
        .map(|refusal| refusal.text)
        .filter(|text| *text != first.text)
        .collect();
    match &others[..] {
        [] => first,
        others => ProbeError {
            text: format!("{} ({})", first.text, others.join("; ")),
            ..first
        },
    }
}

type Explained = (ProbeProblem, String, String);

struct Asked<'a> {
    namenode: &'a NameNode,
    identity: &'a Identity,
    client: &'a ClientSettings,
}

impl Asked<'_> {
    fn network(&self, error: &std::io::Error) -> Explained {
        let namenode = self.namenode;
        let (text, hint) = match error.kind() {
            ErrorKind::ConnectionRefused => (
                format!("nobody listens at {namenode}"),
                "is the NameNode up, and is this its RPC port?",
            ),
            // Also what a server does that speaks another protocol, and one that is short of threads.
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => (
                format!("NameNode {namenode} closed the connection without an answer"),
                "its log says why; is this its RPC port?",
            ),
            _ => (
                format!("NameNode {namenode} cannot be reached: {error}"),
                "is the host right, and routed?",
            ),
        };
        (ProbeProblem::Unreachable, text, hint.into())
    }

    fn exception(&self, class: &str, message: &str) -> Explained {
        let namenode = self.namenode;
        let said = format!("NameNode {namenode}: {message}");
        match class {
            AUTHORIZATION if message.contains("impersonate") || message.contains("super-user") => {
                (ProbeProblem::Impersonation, said, self.proxy_keys(message))
            }
            AUTHORIZATION => (
                ProbeProblem::NotAuthorized,
                said,
                "`security.client.protocol.acl` in the NameNode's hadoop-policy.xml must admit the user"
                    .into(),
            ),
            ACCESS_CONTROL if message.contains("SIMPLE authentication is not enabled") => (
                ProbeProblem::KerberosWanted,
                format!("NameNode {namenode} wants Kerberos: {message}"),
                "set hdfs.kerberosPrincipal and hdfs.kerberosKeytab".into(),
            ),
            ACCESS_CONTROL | SASL => (
                ProbeProblem::TicketRefused,
                format!("NameNode {namenode} does not accept the ticket of {}: {message}", self.user()),
                format!(
                    "its log says why; among the reasons are clocks that differ (this host has {}) and a NameNode \
                     whose keytab is out of date",
                    now()
                ),
            ),
            STANDBY => (
                ProbeProblem::Standby,
                format!("NameNode {namenode} is not active: {message}"),
                "one NameNode of the cluster must be; `hdfs haadmin -getAllServiceState` shows them".into(),
            ),
            _ => (ProbeProblem::Failed, format!("{said} ({class})"), "the NameNode's log has more".into()),
        }
    }

    /// The keys that allow it, with the short name that the NameNode makes of the principal by its rules.
    fn proxy_keys(&self, message: &str) -> String {
        let user = self.user();
        let short = user.split(['/', '@']).next().unwrap_or_default();
        let proxied = self.identity.proxy_user.as_deref().unwrap_or_default();
        let hosts = format!("hadoop.proxyuser.{short}.hosts (with this host)");
        let keys = if message.contains("from IP") {
            hosts
        } else {
            format!(
                "{hosts} and hadoop.proxyuser.{short}.users (with {proxied}) or hadoop.proxyuser.{short}.groups (with \
                 a group of {proxied})"
            )
        };
        format!(
            "the NameNode's core-site.xml needs {keys}; then `hdfs dfsadmin -refreshSuperUserGroupsConfiguration`"
        )
    }

    fn kerberos(&self, error: &flume_kerberos::gss::GssError) -> Explained {
        let namenode = self.namenode;
        let said = &error.text;
        let service = self
            .client
            .namenode_principal
            .as_deref()
            .unwrap_or("its principal");
        match error.minor {
            code::SERVICE_UNKNOWN => (
                ProbeProblem::NoTicket,
                format!("the KDC does not know NameNode {namenode} as {service}: {said}"),
                "dfs.namenode.kerberos.principal must be its principal; `_HOST` in it is the canonical name of its address"
                    .into(),
            ),
            code::SKEW => (
                ProbeProblem::TicketRefused,
                format!("the clocks of this host and of NameNode {namenode} differ too much: {said}"),
                format!("this host has {}; set both by NTP", now()),
            ),
            _ if self.identity.login.is_none() => (
                ProbeProblem::NoTicket,
                format!("NameNode {namenode} wants Kerberos, and the user of this process has no ticket: {said}"),
                "set hdfs.kerberosPrincipal and hdfs.kerberosKeytab".into(),
            ),
            _ => (
                ProbeProblem::NoTicket,
                format!("{} gets no ticket for NameNode {namenode}: {said}", self.user()),
                "KRB5_TRACE=/dev/stderr makes the Kerberos library tell more".into(),
            ),
        }
    }

    fn refusal(&self, refusal: &SaslRefusal) -> Explained {
        let namenode = self.namenode;
        let (problem, hint) = match refusal {
            SaslRefusal::NoKerberos(_) => (
                ProbeProblem::NoKerberos,
                "leave hdfs.kerberosPrincipal away, or set ipc.client.fallback-to-simple-auth-allowed in core-site.xml",
            ),
            SaslRefusal::WrongServer { .. } => (
                ProbeProblem::WrongServer,
                "dfs.namenode.kerberos.principal in hdfs-site.xml says who it must be; `_HOST` in it is the canonical \
                 name of its address",
            ),
            SaslRefusal::TooWeak(_) => (
                ProbeProblem::TooWeak,
                "hadoop.rpc.protection in core-site.xml must name what the NameNode has",
            ),
        };
        (
            problem,
            format!("NameNode {namenode}: {refusal}"),
            hint.into(),
        )
    }

    fn user(&self) -> String {
        match &self.identity.login {
            Some(login) => login.principal.clone(),
            None => simple_user(),
        }
    }
}
