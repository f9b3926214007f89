//! What an error of a call means: whether the same call is worth another try, and what the caller can do otherwise.

use std::{io::ErrorKind, time::Duration};

use crate::{
    fs::{FsError, FsErrorKind},
    rpc::RpcError,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// A NameNode that has just started leaves it soon. Later the caller has to hear of it, and says so.
const SAFE_MODE_TRIES: u32 = 8;
const SAFE_MODE_PAUSE: Duration = Duration::from_secs(1);
/// DataNodes report a block within milliseconds.
const REPORT_PAUSE: Duration = Duration::from_millis(10);

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallVerdict {
    /// The same call again to the same NameNode, after a pause.
    Again(Duration),
    /// The same call again to the next NameNode, after a pause if all were asked.
    Next(Duration),
    /// The same call again over a new connection, once: the login may be old.
    Reconnect,
    /// Nothing but to tell the caller.
    Fail,
}

/// Decides about a call that has failed for the `tries`-th time, from 1. All calls may be sent again: they are
/// idempotent, or the NameNode recognises them by client and call id.
pub fn decide(error: &RpcError, tries: u32) -> CallVerdict {
    let pause = backoff(FIRST_PAUSE, MAX_PAUSE, tries);
    match error {
        RpcError::Network(_) | RpcError::TimedOut(_) | RpcError::Protocol(_) => {
            CallVerdict::Next(pause)
        }
        RpcError::Kerberos(_) => CallVerdict::Next(pause.max(Duration::from_millis(500))),
        RpcError::Negotiation(_) => CallVerdict::Fail,
        RpcError::Remote { class, .. } => match simple_name(class) {
            "StandbyException"
            | "ObserverRetryOnActiveException"
            | "NoNamenodesAvailableException" => CallVerdict::Next(pause),
            "RetriableException" => CallVerdict::Again(pause),
            "SafeModeException" if tries <= SAFE_MODE_TRIES => CallVerdict::Again(SAFE_MODE_PAUSE),
            "NotReplicatedYetException" => {
                CallVerdict::Again(backoff(REPORT_PAUSE, Duration::from_secs(1), tries))
            }
            "InvalidToken" | "SaslException" if tries == 1 => CallVerdict::Reconnect,
            _ => CallVerdict::Fail,
        },
    }
}

/// A pause that doubles with each try.
pub fn backoff(first: Duration, max: Duration, tries: u32) -> Duration {
    (first * (1 << tries.saturating_sub(1).min(10))).min(max)
}

/// The name of a Java class without its package.
pub fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

/// The error of a file system's call.
pub fn fs_error(doing: impl Into<String>, error: RpcError) -> FsError {
    FsError::at(kind(&error), doing)(said(&error))
}

/// What the server said, or what happened.
pub fn said(error: &RpcError) -> String {
    match error {
        RpcError::Remote { class, message } => match simple_name(class) {
            "UnknownCryptoProtocolVersionException" => {
                "the directory is an encryption zone, which this client does not write to".into()
            }
            name => format!("{name}: {message}"),
        },
        RpcError::Network(error) if error.kind() == ErrorKind::ConnectionRefused => {
            "no NameNode listens".into()
        }
        error => error.to_string(),
    }
}

/// What can be done about an error.
pub fn kind(error: &RpcError) -> FsErrorKind {
    match error {
        RpcError::Remote { class, message } => kind_of_exception(simple_name(class), message),
        _ => FsErrorKind::Retry,
    }
}

fn kind_of_exception(class: &str, message: &str) -> FsErrorKind {
    match class {
        "AccessControlException"
        | "AuthorizationException"
        | "SnapshotAccessControlException"
        | "ParentNotDirectoryException" => FsErrorKind::Permission,
        "NSQuotaExceededException"
        | "DSQuotaExceededException"
        | "QuotaExceededException"
        | "QuotaByStorageTypeExceededException"
        | "MaxDirectoryItemsExceededException" => FsErrorKind::Quota,
        "InvalidPathException"
        | "PathComponentTooLongException"
        | "IllegalReservedPathException" => FsErrorKind::Name,
        // Over a file that somebody writes the NameNode says the second, over one it recovers the third.
        "FileAlreadyExistsException"
        | "AlreadyBeingCreatedException"
        | "RecoveryInProgressException" => FsErrorKind::Exists,
        "FileNotFoundException" | "LeaseExpiredException" => FsErrorKind::Gone,
        "IOException" if is_fenced(message) => FsErrorKind::Gone,
        "UnknownCryptoProtocolVersionException"
        | "UnresolvedPathException"
        | "UnresolvedLinkException"
        | "UnsupportedOperationException"
        | "HadoopIllegalArgumentException"
        | "RpcNoSuchMethodException" => FsErrorKind::Unsupported,
        _ => FsErrorKind::Retry,
    }
}

/// Whether somebody else has taken the file over.
fn is_fenced(message: &str) -> bool {
    [
        "is under recovery",
        "Unexpected BlockUCState",
        "passed 'previous' block",
        "but is under",
    ]
    .iter()
    .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(class: &str, message: &str) -> RpcError {
        RpcError::Remote {
            class: class.into(),
            message: message.into(),
        }
    }

    #[test]
    fn each_error_has_its_verdict() {
        let refused = RpcError::Network(std::io::ErrorKind::ConnectionRefused.into());
        let check = |error: &RpcError, tries, expected| {
            assert_eq!(decide(error, tries), expected, "{error:?}")
        };
        let ms = Duration::from_millis;
        check(&refused, 1, CallVerdict::Next(ms(50)));
        check(&refused, 99, CallVerdict::Next(ms(2000)));
        let standby = remote("org.apache.hadoop.ipc.StandbyException", "no");
        check(&standby, 1, CallVerdict::Next(ms(50)));
        let safe = remote("o.a.h.hdfs.server.namenode.SafeModeException", "no");
        check(&safe, 7, CallVerdict::Again(ms(1000)));
        check(&safe, 9, CallVerdict::Fail);
        let token = remote("o.a.h.security.token.SecretManager$InvalidToken", "old");
        check(&token, 1, CallVerdict::Reconnect);
        check(&token, 2, CallVerdict::Fail);
        check(&remote("java.io.IOException", "x"), 1, CallVerdict::Fail);
    }

    #[test]
    fn exceptions_are_kinds() {
        for (class, message, expected) in [
            (
                "o.FSLimitException$PathComponentTooLongException",
                "",
                FsErrorKind::Name,
            ),
            ("o.a.AlreadyBeingCreatedException", "", FsErrorKind::Exists),
            ("o.a.LeaseExpiredException", "", FsErrorKind::Gone),
            (
                "java.io.IOException",
                "blk_1 is under recovery",
                FsErrorKind::Gone,
            ),
            ("java.io.IOException", "no", FsErrorKind::Retry),
            (
                "o.a.UnknownCryptoProtocolVersionException",
                "",
                FsErrorKind::Unsupported,
            ),
            ("o.a.DSQuotaExceededException", "", FsErrorKind::Quota),
            ("o.a.SafeModeException", "", FsErrorKind::Retry),
        ] {
            assert_eq!(kind(&remote(class, message)), expected, "{class}");
        }
        let zone = remote("o.a.UnknownCryptoProtocolVersionException", "x");
        assert!(said(&zone).contains("encryption zone"));
    }
}
