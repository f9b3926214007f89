//! From Hadoop's configuration and the sink's to a client of HDFS.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Access, FileSystem, FsError, FsErrorKind, LocalFileSystem,
    native::{self, Options},
};
use crate::hadoop::{ClientSettings, Hadoop, Target};

/// Opens the file system that Hadoop's configuration means by this URL. Blocks: files and name servers are asked.
pub(super) fn open(
    file_system: &str,
    access: &Access,
    conf_dir: Option<&Path>,
) -> Result<Arc<dyn FileSystem>, FsError> {
    let hadoop = Hadoop::find(conf_dir).map_err(wrong("read Hadoop's configuration"))?;
    let default = hadoop.get("fs.defaultFS").unwrap_or_default();
    let shown = if file_system.is_empty() { default } else { file_system };
    // The client follows the links of a mount table itself.
    let url = if shown.starts_with("viewfs://") {
        shown.to_string()
    } else {
        match hadoop.target(&format!("{file_system}/")).map_err(|error| unset(&hadoop, shown, &error))? {
            Target::Local { .. } => return Ok(Arc::new(LocalFileSystem)),
            Target::Hdfs { url, .. } => url,
        }
    };
    let settings = ClientSettings::of(&hadoop).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        wrong("read Hadoop's configuration")(errors.join("; "))
    })?;
    let principal = access.principal.as_ref().map(|principal| with_host(principal));
    let login = principal.zip(access.keytab.clone());
    Ok(native::open(Options {
        url,
        settings: hadoop.to_map(),
        replication: settings.replication,
        block_size_bytes: settings.block_size,
        umask: settings.umask,
        user: user(access),
        impersonates: access.proxy_user.is_some(),
        login,
    }))
}

/// `_HOST` in a principal is this host's full name.
fn with_host(principal: &str) -> String {
    let host = || crate::path::Host::look_up().full_name().to_lowercase();
    if principal.contains("/_HOST@") {
        principal.replace("/_HOST@", &format!("/{}@", host()))
    } else {
        principal.into()
    }
}

/// By its short name, which is the first part of the principal; without Kerberos whom Hadoop's clients claim to be.
fn user(access: &Access) -> String {
    let short = |principal: &String| principal.split(['/', '@']).next().unwrap_or_default().to_string();
    let claimed = || std::env::var("HADOOP_USER_NAME").ok();
    let user = access.proxy_user.clone().or_else(|| access.principal.as_ref().map(short)).or_else(claimed);
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
