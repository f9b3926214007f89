//! What an operator can do about an error, by the words in it.

/// Words of an error, in lower case, and what to do about it. The first row that fits counts.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["kerberos", "gss", "keytab", "kinit", "principal", "ticket"],
        "Check the keytab, the principal and the clock of this host; `flume-ng doctor` does that.",
    ),
    (
        &["certificate", "handshake", "tls", "keystore", "truststore"],
        "Check the certificates of both ends and the trust store of this one.",
    ),
    (
        &["safe mode"],
        "Wait until the NameNode leaves safe mode, or end it by `hdfs dfsadmin -safemode leave`.",
    ),
    (
        &[
            "connection refused",
            "connection reset",
            "unreachable",
            "no route",
        ],
        "Start the server that the error names, or mend its host and port in the configuration.",
    ),
    (
        &["resolve", "name or service", "lookup"],
        "Mend the host name in the configuration, or the name service of this host.",
    ),
    (
        &["timed out", "timeout", "did not answer"],
        "Look whether the other end is overloaded, or a firewall drops the packets.",
    ),
    (
        &["no space", "disk is full", "quota"],
        "Free some space on that disk, or raise the quota.",
    ),
    (
        &["permission denied", "not permitted", "access control"],
        "Give the agent's user access to the file or directory that the error names.",
    ),
    (
        &["address already in use", "listen on"],
        "End the program that has the port, or choose another port.",
    ),
    (
        &["no such file", "not found", "does not exist"],
        "Make the file or directory that the error names, or mend its path in the configuration.",
    ),
    (
        &["unauthorized", "authentication", "not authorized", "denied"],
        "Check the user and the password, and what this user may do at the other end.",
    ),
];

/// What to do about an error of the component.
pub(crate) fn remedy(component: &str, error: &str) -> String {
    let error = error.to_lowercase();
    let fits = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let row = REMEDIES.iter().find(|(words, _)| fits(words));
    row.map_or_else(
        || format!("Look for {component} in the agent's log. The agent goes on trying."),
        |(_, remedy)| (*remedy).into(),
    )
}
