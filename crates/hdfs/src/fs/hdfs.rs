//! From Hadoop's configuration and the sink's to a client of HDFS.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{
    Access, FileSystem, FsError, FsErrorKind, LocalFileSystem,
    mounts::Mounts,
    native::{self, Options},
};
use crate::{
    hadoop::{ClientSettings, Hadoop, Target},
    identity::{Identity, Login},
};

/// Opens the file system that Hadoop's configuration means by this URL.
pub(super) async fn open(
    file_system: &str,
    access: &Access,
    conf_dir: Option<&Path>,
) -> Result<Arc<dyn FileSystem>, FsError> {
    let (file_system, access) = (file_system.to_string(), access.clone());
    let conf_dir = conf_dir.map(Path::to_path_buf);
    // Files and name servers are asked.
    let found = spawn_blocking(move || find(&file_system, &access, conf_dir.as_deref())).await;
    found.map_err(FsError::at(FsErrorKind::Retry, "read Hadoop's configuration"))?
}

fn find(file_system: &str, access: &Access, conf_dir: Option<&Path>) -> Result<Arc<dyn FileSystem>, FsError> {
    let hadoop = Hadoop::find(conf_dir).map_err(wrong("read Hadoop's configuration"))?;
    let settings = ClientSettings::of(&hadoop).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        wrong("read Hadoop's configuration")(errors.join("; "))
    })?;
    let text = Option::as_deref;
    let identity = Identity::new(text(&access.principal), text(&access.keytab), text(&access.proxy_user));
    let identity =
        identity.map_err(|misfit| wrong("log in")(format!("{} {}", misfit.property, misfit.text)))?;
    let Identity { login, proxy_user } = identity.resolved();
    let options = Options {
        url: String::new(),
        settings: hadoop.to_map(),
        replication: settings.replication,
        block_size_bytes: settings.block_size,
        umask: settings.umask,
        impersonates: proxy_user.is_some(),
        user: user(proxy_user, login.as_ref()),
        login,
    };
    let default = hadoop.get("fs.defaultFS").unwrap_or_default();
    let shown = if file_system.is_empty() { default } else { file_system };
    if let Some(table) = shown.strip_prefix("viewfs://") {
        let (home, replication) = (options.home(), options.replication as usize);
        let open = move |target: &Target| Ok(of_target(target, options.clone()));
        return Ok(Arc::new(Mounts::new(table, hadoop.clone(), home, replication, Box::new(open))));
    }
    let target = hadoop.target(&format!("{file_system}/")).map_err(|error| unset(&hadoop, shown, &error))?;
    Ok(of_target(&target, options))
}

fn of_target(target: &Target, options: Options) -> Arc<dyn FileSystem> {
    match target {
        Target::Local { .. } => Arc::new(LocalFileSystem),
        Target::Hdfs { url, .. } => native::open(Options { url: url.clone(), ..options }),
    }
}

/// By its short name, which is the first part of the principal; without Kerberos whom Hadoop's clients claim to be.
fn user(proxy_user: Option<String>, login: Option<&Login>) -> String {
    let short = |login: &Login| login.principal.split(['/', '@']).next().unwrap_or_default().to_string();
    let claimed = || std::env::var("HADOOP_USER_NAME").ok();
    let user = proxy_user.or_else(|| login.map(short)).or_else(claimed);
    user.unwrap_or_else(|| whoami::username().unwrap_or_else(|_| "unknown".into()))
}

fn wrong<E: Display>(doing: &str) -> impl FnOnce(E) -> FsError + '_ {
    move |error| FsError::at(FsErrorKind::Unsupported, doing)(error.to_string())
}

fn unset(hadoop: &Hadoop, shown: &str, error: &dyn Display) -> FsError {
    let searched = |directories: &[PathBuf]| {
        directories.iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let read = if hadoop.files.is_empty() {
        format!("; there is no core-site.xml and no hdfs-site.xml in {}", searched(&hadoop.searched))
    } else {
        String::new()
    };
    FsError::at(FsErrorKind::Unsupported, format!("find {shown}"))(format!("{error}{read}"))
}
