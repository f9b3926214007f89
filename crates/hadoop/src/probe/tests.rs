//! Messages of refusals, in the words of a real NameNode.

use super::*;
use crate::{conf::Hadoop, rpc::sasl::SaslRefusal};
use flume_kerberos::Login;

fn namenode(host: &str) -> NameNode {
    NameNode {
        host: host.into(),
        port: 8020,
    }
}

fn identity() -> Identity {
    let login = Login {
        principal: "flume/h@R".into(),
        keytab: "/k".into(),
    };
    Identity {
        login: Some(login),
        proxy_user: Some("carol".into()),
    }
}

fn explain(error: RpcError) -> ProbeError {
    let client = ClientSettings::of(&Hadoop::default()).unwrap();
    explain::explain(&namenode("nn"), &identity(), &client, &error)
}

fn remote(class: &str, message: &str) -> RpcError {
    RpcError::Remote {
        class: class.into(),
        message: message.into(),
    }
}

#[test]
fn each_refusal_has_its_message() {
    let check = |error: RpcError, problem: ProbeProblem, text: &str, hint: &str| {
        let explained = explain(error);
        assert_eq!(explained.problem, problem);
        assert_eq!(explained.text, text);
        assert!(explained.hint.contains(hint), "{}", explained.hint);
    };
    let authorization = "org.apache.hadoop.security.authorize.AuthorizationException";
    check(
        remote(
            authorization,
            "User: flume/h@R is not allowed to impersonate carol",
        ),
        ProbeProblem::Impersonation,
        "NameNode nn:8020: User: flume/h@R is not allowed to impersonate carol",
        "hadoop.proxyuser.flume.hosts (with this host) and hadoop.proxyuser.flume.users (with carol) or \
         hadoop.proxyuser.flume.groups (with a group of carol)",
    );
    check(
        remote(
            authorization,
            "Unauthorized connection for super-user: flume/h@R from IP 10.0.0.1",
        ),
        ProbeProblem::Impersonation,
        "NameNode nn:8020: Unauthorized connection for super-user: flume/h@R from IP 10.0.0.1",
        "core-site.xml needs hadoop.proxyuser.flume.hosts (with this host); then",
    );
    check(
        remote(
            "org.apache.hadoop.ipc.StandbyException",
            "Operation category READ is not supported in state standby",
        ),
        ProbeProblem::Standby,
        "NameNode nn:8020 is not active: Operation category READ is not supported in state standby",
        "haadmin",
    );
    check(
        remote(
            "org.apache.hadoop.security.AccessControlException",
            "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
        ),
        ProbeProblem::KerberosWanted,
        "NameNode nn:8020 wants Kerberos: SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
        "hdfs.kerberosPrincipal",
    );
    check(
        RpcError::Negotiation(SaslRefusal::WrongServer {
            is: "hdfs/nn".into(),
            wanted: "nn/nn@R".into(),
        }),
        ProbeProblem::WrongServer,
        "NameNode nn:8020: the server is hdfs/nn, and must be nn/nn@R",
        "dfs.namenode.kerberos.principal",
    );
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    check(
        refused.into(),
        ProbeProblem::Unreachable,
        "nobody listens at nn:8020",
        "is the NameNode up",
    );
    let unknown = flume_kerberos::gss::GssError {
        major: 0xd_0000,
        minor: flume_kerberos::gss::code::SERVICE_UNKNOWN,
        text: "SAID".into(),
    };
    check(
        unknown.into(),
        ProbeProblem::NoTicket,
        "the KDC does not know NameNode nn:8020 as its principal: SAID",
        "dfs.namenode.kerberos.principal",
    );
    check(
        RpcError::TimedOut(10),
        ProbeProblem::NoAnswer,
        "NameNode nn:8020 does not answer within 10 s",
        "firewall",
    );
}

#[test]
fn of_several_namenodes_the_most_telling_is_told() {
    let refusal = |problem, text: &str| ProbeError {
        problem,
        text: text.into(),
        hint: "H".into(),
    };
    let both = explain::together(vec![
        refusal(ProbeProblem::Unreachable, "nobody listens at a"),
        refusal(ProbeProblem::Standby, "b is not active"),
    ]);
    assert_eq!(both.to_string(), "b is not active (nobody listens at a); H");
    assert_eq!(
        explain::together(vec![refusal(ProbeProblem::Failed, "x")]).text,
        "x"
    );
}
