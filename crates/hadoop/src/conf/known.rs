//! The keys that mean something to this client, with Hadoop's defaults.

/// A key that this client honours.
#[derive(Clone, Copy, Debug)]
pub struct KnownKey {
    /// Its name.
    pub key: &'static str,
    /// Hadoop's default; empty: none.
    pub default: &'static str,
    /// What it decides.
    pub doc: &'static str,
}

/// All of them, in the order of `flume-ng describe hadoop`. Those of one nameservice or mount table end in its name.
#[rustfmt::skip]
pub const KNOWN_KEYS: &[KnownKey] = &[
    KnownKey { key: "fs.defaultFS", default: "file:///", doc: "the file system of paths without scheme or host" },
    KnownKey { key: "dfs.nameservices", default: "", doc: "names of clusters: hdfs://NAME/" },
    KnownKey { key: "dfs.replication", default: "3", doc: "replicas of new files" },
    KnownKey { key: "dfs.blocksize", default: "134217728", doc: "bytes of a block of new files; 128m, 1g" },
    KnownKey { key: "dfs.bytes-per-checksum", default: "512", doc: "what the block size is a multiple of" },
    KnownKey { key: "fs.permissions.umask-mode", default: "022", doc: "permissions that new files and directories lack" },
    KnownKey { key: "hadoop.security.authentication", default: "simple", doc: "simple or kerberos" },
    KnownKey { key: "hadoop.rpc.protection", default: "authentication", doc: "towards NameNodes: authentication, integrity, privacy; in order of preference" },
    KnownKey { key: "dfs.data.transfer.protection", default: "", doc: "the same towards DataNodes; unset: no SASL" },
    KnownKey { key: "dfs.encrypt.data.transfer", default: "false", doc: "whether data is encrypted; decided by the NameNode" },
    KnownKey { key: "dfs.namenode.kerberos.principal", default: "", doc: "who the NameNode must be" },
    KnownKey { key: "dfs.namenode.kerberos.principal.pattern", default: "", doc: "the same as a pattern with * and ?" },
    KnownKey { key: "ipc.client.fallback-to-simple-auth-allowed", default: "false", doc: "whether a NameNode without Kerberos will do" },
    KnownKey { key: "dfs.client.use.datanode.hostname", default: "false", doc: "whether DataNodes are reached by name" },
    KnownKey { key: "dfs.client.block.write.replace-datanode-on-failure.enable", default: "true", doc: "whether a lost DataNode is replaced while writing" },
    KnownKey { key: "dfs.client.block.write.replace-datanode-on-failure.policy", default: "DEFAULT", doc: "NEVER, DEFAULT or ALWAYS" },
    KnownKey { key: "dfs.client-write-packet-size", default: "65536", doc: "bytes of a packet to a DataNode" },
    KnownKey { key: "dfs.checksum.type", default: "CRC32C", doc: "how data are checked: CRC32 or CRC32C" },
    KnownKey { key: "dfs.encrypt.data.transfer.cipher.suites", default: "", doc: "AES/CTR/NoPadding, or what SASL has" },
    KnownKey { key: "dfs.user.home.dir.prefix", default: "/user", doc: "where home directories are" },
    KnownKey { key: "hadoop.tmp.dir", default: "/tmp/hadoop-${user.name}", doc: "for values that refer to it" },
];

/// Hadoop's default of a key.
pub(super) fn default(key: &str) -> Option<&'static str> {
    KNOWN_KEYS
        .iter()
        .find(|known| known.key == key)
        .map(|known| known.default)
}
