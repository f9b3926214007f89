//! The client of HDFS by itself, on clusters of every quality of protection and as every kind of user.
//!
//! Kerberos takes its configuration from the environment of a process, so the calls are made by this program started
//! again: `flume-rig hdfs-client` reads whom it is from standard input, as JSON.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use flume_cluster::{Cluster, Layout, Protection, Security};
use flume_hadoop::{
    Identity,
    client::{ClientOptions, open},
    conf::{ClientSettings, Hadoop, Target},
    fs::{FileSystem, FsError, FsErrorKind},
};
use flume_kerberos::Login;
use serde_json::{Value, json};

use crate::report::Report;

/// All calls of one user together, on a cluster whose servers have just started.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who uses a cluster.
struct Who {
    /// Who logs in.
    user: &'static str,
    /// Whom they impersonate.
    proxied: Option<&'static str>,
}

const WHO: &[Who] = &[
    Who {
        user: "flume",
        proxied: Some("alice"),
    },
    Who {
        user: "flume",
        proxied: Some("bob"),
    },
    Who {
        user: "flume",
        proxied: None,
    },
    Who {
        user: "flume2",
        proxied: None,
    },
];

/// Every protection, with and without encryption; each cipher; ports that only root can have; two NameNodes.
pub fn matrix(report: &mut Report) -> Result<()> {
    for protection in [
        Protection::Authentication,
        Protection::Integrity,
        Protection::Privacy,
    ] {
        for encrypt in [false, true] {
            on(report, "", Layout::kerberos(3, protection, encrypt))?;
        }
    }
    let privacy = |encrypt| Layout::kerberos(3, Protection::Privacy, encrypt);
    let no_aes = |encrypt| privacy(encrypt).with("dfs.encrypt.data.transfer.cipher.suites", "");
    let cipher = |name| no_aes(true).with("dfs.encrypt.data.transfer.algorithm", name);
    on(report, " without AES", no_aes(false))?;
    on(report, " by 3des", cipher("3des"))?;
    on(report, " by rc4", cipher("rc4"))?;
    for encrypt in [false, true] {
        on(
            report,
            " below 1024",
            privacy(encrypt).with_privileged_ports(),
        )?;
    }
    on(report, " HA", privacy(true).with_ha())?;
    on(report, "", Layout::simple(3))?;
    on(report, " HA", Layout::simple(3).with_ha())
}

fn on(report: &mut Report, more: &str, layout: Layout) -> Result<()> {
    let start = Instant::now();
    let cluster = Cluster::start(layout)?;
    println!(
        "a cluster is up after {:.1} s",
        start.elapsed().as_secs_f64()
    );
    everybody(report, more, &cluster)
}

/// Each kind of user on this cluster; `more` says what else is special about it.
pub fn everybody(report: &mut Report, more: &str, cluster: &Cluster) -> Result<()> {
    let kind = match cluster.layout().security {
        Security::Simple => "simple".to_string(),
        Security::Kerberos {
            protection,
            encrypt: false,
        } => protection.word().into(),
        Security::Kerberos {
            protection,
            encrypt: true,
        } => format!("{} encrypted", protection.word()),
    };
    for Who { user, proxied } in WHO {
        let outcome = exercise(cluster, user, *proxied);
        let shown = outcome
            .as_ref()
            .err()
            .map_or_else(|| "as said".into(), |error| format!("{error:#}"));
        let behalf = proxied.map(|user| format!(" for {user}"));
        let item = format!("client, {kind}{more}, {user}{}", behalf.unwrap_or_default());
        report.row(&item, shown, "as said", outcome.is_ok());
    }
    Ok(())
}

/// Runs the calls in a process of their own and looks at their outcome with Hadoop's client.
fn exercise(cluster: &Cluster, user: &str, proxied: Option<&str>) -> Result<()> {
    let owner = proxied.unwrap_or(user);
    let login = cluster
        .login(user)
        .ok()
        .map(|(principal, keytab)| json!([principal, keytab]));
    let words = json!({
        "conf": cluster.client_conf(),
        "login": login,
        "user": owner,
        "proxied": proxied,
    });
    let mut child = Command::new(std::env::current_exe()?)
        .arg("hdfs-client")
        .envs(cluster.environment())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(words.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let file = format!("/user/{owner}/exercise.txt");
    let said = cluster
        .run("hdfs", &["fs", "-stat", "%u %r %o %b %a", &file])?
        .ok()?;
    ensure!(
        said.trim() == format!("{owner} 3 1048576 12 640"),
        "{file}: {said}"
    );
    ensure!(
        cluster.run("hdfs", &["fs", "-cat", &file])?.ok()? == "one\ntwo\nsix\n",
        "{file}: not what was written"
    );
    Ok(())
}

/// The calls, in the process that makes them.
pub fn child() -> Result<bool> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let words: Value = serde_json::from_str(&text)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let hadoop = Hadoop::read(&[text(&words["conf"]).into()])?;
    let Target::Hdfs { url, namenodes, .. } = hadoop.target("/")? else {
        bail!("the default file system is not HDFS");
    };
    let settings = ClientSettings::of(&hadoop);
    let settings = settings.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let options = ClientOptions {
        url,
        namenodes,
        settings: ClientSettings {
            replication: 3,
            block_size: 1 << 20,
            umask: 0o027,
            ..settings
        },
        identity: Identity {
            login: words["login"].as_array().map(|login| Login {
                principal: text(&login[0]),
                keytab: text(&login[1]).into(),
            }),
            proxy_user: words["proxied"].as_str().map(String::from),
        },
        user: text(&words["user"]),
        call_limit: Duration::from_secs(30),
    };
    let fs = open(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, calls(fs.as_ref())).await })??;
    Ok(true)
}

async fn calls(fs: &dyn FileSystem) -> Result<()> {
    let home = fs.home();
    let at = |name: &str| format!("{home}/{name}");
    let in_use = at("_exercise.txt.tmp");
    let mut file = fs.create(&in_use).await?;
    file.write("one\n".into()).await?;
    file.hflush().await?;
    ensure!(
        fs.length(&in_use).await? == Some(4),
        "a flushed line is not seen"
    );
    file.write("two\n".into()).await?;
    file.hsync().await?;
    ensure!(
        file.live_replicas() == Some(3),
        "a pipeline of {:?} DataNodes",
        file.live_replicas()
    );
    file.write("six\n".into()).await?;
    file.close().await?;
    expect(FsErrorKind::Exists, fs.create(&in_use).await.map(drop))?;
    fs.rename(&in_use, &at("exercise.txt")).await?;
    expect(FsErrorKind::Gone, fs.rename(&in_use, &at("other")).await)?;
    ensure!(
        fs.read(&at("exercise.txt")).await? == "one\ntwo\nsix\n",
        "not what was written"
    );
    let mut left = fs.create(&at("deep/er/left.tmp")).await?;
    left.write("seen\n".into()).await?;
    left.hflush().await?;
    let keep = left.flushed_length();
    left.write("lost\n".into()).await?;
    left.abort().await;
    expect(
        FsErrorKind::Exists,
        fs.rename(&at("deep/er/left.tmp"), &at("exercise.txt"))
            .await,
    )?;
    while !fs.recover_lease(&at("deep/er/left.tmp"), keep).await? {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(
        fs.length(&at("deep/er/left.tmp")).await? == Some(5),
        "a recovered file has another length"
    );
    blocks(fs, &at("blocks.bin")).await?;
    ensure!(
        fs.length(&at("nothing")).await?.is_none(),
        "there is a length of nothing"
    );
    fs.remove(&at("nothing")).await?;
    expect(
        FsErrorKind::Permission,
        fs.create("/user/carol/x").await.map(drop),
    )
}

/// A file of several blocks, flushed at odd places.
async fn blocks(fs: &dyn FileSystem, path: &str) -> Result<()> {
    let content: Vec<u8> = (0..3_600_000u32).map(|at| (at % 251) as u8).collect();
    let mut file = fs.create(path).await?;
    for piece in content.chunks(333_333) {
        file.write(piece.to_vec().into()).await?;
        file.hflush().await?;
    }
    file.close().await?;
    ensure!(
        fs.read(path).await? == content,
        "several blocks are read otherwise"
    );
    fs.remove(path).await?;
    Ok(())
}

fn expect(kind: FsErrorKind, outcome: Result<(), FsError>) -> Result<()> {
    match outcome {
        Ok(()) => bail!("succeeded instead of {kind:?}"),
        Err(error) if error.kind == kind => Ok(()),
        Err(error) => bail!("{error:?} instead of {kind:?}"),
    }
}
