//! As whom an agent may write: what it says of each keytab, KDC and NameNode that will not have it, and how soon.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::{Cluster, Kdc, need};
use flume_testkit::agent::{Agent, component};

use crate::{agents::program, report::Report};

/// What is wrong is said within these.
const SOON: Duration = Duration::from_secs(15);
/// A NameNode that nobody is.
const NOBODY: &str = "hdfs://127.0.0.1:1/logs";

type Environment = Vec<(String, String)>;

/// A sink by its settings: path, principal, keytab, user acted for; empty is unset.
fn sink(name: &str, path: &str, principal: &str, keytab: &Path, proxy_user: &str) -> String {
    let mut text = format!(
        "a1.sinks.{name}.type = hdfs\na1.sinks.{name}.channel = c1\na1.sinks.{name}.hdfs.path = {path}\n\
         a1.sinks.{name}.hdfs.rollInterval = 0\n"
    );
    let keytab = if principal.is_empty() {
        String::new()
    } else {
        keytab.display().to_string()
    };
    for (key, value) in [
        ("kerberosPrincipal", principal),
        ("kerberosKeytab", &keytab),
        ("proxyUser", proxy_user),
    ] {
        if !value.is_empty() {
            text += &format!("a1.sinks.{name}.hdfs.{key} = {value}\n");
        }
    }
    text
}

/// An agent with these sinks on one channel.
fn start(names: &str, sinks: &str, conf: &Path, environment: &Environment) -> Result<Agent> {
    let text = format!(
        "a1.sources = r1\na1.channels = c1\na1.sinks = {names}\na1.sources.r1.type = netcat\n\
         a1.sources.r1.bind = localhost\na1.sources.r1.port = 0\na1.sources.r1.channels = c1\n\
         a1.channels.c1.type = memory\n{sinks}"
    );
    let conf = conf.display().to_string();
    let arguments = ["--conf", &conf, "-Dflume.root.logger=INFO,console"];
    Ok(Agent::start_with(
        tempfile::tempdir()?,
        program(),
        &text,
        &arguments,
        environment,
    )?)
}

/// What the sink gives as its reason, once all these words are in it.
fn reason(agent: &Agent, sink: &str, words: &[&str]) -> Option<String> {
    let status = agent.status().ok()?;
    let reason = component(&status, sink)?.reason.clone()?;
    words
        .iter()
        .all(|word| reason.contains(word))
        .then_some(reason)
}

fn fact(agent: &Agent, sink: &str, name: &str) -> Option<String> {
    let status = agent.status().ok()?;
    component(&status, sink)?.facts.get(name).cloned()
}

/// Waits until there is an answer, at most so long.
fn wait<T>(limit: Duration, mut answer: impl FnMut() -> Option<T>) -> (Option<T>, f64) {
    let begun = Instant::now();
    loop {
        let found = answer();
        if found.is_some() || begun.elapsed() > limit {
            return (found, begun.elapsed().as_secs_f64());
        }
        sleep(Duration::from_millis(20));
    }
}

/// One row: an agent with one sink says these words soon.
fn says(
    report: &mut Report,
    item: &str,
    sink: &str,
    conf: &Path,
    environment: &Environment,
    words: &[&str],
) -> Result<()> {
    let begun = Instant::now();
    let agent = start("k1", sink, conf, environment)?;
    let (said, _) = wait(SOON, || reason(&agent, "k1", words));
    let seconds = begun.elapsed().as_secs_f64();
    match &said {
        Some(said) => println!("    {said}"),
        None => println!("    expected {words:?}, log:\n{}", agent.log()),
    }
    report.row(
        item,
        format!("{seconds:.1} s"),
        "said within 15 s",
        said.is_some(),
    );
    Ok(())
}

/// Everything that a keytab or a KDC may have against a login; there is no NameNode.
pub fn logins(report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut kdc = Kdc::start(&dir.path().join("kdc"))?;
    let keytabs = Keytabs::make(&kdc, dir.path())?;
    let conf = dir.path();
    let environment = kdc.environment();
    let path = |name: &str| dir.path().join(name);
    let flume = "flume/_HOST@FLUME.TEST";
    let mut case =
        |item: &str, principal: &str, keytab: &Path, environment: &Environment, words: &[&str]| {
            let item = format!("identity: {item}");
            says(
                report,
                &item,
                &sink("k1", NOBODY, principal, keytab, ""),
                conf,
                environment,
                words,
            )
        };
    case(
        "keytab missing",
        flume,
        &path("none"),
        &environment,
        &["does not exist"],
    )?;
    case(
        "keytab truncated",
        flume,
        &keytabs.truncated,
        &environment,
        &["is truncated: of entry 1 there are"],
    )?;
    let others = [
        "has no key of flume/localhost@FLUME.TEST",
        "keys of nifi/localhost@FLUME.TEST",
    ];
    case(
        "keytab of another",
        flume,
        &keytabs.other,
        &environment,
        &others,
    )?;
    case(
        "keytab out of date",
        flume,
        &keytabs.old,
        &environment,
        &["does not accept the key", "ktadd"],
    )?;
    case(
        "principal locked",
        "locked",
        &kdc.keytab("locked"),
        &environment,
        &["has locked locked"],
    )?;
    case(
        "principal unknown to the KDC",
        "gone",
        &kdc.keytab("gone"),
        &environment,
        &["does not know gone"],
    )?;
    let stranger = with(
        &environment,
        "KRB5_CONFIG",
        &keytabs.stranger.display().to_string(),
    );
    case(
        "realm unknown",
        flume,
        &kdc.keytab("flume"),
        &stranger,
        &["FLUME.TEST", "has no KDC"],
    )?;
    let later = an_hour_later(&environment)?;
    case(
        "clock an hour ahead",
        "strict",
        &kdc.keytab("strict"),
        &later,
        &["the clocks of this host and of the KDC"],
    )?;
    let strict_clock = with(
        &later,
        "KRB5_CONFIG",
        &keytabs.strict_clock.display().to_string(),
    );
    case(
        "clock, told by the KDC's answer",
        flume,
        &kdc.keytab("flume"),
        &strict_clock,
        &["differ too much"],
    )?;
    // The login succeeds; then there is nobody to ask.
    case(
        "keytab right",
        flume,
        &kdc.keytab("flume"),
        &environment,
        &["nobody listens at 127.0.0.1:1"],
    )?;
    open_keytab(report, &kdc, conf)?;

    let silent = sink("k1", NOBODY, flume, &kdc.keytab("flume"), "");
    kdc.server.pause()?;
    says(
        report,
        "identity: KDC silent",
        &silent,
        conf,
        &environment,
        &["did not end within 10 s"],
    )?;
    kdc.server.resume()?;
    kdc.server.kill();
    says(
        report,
        "identity: KDC down",
        &silent,
        conf,
        &environment,
        &["no KDC of FLUME.TEST answers"],
    )
}

/// Files that are wrong, each in its way.
struct Keytabs {
    truncated: PathBuf,
    other: PathBuf,
    /// Of a key that was changed since.
    old: PathBuf,
    /// A krb5.conf of another realm.
    stranger: PathBuf,
    /// A krb5.conf by which the library does not follow the KDC's clock.
    strict_clock: PathBuf,
}

impl Keytabs {
    fn make(kdc: &Kdc, dir: &Path) -> Result<Keytabs> {
        let flume = kdc.add("flume", &["flume/localhost"])?;
        for (keytab, principal) in [
            ("strict", "strict"),
            ("locked", "locked"),
            ("gone", "gone"),
            ("nifi", "nifi/localhost"),
        ] {
            kdc.add(keytab, &[principal])?;
        }
        kdc.admin("modprinc +requires_preauth strict")?;
        kdc.admin("modprinc -allow_tix locked")?;
        kdc.admin("delprinc -force gone")?;
        let old = dir.join("old.keytab");
        let truncated = dir.join("truncated.keytab");
        fs::copy(&flume, &old)?;
        kdc.admin(&format!("ktadd -k {} flume/localhost", flume.display()))?;
        fs::write(
            &truncated,
            fs::read(&flume)?.get(..40).context("a short keytab")?,
        )?;
        let conf = fs::read_to_string(kdc.krb5_conf())?;
        let stranger = dir.join("stranger.conf");
        let strict_clock = dir.join("strict_clock.conf");
        fs::write(
            &stranger,
            conf.replace("FLUME.TEST = {", "ELSEWHERE.TEST = {"),
        )?;
        fs::write(
            &strict_clock,
            conf.replace("[libdefaults]", "[libdefaults]\n  kdc_timesync = 0"),
        )?;
        Ok(Keytabs {
            truncated,
            other: kdc.keytab("nifi"),
            old,
            stranger,
            strict_clock,
        })
    }
}

/// A keytab that others can read is warned of, and used.
fn open_keytab(report: &mut Report, kdc: &Kdc, conf: &Path) -> Result<()> {
    let keytab = kdc.keytab("flume");
    fs::set_permissions(&keytab, Permissions::from_mode(0o644))?;
    let sink = sink("k1", NOBODY, "flume/_HOST@FLUME.TEST", &keytab, "");
    let agent = start("k1", &sink, conf, &kdc.environment())?;
    let (used, _) = wait(SOON, || reason(&agent, "k1", &["nobody listens"]));
    let warned = agent.log().contains("is open to everybody, mode 0644");
    report.row(
        "identity: keytab 0644 is warned of, and used",
        warned,
        "true",
        warned && used.is_some(),
    );
    fs::set_permissions(&keytab, Permissions::from_mode(0o600))?;
    let principal = fact(&agent, "k1", "KerberosPrincipal").unwrap_or_default();
    let expiry = fact(&agent, "k1", "KerberosTicketExpiry").unwrap_or_default();
    report.row(
        "identity: _HOST as it is shown",
        &principal,
        "a host",
        principal.starts_with("flume/") && !principal.contains("_HOST"),
    );
    report.row(
        "identity: ticket's expiry as it is shown",
        &expiry,
        "a time",
        expiry.ends_with('Z'),
    );
    Ok(())
}

fn with(environment: &Environment, name: &str, value: &str) -> Environment {
    let others = environment
        .iter()
        .filter(|(known, _)| known != name)
        .cloned();
    others
        .chain([(name.to_string(), value.to_string())])
        .collect()
}

/// An environment whose clock is an hour ahead.
fn an_hour_later(environment: &Environment) -> Result<Environment> {
    need(&[("faketime", "faketime")])?;
    let libraries = fs::read_dir("/usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")));
    let library = libraries
        .into_iter()
        .find(|path| path.exists())
        .context("faketime has no library")?;
    let environment = with(environment, "LD_PRELOAD", &library.display().to_string());
    Ok(with(
        &with(&environment, "FAKETIME", "+1h"),
        "FAKETIME_DONT_FAKE_MONOTONIC",
        "1",
    ))
}

/// What a NameNode has against an identity, on a cluster with Kerberos and `flume` as proxy for alice and bob.
pub fn refusals(report: &mut Report, cluster: &mut Cluster) -> Result<()> {
    let conf = cluster.client_conf();
    let environment = cluster.environment();
    let dir = tempfile::tempdir()?;
    let (flume, keytab) = cluster.login("flume")?;
    let (flume2, keytab2) = cluster.login("flume2")?;
    let mut case = |item: &str, sink: String, conf: &Path, words: &[&str]| {
        says(
            report,
            &format!("identity: {item}"),
            &sink,
            conf,
            &environment,
            words,
        )
    };
    let carol = [
        "not allowed to impersonate carol",
        "hadoop.proxyuser.flume.hosts",
        "hadoop.proxyuser.flume.groups",
    ];
    case(
        "flume for carol",
        sink("k1", "/user/carol", &flume, &keytab, "carol"),
        &conf,
        &carol,
    )?;
    let alice = [
        "flume2@FLUME.TEST is not allowed to impersonate alice",
        "hadoop.proxyuser.flume2.users (with alice)",
    ];
    case(
        "flume2 for alice",
        sink("k1", "/user/alice", &flume2, &keytab2, "alice"),
        &conf,
        &alice,
    )?;
    let none = ["wants Kerberos", "set hdfs.kerberosPrincipal"];
    case(
        "no principal",
        sink("k1", "/tmp", "", &keytab, ""),
        &conf,
        &none,
    )?;
    let own = sink("k1", "/user/flume", &flume, &keytab, "");
    let simple = edited(&conf, &dir.path().join("simple"), ">kerberos<", ">simple<")?;
    case(
        "no principal, simple configuration",
        sink("k1", "/tmp", "", &keytab, ""),
        &simple,
        &none,
    )?;
    let other = edited(
        &conf,
        &dir.path().join("other"),
        ">hdfs/localhost@",
        ">nn/_HOST@",
    )?;
    case(
        "another NameNode than expected",
        own.clone(),
        &other,
        &["the server is hdfs/localhost, and must be nn/localhost@"],
    )?;
    cluster.server("nn1")?.pause()?;
    let silent = says(
        report,
        "identity: NameNode silent",
        &own,
        &conf,
        &environment,
        &["does not answer within 10 s"],
    );
    cluster.server("nn1")?.resume()?;
    silent
}

/// A copy of a configuration directory with a text replaced.
fn edited(conf: &Path, copy: &Path, old: &str, new: &str) -> Result<PathBuf> {
    fs::create_dir(copy)?;
    for name in ["core-site.xml", "hdfs-site.xml"] {
        fs::write(
            copy.join(name),
            fs::read_to_string(conf.join(name))?.replace(old, new),
        )?;
    }
    Ok(copy.into())
}

/// Two principals in one agent; tickets of 20 seconds; a KDC that goes and comes back; a keytab that is replaced.
pub fn renewals(report: &mut Report, cluster: &mut Cluster) -> Result<()> {
    let (flume, keytab) = cluster.login("flume")?;
    let (short, short_keytab) = cluster.login("short")?;
    let sinks = sink("k1", "/user/short", &short, &short_keytab, "")
        + &sink("k2", "/user/flume", &flume, &keytab, "");
    let agent = start(
        "k1 k2",
        &sinks,
        &cluster.client_conf(),
        &cluster.environment(),
    )?;
    let principals = || {
        [
            fact(&agent, "k1", "KerberosPrincipal"),
            fact(&agent, "k2", "KerberosPrincipal"),
        ]
    };
    // With nothing to write a sink waits.
    let open = ["running", "waiting"];
    let running = |sink: &str| {
        agent
            .status()
            .ok()
            .and_then(|status| Some(open.contains(&&*component(&status, sink)?.state)))
    };
    let (both, _) = wait(SOON, || (running("k1")? && running("k2")?).then(principals));
    let both = both.is_some_and(|both| both == [Some(short.clone()), Some(flume.clone())]);
    report.row("identity: two principals in one agent", both, "true", both);

    let expiry = || fact(&agent, "k1", "KerberosTicketExpiry").filter(|expiry| !expiry.is_empty());
    let first = expiry().context("no expiry is shown")?;
    let (renewed, seconds) = wait(Duration::from_secs(25), || {
        expiry().filter(|now| *now > first)
    });
    report.row(
        "identity: 20 s ticket renewed after",
        format!("{seconds:.1} s"),
        "< 20 s",
        renewed.is_some() && seconds < 20.0,
    );

    cluster.kdc()?.server.kill();
    let failing = || {
        fact(&agent, "k1", "KerberosLastError")
            .filter(|error| error.contains("no KDC of FLUME.TEST answers"))
    };
    let (said, seconds) = wait(Duration::from_secs(30), failing);
    report.row(
        "identity: KDC gone, shown after",
        format!("{seconds:.1} s"),
        "< 30 s",
        said.is_some(),
    );
    cluster.kdc()?.server.up()?;
    let (healed, seconds) = wait(Duration::from_secs(45), || {
        fact(&agent, "k1", "KerberosLastError").filter(String::is_empty)
    });
    report.row(
        "identity: KDC back, renewed after",
        format!("{seconds:.1} s"),
        "< 45 s",
        healed.is_some(),
    );

    let logins = |cluster: &mut Cluster| {
        Ok::<_, anyhow::Error>(cluster.kdc()?.requests().matches("AS_REQ").count())
    };
    let expiry = || fact(&agent, "k2", "KerberosTicketExpiry");
    let before = expiry();
    let asked = logins(cluster)?;
    cluster
        .kdc()?
        .admin(&format!("ktadd -k {} {flume}", keytab.display()))?;
    let (picked_up, seconds) = wait(SOON, || expiry().filter(|now| Some(now) != before.as_ref()));
    let asked = logins(cluster)? > asked;
    report.row(
        "identity: new keytab picked up after",
        format!("{seconds:.1} s"),
        "< 15 s",
        picked_up.is_some() && asked,
    );
    let (status, _) = agent.stop()?;
    report.row(
        "identity: exit code",
        format!("{:?}", status.code()),
        "Some(0)",
        status.success(),
    );
    Ok(())
}
