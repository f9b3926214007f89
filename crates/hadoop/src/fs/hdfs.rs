//! From what a sink was let into to a client of HDFS.

use std::{sync::Arc, time::Duration};

use flume_kerberos::Login;

use super::{
    FileSystem, FsError, FsErrorKind, LocalFileSystem,
    mounts::{MountOpener, Mounts},
};
use crate::{
    admission::Cluster,
    client::{self, ClientOptions},
    conf::{HadoopError, Target},
    probe::simple_user,
};

/// The file system of a cluster, or of a mount table. Equal ones share a client.
pub(super) fn open(cluster: Cluster, call_limit: Duration) -> Result<Arc<dyn FileSystem>, FsError> {
    let Cluster {
        hadoop,
        url,
        client,
        identity,
    } = cluster;
    let named = identity.proxy_user.clone();
    let user = named
        .or_else(|| identity.login.as_ref().map(short_name))
        .unwrap_or_else(simple_user);
    let mut options = ClientOptions {
        url,
        namenodes: vec![],
        settings: client,
        identity,
        user,
        call_limit,
    };
    if let Some(table) = options.url.strip_prefix("viewfs://").map(String::from) {
        let home = options.home();
        let user = options.user.clone();
        let replication = options.settings.replication as usize;
        let open: MountOpener = Box::new(move |target| match target {
            Target::Local { .. } => Ok(Arc::new(LocalFileSystem)),
            Target::Hdfs { url, namenodes, .. } => client::open(ClientOptions {
                url: url.clone(),
                namenodes: namenodes.clone(),
                ..options.clone()
            }),
        });
        return Ok(Arc::new(Mounts::new(
            &table,
            hadoop,
            user,
            home,
            replication,
            open,
        )));
    }
    let doing = format!("connect to {}", options.url);
    let unfit = |error: HadoopError| {
        FsError::at(FsErrorKind::Unsupported, doing.clone())(error.to_string())
    };
    if let Target::Hdfs { namenodes, .. } = hadoop.target(&options.url).map_err(unfit)? {
        options.namenodes = namenodes;
    }
    client::open(options)
}

/// What the NameNode calls a principal unless its rules say otherwise: the first part.
fn short_name(login: &Login) -> String {
    login
        .principal
        .split(['/', '@'])
        .next()
        .unwrap_or_default()
        .to_string()
}
