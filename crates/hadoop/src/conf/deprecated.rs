//! Former names of keys, as Hadoop lists them; only those a client or an operator of one meets.

/// The former name, and the one that took its place. In order, for the search.
const RENAMED: &[(&str, &str)] = &[
    (
        "dfs.access.time.precision",
        "dfs.namenode.accesstime.precision",
    ),
    ("dfs.block.size", "dfs.blocksize"),
    ("dfs.data.dir", "dfs.datanode.data.dir"),
    (
        "dfs.encryption.key.provider.uri",
        "hadoop.security.key.provider.path",
    ),
    ("dfs.federation.nameservice.id", "dfs.nameservice.id"),
    ("dfs.federation.nameservices", "dfs.nameservices"),
    ("dfs.http.address", "dfs.namenode.http-address"),
    ("dfs.https.address", "dfs.namenode.https-address"),
    (
        "dfs.https.client.keystore.resource",
        "dfs.client.https.keystore.resource",
    ),
    ("dfs.https.need.client.auth", "dfs.client.https.need-auth"),
    (
        "dfs.max-repl-streams",
        "dfs.namenode.replication.max-streams",
    ),
    ("dfs.name.dir", "dfs.namenode.name.dir"),
    ("dfs.permissions", "dfs.permissions.enabled"),
    (
        "dfs.permissions.supergroup",
        "dfs.permissions.superusergroup",
    ),
    ("dfs.read.prefetch.size", "dfs.client.read.prefetch.size"),
    (
        "dfs.replication.considerLoad",
        "dfs.namenode.replication.considerLoad",
    ),
    (
        "dfs.replication.interval",
        "dfs.namenode.replication.interval",
    ),
    ("dfs.replication.min", "dfs.namenode.replication.min"),
    ("dfs.safemode.extension", "dfs.namenode.safemode.extension"),
    (
        "dfs.safemode.threshold.pct",
        "dfs.namenode.safemode.threshold-pct",
    ),
    ("dfs.socket.timeout", "dfs.client.socket-timeout"),
    ("dfs.umask", "fs.permissions.umask-mode"),
    ("dfs.umaskmode", "fs.permissions.umask-mode"),
    ("dfs.web.ugi", "hadoop.http.staticuser.user"),
    ("dfs.write.packet.size", "dfs.client-write-packet-size"),
    ("fs.default.name", "fs.defaultFS"),
    ("hadoop.native.lib", "io.native.lib.available"),
    ("io.bytes.per.checksum", "dfs.bytes-per-checksum"),
    (
        "topology.node.switch.mapping.impl",
        "net.topology.node.switch.mapping.impl",
    ),
    ("topology.script.file.name", "net.topology.script.file.name"),
];

/// The present name of a key.
pub(super) fn replacement(name: &str) -> &str {
    RENAMED
        .binary_search_by_key(&name, |(former, _)| former)
        .map_or(name, |row| RENAMED[row].1)
}

#[test]
fn the_table_is_in_order_and_leads_to_present_names() {
    assert!(RENAMED.is_sorted());
    assert!(RENAMED.iter().all(|(_, now)| replacement(now) == *now));
    assert_eq!(replacement("fs.default.name"), "fs.defaultFS");
    assert_eq!(replacement("dfs.blocksize"), "dfs.blocksize");
}
