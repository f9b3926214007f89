//! From Hadoop's configuration and the sink's to a client of HDFS.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{
    Access, Connected, FsError, FsErrorKind, LocalFileSystem,
    native::{self, Options},
};
use crate::{
    hadoop::{ClientSettings, Hadoop, Target},
    identity::{Identity, Login, Session},
};

/// What Hadoop's configuration and the sink's come to.
enum Found {
    Local,
    Cluster(Options),
}

/// Opens the file system that Hadoop's configuration means by this URL, and logs in where that is wanted.
pub(super) async fn open(
    file_system: &str,
    access: &Access,
    conf_dir: Option<&Path>,
) -> Result<Connected, FsError> {
    let doing = format!("connect to {}", shown(file_system, "the default file system"));
    let found = {
        let (file_system, access) = (file_system.to_string(), access.clone());
        let conf_dir = conf_dir.map(Path::to_path_buf);
        // Files and name servers are asked.
        spawn_blocking(move || find(&file_system, &access, conf_dir.as_deref())).await
    };
    let options = match found.map_err(FsError::at(FsErrorKind::Retry, doing.as_str()))?? {
        Found::Local => return Ok(Connected { fs: Arc::new(LocalFileSystem), session: None }),
        Found::Cluster(options) => options,
    };
    let mut session = None;
    if let Some(login) = &options.login {
        let opened = Session::of(login);
        let warnings = opened.open().await.map_err(FsError::at(FsErrorKind::Retry, doing))?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        session = Some(opened);
    }
    Ok(Connected { fs: native::open(options), session })
}

fn find(file_system: &str, access: &Access, conf_dir: Option<&Path>) -> Result<Found, FsError> {
    let hadoop = Hadoop::find(conf_dir).map_err(wrong("read Hadoop's configuration"))?;
    let shown = shown(file_system, hadoop.get("fs.defaultFS").unwrap_or_default());
    // The client follows the links of a mount table itself.
    let url = if shown.starts_with("viewfs://") {
        shown.to_string()
    } else {
        match hadoop.target(&format!("{file_system}/")).map_err(|error| unset(&hadoop, shown, &error))? {
            Target::Local { .. } => return Ok(Found::Local),
            Target::Hdfs { url, .. } => url,
        }
    };
    let settings = ClientSettings::of(&hadoop).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        wrong("read Hadoop's configuration")(errors.join("; "))
    })?;
    let text = Option::as_deref;
    let identity = Identity::new(text(&access.principal), text(&access.keytab), text(&access.proxy_user));
    let identity =
        identity.map_err(|misfit| wrong("log in")(format!("{} {}", misfit.property, misfit.text)))?;
    let Identity { login, proxy_user } = identity.resolved();
    Ok(Found::Cluster(Options {
        url,
        settings: hadoop.to_map(),
        replication: settings.replication,
        block_size_bytes: settings.block_size,
        umask: settings.umask,
        impersonates: proxy_user.is_some(),
        user: user(proxy_user, login.as_ref()),
        login,
    }))
}

fn shown<'a>(file_system: &'a str, default: &'a str) -> &'a str {
    if file_system.is_empty() { default } else { file_system }
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
