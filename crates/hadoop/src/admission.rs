//! What a sink asks before it opens anything on a cluster: who am I, and may I? The answers come within seconds, each
//! with what would help, and are asked for again each time the sink is opened.

use std::{path::PathBuf, sync::Arc, time::Duration};

use flume_core::Context;
use flume_kerberos::{Identity, KerberosSession, SessionTexts, on_thread};
use parking_lot::Mutex;

use crate::{
    conf::{ClientSettings, Hadoop, NameNode, Target},
    fs::{FsError, FsErrorKind},
    probe::{self, ProbeError, ProbeProblem, probe},
};

/// A name service answers sooner.
const NAME_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);

/// A sink's identity towards its cluster. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<AdmissionRequest>);

struct AdmissionRequest {
    /// The sink, for the log.
    sink: Arc<str>,
    /// Where it writes, up to the first escape.
    url: String,
    identity: Identity,
    conf_dir: Option<PathBuf>,
    /// Only where there is a login to be shown.
    shown: Option<SessionTexts>,
    session: Mutex<Option<Arc<KerberosSession>>>,
    /// What was logged before: opening a sink again is no news.
    logged: Mutex<Vec<String>>,
}

/// Where a sink writes.
pub enum Destination {
    /// On this machine.
    Local,
    /// On a cluster, or several by a mount table.
    Cluster(Box<Cluster>),
}

/// What a client is made of.
pub struct Cluster {
    /// All of the configuration.
    pub hadoop: Hadoop,
    /// `hdfs://host:8020`, `hdfs://nameservice`, `viewfs://table`.
    pub url: String,
    /// The configuration as values.
    pub client: ClientSettings,
    /// As whom, `_HOST` resolved.
    pub identity: Identity,
}

impl Admission {
    /// Asks nobody yet. `identity` is as it is configured, `_HOST` in it; `path` may have escapes in it.
    pub fn new(cx: &Context, path: &str, identity: Identity) -> Self {
        Admission(Arc::new(AdmissionRequest {
            sink: cx.name.clone(),
            url: fixed(path).into(),
            shown: identity
                .login
                .is_some()
                .then(|| SessionTexts::among(&cx.metrics)),
            identity,
            conf_dir: cx.agent.conf_dir.clone(),
            session: Mutex::default(),
            logged: Mutex::default(),
        }))
    }

    /// Reads the configuration, looks at the keytab, logs in, and asks the NameNodes. Nothing of it for `file:`.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub async fn seek(&self) -> Result<Destination, FsError> {
        if self.0.url.starts_with("file:") {
            return Ok(Destination::Local);
        }
        let wanted = self.0.clone();
        let found = on_thread(NAME_SERVICE_TIMEOUT, move || wanted.find())
            .await
            .map_err(|_| {
                let cause = format!(
                    "no answer within {} s; does the name service answer?",
                    NAME_SERVICE_TIMEOUT.as_secs()
                );
                FsError::at(
                    FsErrorKind::Retry,
                    "find this host's name, and Hadoop's configuration",
                )(cause)
            });
        let Some((mut cluster, namenodes)) = found?? else {
            return Ok(Destination::Local);
        };
        if let Some(login) = &mut cluster.identity.login {
            let session = KerberosSession::of(login);
            self.log_in(&session).await?;
            login.principal = session
                .full_principal()
                .unwrap_or_else(|| session.principal().into());
        }
        let identity = &cluster.identity;
        let client = &cluster.client;
        // None: a mount table that leads to this machine, or to different places by what events have in them.
        if !namenodes.is_empty() {
            let user = identity
                .proxy_user
                .as_deref()
                .map(|user| format!(" as {user}"))
                .unwrap_or_default();
            let accepted = probe(&namenodes, identity, client, probe::PROBE_TIMEOUT).await;
            let doing = format!("be let in{user}");
            let accepted = accepted.map_err(|error| FsError::at(kind(&error), doing)(error))?;
            self.0.log(
                format!("{} is let in{user} by {accepted}", self.0.sink),
                false,
            );
        }
        Ok(Destination::Cluster(Box::new(cluster)))
    }

    async fn log_in(&self, session: &Arc<KerberosSession>) -> Result<(), FsError> {
        *self.0.session.lock() = Some(session.clone());
        self.show();
        let warnings = session.open().await;
        self.show();
        let doing = format!("log in as {}", session.principal());
        for warning in warnings.map_err(FsError::at(FsErrorKind::Retry, doing))? {
            self.0.log(format!("{}: {warning}", self.0.sink), true);
        }
        Ok(())
    }

    /// Renews the ticket when it is time, and shows how it stands. Cheap.
    pub fn tick(&self) {
        if let Some(session) = &*self.0.session.lock() {
            session.tick();
        }
        self.show();
    }

    fn show(&self) {
        if let (Some(session), Some(shown)) = (&*self.0.session.lock(), &self.0.shown) {
            session.show(shown);
        }
    }
}

impl AdmissionRequest {
    /// `None` for a local directory. Blocks: it reads files and asks the name service.
    fn find(&self) -> Result<Option<(Cluster, Vec<NameNode>)>, FsError> {
        let unfit = |what: String| {
            FsError::at(FsErrorKind::Unsupported, "read Hadoop's configuration")(what)
        };
        let hadoop =
            Hadoop::find(self.conf_dir.as_deref()).map_err(|error| unfit(error.to_string()))?;
        hadoop
            .warnings
            .iter()
            .for_each(|warning| self.log(format!("{}: {warning}", self.sink), true));
        let table = hadoop.mount_table(&self.url);
        let (url, namenodes) = match (table, hadoop.target(&self.url)) {
            (Some(table), Ok(Target::Hdfs { namenodes, .. })) => {
                (format!("viewfs://{table}"), namenodes)
            }
            (Some(table), _) => (format!("viewfs://{table}"), vec![]),
            (None, Ok(Target::Hdfs { url, namenodes, .. })) => (url, namenodes),
            (None, Ok(Target::Local { .. })) => {
                if let Some(unmeant) = unmeant_local_path(&self.url, &self.identity, &hadoop) {
                    return Err(unfit(format!("hdfs.path {unmeant}")));
                }
                return Ok(None);
            }
            (None, Err(error)) => return Err(unfit(format!("{error}{}", missing_files(&hadoop)))),
        };
        let client = ClientSettings::of(&hadoop).map_err(|errors| {
            unfit(
                errors
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        let identity = self.identity.clone().resolved();
        Ok(Some((
            Cluster {
                hadoop,
                url,
                client,
                identity,
            },
            namenodes,
        )))
    }

    fn log(&self, text: String, warning: bool) {
        let mut logged = self.logged.lock();
        // Only how long something took differs from one time to the next.
        let news = text
            .rsplit_once(", ")
            .filter(|(_, took)| took.ends_with(" ms"))
            .map_or(&*text, |(start, _)| start);
        if logged.iter().any(|known| known == news) {
            return;
        }
        logged.push(news.into());
        if warning {
            tracing::warn!("{text}")
        } else {
            tracing::info!("{text}")
        }
    }
}

/// Why a path leads to this machine's disk although its user means a cluster: a principal, a keytab or `hdfs.proxyUser` is
/// set, and neither the path nor Hadoop's configuration names a file system. `None`: it is fine.
pub fn unmeant_local_path(path: &str, identity: &Identity, hadoop: &Hadoop) -> Option<String> {
    let means_cluster = identity.login.is_some() || identity.proxy_user.is_some();
    if !means_cluster || hadoop.setting("fs.defaultFS").is_some() || path.contains(':') {
        return None;
    }
    let why = match missing_files(hadoop) {
        none if none.is_empty() => "; Hadoop's configuration sets no `fs.defaultFS`".to_string(),
        missing => missing,
    };
    Some(format!(
        "names no file system, so events would go to this machine's disk although a principal or hdfs.proxyUser is \
         set{why}; write hdfs://… or file:…"
    ))
}

/// Where files were looked for in vain.
fn missing_files(hadoop: &Hadoop) -> String {
    let searched: Vec<_> = hadoop
        .searched
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match hadoop.files[..] {
        [] => format!(
            "; there is no core-site.xml and no hdfs-site.xml in {}",
            searched.join(", ")
        ),
        _ => String::new(),
    }
}

/// What a sink can do about it: nothing but wait, or nothing at all until somebody allows it.
fn kind(error: &ProbeError) -> FsErrorKind {
    match error.problem {
        ProbeProblem::Impersonation | ProbeProblem::NotAuthorized => FsErrorKind::Permission,
        _ => FsErrorKind::Retry,
    }
}

/// The directories of a path before the first escape. A relative path is somewhere on the default file system.
fn fixed(path: &str) -> &str {
    let fixed = &path[..path.find('%').unwrap_or(path.len())];
    let fixed = if fixed.len() < path.len() {
        &fixed[..fixed.rfind('/').map_or(0, |at| at + 1)]
    } else {
        fixed
    };
    let absolute = fixed.starts_with('/') || fixed.contains(':');
    if absolute { fixed } else { "/" }
}

#[cfg(test)]
mod tests {
    use flume_core::AgentInfo;

    use super::*;

    #[test]
    fn the_fixed_part_of_a_path_says_where_it_is() {
        let check = |path: &str, expected: &str| assert_eq!(fixed(path), expected, "{path}");
        check("hdfs://ns/logs/%Y/%m", "hdfs://ns/logs/");
        check("hdfs://ns/logs/day-%d", "hdfs://ns/logs/");
        check("hdfs://ns", "hdfs://ns");
        check("/logs", "/logs");
        check("logs/%Y", "/");
        check("%{dir}/x", "/");
        check("viewfs://t/a/b", "viewfs://t/a/b");
    }

    fn context(conf_dir: Option<&std::path::Path>) -> Context {
        let agent = AgentInfo {
            conf_dir: conf_dir.map(PathBuf::from),
            ..AgentInfo::default()
        };
        Context::of_agent("a1.sinks.k1", vec![], Arc::new(agent))
    }

    #[tokio::test]
    async fn a_directory_of_this_machine_asks_nobody() {
        let identity = Identity::new(Some("flume@R"), Some("/nowhere"), None).unwrap();
        let admission = Admission::new(&context(None), "file:///tmp/%Y", identity);
        admission.seek().await.unwrap();
        admission.tick();
    }

    #[tokio::test]
    async fn each_step_names_what_it_was_about() {
        let conf = tempfile::tempdir().unwrap();
        let cx = context(Some(conf.path()));
        let seek = async |principal: Option<&str>| {
            let keytab = principal.map(|_| "/nowhere/k");
            let identity = Identity::new(principal, keytab, Some("alice")).unwrap();
            let admission = Admission::new(&cx, "hdfs://127.0.0.1:1/logs", identity);
            flume_core::with_causes(&admission.seek().await.err().unwrap())
        };
        let refused = seek(None).await;
        assert!(
            refused.starts_with("failed to be let in as alice: nobody listens at 127.0.0.1:1;"),
            "{refused}"
        );
        let missing = seek(Some("flume/h@R")).await;
        let expected = "failed to log in as flume/h@R: the keytab /nowhere/k does not exist;";
        assert!(missing.starts_with(expected), "{missing}");
        assert_eq!(cx.metrics.text("KerberosPrincipal").get(), "flume/h@R");
        assert!(
            cx.metrics
                .text("KerberosLastError")
                .get()
                .contains("does not exist")
        );

        std::fs::write(conf.path().join("core-site.xml"), "<configuration>\n<x>").unwrap();
        let broken = seek(None).await;
        assert!(
            broken.starts_with("failed to read Hadoop's configuration: "),
            "{broken}"
        );
        assert!(broken.contains("core-site.xml:"), "{broken}");
    }
}
