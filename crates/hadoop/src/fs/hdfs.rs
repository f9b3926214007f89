//! From what a sink was let into to a client of HDFS.

use std::sync::Arc;

use flume_kerberos::{Identity, Login};

use super::{
    FileSystem, LocalFileSystem,
    mounts::{Mounts, Open},
    native::{self, Options},
};
use crate::{admission::Cluster, conf::Target, probe::simple_user};

/// The file system of a cluster, or of a mount table. Equal ones share a client.
pub(super) fn open(cluster: Cluster) -> Arc<dyn FileSystem> {
    let Cluster {
        hadoop,
        url,
        client,
        identity: Identity { login, proxy_user },
    } = cluster;
    let options = Options {
        url,
        settings: hadoop.to_map(),
        replication: client.replication,
        block_size_bytes: client.block_size,
        umask: client.umask,
        impersonates: proxy_user.is_some(),
        user: proxy_user
            .or_else(|| login.as_ref().map(short_name))
            .unwrap_or_else(simple_user),
        login,
    };
    let Some(table) = options.url.strip_prefix("viewfs://").map(String::from) else {
        return native::open(options);
    };
    let home = options.home();
    let replication = options.replication as usize;
    let open: Open = Box::new(move |target| match target {
        Target::Local { .. } => Ok(Arc::new(LocalFileSystem)),
        Target::Hdfs { url, .. } => Ok(native::open(Options {
            url: url.clone(),
            ..options.clone()
        })),
    });
    Arc::new(Mounts::new(&table, hadoop, home, replication, open))
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
