//! `viewfs:`: the mount table of a client as one file system. Each path goes where its link leads, which may change
//! within a path's escapes, so it is looked up with each call.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{FileSystem, FsError, FsErrorKind, OpenFile};
use crate::conf::{Hadoop, Target};

/// Opens the file system of a target.
pub(super) type MountOpener =
    Box<dyn Fn(&Target) -> Result<Arc<dyn FileSystem>, FsError> + Send + Sync>;

/// A mount table.
pub(super) struct Mounts {
    /// Its name as the URL has it; empty: the default one.
    table: String,
    hadoop: Hadoop,
    /// As whom.
    user: String,
    home: String,
    replication: usize,
    open: MountOpener,
    opened: Mutex<BTreeMap<String, Arc<dyn FileSystem>>>,
}

/// Where a path leads.
struct MountedPath {
    /// `hdfs://host:8020`, `file:`.
    url: String,
    fs: Arc<dyn FileSystem>,
    path: String,
}

impl Mounts {
    /// Opens nothing yet.
    pub(super) fn new(
        table: &str,
        hadoop: Hadoop,
        user: String,
        home: String,
        replication: usize,
        open: MountOpener,
    ) -> Self {
        Mounts {
            table: table.into(),
            hadoop,
            user,
            home,
            replication,
            open,
            opened: Mutex::default(),
        }
    }

    fn find(&self, path: &str) -> Result<MountedPath, FsError> {
        let target = self
            .hadoop
            .target(&format!("viewfs://{}{path}", self.table));
        let target = target.map_err(FsError::at(
            FsErrorKind::Unsupported,
            format!("find {path}"),
        ))?;
        let (url, path) = match &target {
            Target::Local { path } => ("file:".to_string(), path.clone()),
            Target::Hdfs { url, path, .. } => (url.clone(), path.clone()),
        };
        let mut opened = self.opened.lock();
        let fs = match opened.get(&url) {
            Some(fs) => fs.clone(),
            None => {
                let fs = (self.open)(&target)?;
                opened.insert(url.clone(), fs.clone());
                fs
            }
        };
        Ok(MountedPath { url, fs, path })
    }
}

#[async_trait]
impl FileSystem for Mounts {
    async fn create(&self, path: &str) -> Result<Box<dyn OpenFile>, FsError> {
        let MountedPath { fs, path, .. } = self.find(path)?;
        fs.create(&path).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        let source = self.find(from)?;
        let target = self.find(to)?;
        if source.url != target.url {
            let cause = format!("they are on {} and {}", source.url, target.url);
            return Err(FsError::at(
                FsErrorKind::Unsupported,
                format!("rename {from} to {to}"),
            )(cause));
        }
        source.fs.rename(&source.path, &target.path).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, FsError> {
        let MountedPath { fs, path, .. } = self.find(path)?;
        fs.length(&path).await
    }

    async fn recover_lease(&self, path: &str, keep: Option<u64>) -> Result<bool, FsError> {
        let MountedPath { fs, path, .. } = self.find(path)?;
        fs.recover_lease(&path, keep).await
    }

    async fn read(&self, path: &str) -> Result<Bytes, FsError> {
        let MountedPath { fs, path, .. } = self.find(path)?;
        fs.read(&path).await
    }

    async fn remove(&self, path: &str) -> Result<(), FsError> {
        let MountedPath { fs, path, .. } = self.find(path)?;
        fs.remove(&path).await
    }

    fn location(&self) -> String {
        format!("viewfs://{} as {}", self.table, self.user)
    }

    fn home(&self) -> String {
        self.home.clone()
    }

    fn replication(&self) -> usize {
        self.replication
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{conf::parse, fs::LocalFileSystem};

    #[tokio::test]
    async fn each_path_goes_where_its_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &str| {
            let property =
                format!("<name>fs.viewfs.mounttable.t.link./{name}</name><value>{target}</value>");
            format!("<property>{property}</property>")
        };
        let local = |name: &str| format!("file://{}/{name}", dir.path().display());
        let links = link("a", &local("x")) + &link("a/b", &local("y")) + &link("far", "hdfs://nn");
        let text = format!("<configuration>{links}</configuration>");
        let properties = parse(&text, Path::new("core-site.xml"), &|_| unreachable!()).unwrap();
        let open: MountOpener = Box::new(|target| match target {
            Target::Local { .. } => Ok(Arc::new(LocalFileSystem)),
            Target::Hdfs { url, .. } => {
                Err(FsError::at(FsErrorKind::Retry, format!("connect to {url}"))("no"))
            }
        });
        let mounts = Mounts::new(
            "t",
            Hadoop::of(properties),
            "alice".into(),
            "/a".into(),
            3,
            open,
        );
        for path in ["/a/1", "/a/b/2"] {
            let mut file = mounts.create(path).await.unwrap();
            file.write(Bytes::from_static(b"z")).await.unwrap();
            file.close().await.unwrap();
        }
        mounts.rename("/a/1", "/a/b/3").await.unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((text("y/2").as_str(), text("y/3").as_str()), ("z", "z"));
        assert_eq!(mounts.length("/a/b/3").await.unwrap(), Some(1));
        let said = async |from: &str, to: &str| {
            let error = mounts.rename(from, to).await.unwrap_err();
            flume_core::with_causes(&error)
        };
        assert_eq!(
            said("/a/b/3", "/far/3").await,
            "failed to connect to hdfs://nn:8020: no"
        );
        let nowhere = said("/a/b/3", "/b").await;
        assert!(
            nowhere.starts_with("failed to find /b: viewfs://t/b is below no link"),
            "{nowhere}"
        );
    }
}
