//! What a client needs to know, as values.

use flume_kerberos::sasl::Protection;

use super::{Hadoop, HadoopError};
use crate::xfer::packet::{ChecksumKind, MAX_PACKET_BYTES};

/// What keys about replacing a DataNode begin with.
const REPLACE: &str = "dfs.client.block.write.replace-datanode-on-failure";

/// The settings of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientSettings {
    /// `dfs.replication`: replicas of new files.
    pub replication: u32,
    /// `dfs.blocksize`: bytes of a block of new files.
    pub block_size: u64,
    /// `fs.permissions.umask-mode`: permission bits that new files and directories lack.
    pub umask: u32,
    /// `hadoop.security.authentication`: whether the cluster wants Kerberos.
    pub kerberos: bool,
    /// `hadoop.rpc.protection`: in order of preference.
    pub rpc_protection: Vec<Protection>,
    /// `dfs.data.transfer.protection`: in order of preference; empty: no SASL.
    pub data_protection: Vec<Protection>,
    /// `dfs.namenode.kerberos.principal`, with `_HOST` in it where it is written.
    pub namenode_principal: Option<String>,
    /// `dfs.namenode.kerberos.principal.pattern`.
    pub namenode_principal_pattern: Option<String>,
    /// `ipc.client.fallback-to-simple-auth-allowed`.
    pub fallback_to_simple: bool,
    /// `dfs.bytes-per-checksum`.
    pub bytes_per_checksum: usize,
    /// `dfs.checksum.type`.
    pub checksum: ChecksumKind,
    /// `dfs.client-write-packet-size`: bytes of a packet, head included.
    pub packet_bytes: usize,
    /// Whether a lost DataNode is replaced while its block is written.
    pub replace_nodes: bool,
    /// `dfs.encrypt.data.transfer.cipher.suites`: whether it names AES.
    pub data_aes: bool,
    /// `dfs.client.use.datanode.hostname`.
    pub use_host_name: bool,
    /// `dfs.user.home.dir.prefix`.
    pub home_prefix: String,
}

impl ClientSettings {
    /// Reads them; every error is reported.
    ///
    /// # Errors
    /// Each value that is none, with its line.
    pub fn of(hadoop: &Hadoop) -> Result<ClientSettings, Vec<HadoopError>> {
        let mut reader = SettingsReader {
            hadoop,
            errors: vec![],
        };
        let settings = ClientSettings {
            replication: reader.value("dfs.replication", replication),
            block_size: reader.value("dfs.blocksize", binary_size),
            umask: reader.value("fs.permissions.umask-mode", umask),
            kerberos: reader.value("hadoop.security.authentication", authentication),
            rpc_protection: reader.value("hadoop.rpc.protection", protections),
            data_protection: reader.value("dfs.data.transfer.protection", protections),
            namenode_principal: hadoop
                .get("dfs.namenode.kerberos.principal")
                .map(String::from),
            namenode_principal_pattern: hadoop
                .get("dfs.namenode.kerberos.principal.pattern")
                .map(String::from),
            fallback_to_simple: reader.value("ipc.client.fallback-to-simple-auth-allowed", flag),
            bytes_per_checksum: reader
                .value("dfs.bytes-per-checksum", checksum_bytes)
                .max(1),
            checksum: reader.value("dfs.checksum.type", checksum_kind),
            packet_bytes: reader.value("dfs.client-write-packet-size", packet_bytes),
            replace_nodes: reader.value(&format!("{REPLACE}.enable"), flag)
                && reader.value(&format!("{REPLACE}.policy"), replaces),
            data_aes: reader.value("dfs.encrypt.data.transfer.cipher.suites", names_aes),
            use_host_name: reader.value("dfs.client.use.datanode.hostname", flag),
            home_prefix: hadoop
                .get("dfs.user.home.dir.prefix")
                .unwrap_or_default()
                .into(),
        };
        let checksum = settings.bytes_per_checksum;
        if !settings.block_size.is_multiple_of(checksum as u64) {
            let text = format!(
                "is {}, which is not a multiple of `dfs.bytes-per-checksum`, {checksum}",
                settings.block_size
            );
            reader.errors.push(hadoop.wrong("dfs.blocksize", text));
        }
        if reader.errors.is_empty() {
            Ok(settings)
        } else {
            Err(reader.errors)
        }
    }
}

struct SettingsReader<'a> {
    hadoop: &'a Hadoop,
    errors: Vec<HadoopError>,
}

impl SettingsReader<'_> {
    /// `parse` says what it expected.
    fn value<T: Default>(&mut self, key: &str, parse: fn(&str) -> Result<T, &'static str>) -> T {
        let text = self.hadoop.get(key).unwrap_or_default();
        if text.is_empty() {
            return T::default();
        }
        parse(text).unwrap_or_else(|expected| {
            self.errors.push(
                self.hadoop
                    .wrong(key, format!("expected {expected}, found `{text}`")),
            );
            T::default()
        })
    }
}

fn replication(text: &str) -> Result<u32, &'static str> {
    text.parse()
        .ok()
        .filter(|count| (1..=512).contains(count))
        .ok_or("a whole number from 1 to 512")
}

/// A number of bytes, perhaps with a binary prefix.
fn binary_size(text: &str) -> Result<u64, &'static str> {
    let expected = "a number of bytes, as 134217728 or 128m";
    let prefixes = "kmgtpe";
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, last)) if last.is_ascii_alphabetic() => {
            let power = prefixes.find(last.to_ascii_lowercase()).ok_or(expected)?;
            (&text[..at], 10 * (power as u32 + 1))
        }
        _ => (text, 0),
    };
    let number: u64 = digits.trim().parse().map_err(|_| expected)?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| (1..=i64::MAX as u64).contains(bytes))
        .ok_or(expected)
}

/// Octal digits of what is taken away, or symbols of what is left: `u=rwx,g=rx,o=`.
fn umask(text: &str) -> Result<u32, &'static str> {
    let expected = "an octal umask as 022, or a symbolic one as u=rwx,g=rx,o=";
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return u32::from_str_radix(text, 8)
            .ok()
            .filter(|umask| *umask <= 0o777)
            .ok_or(expected);
    }
    let mut left = 0;
    for clause in text.split(',') {
        let (who, what) = clause.trim().split_once(['=', '+']).ok_or(expected)?;
        let bits = what.bytes().try_fold(0, |bits, letter| match letter {
            b'r' => Ok(bits | 0o4),
            b'w' => Ok(bits | 0o2),
            b'x' | b'X' => Ok(bits | 0o1),
            _ => Err(expected),
        })?;
        for class in if who.is_empty() { "a" } else { who }.bytes() {
            left |= match class {
                b'u' => bits << 6,
                b'g' => bits << 3,
                b'o' => bits,
                b'a' => bits << 6 | bits << 3 | bits,
                _ => return Err(expected),
            };
        }
    }
    Ok(!left & 0o777)
}

fn authentication(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "simple" => Ok(false),
        "kerberos" => Ok(true),
        _ => Err("simple or kerberos"),
    }
}

fn protections(text: &str) -> Result<Vec<Protection>, &'static str> {
    let one = |word: &str| match word.to_ascii_lowercase().as_str() {
        "authentication" => Ok(Protection::Authentication),
        "integrity" => Ok(Protection::Integrity),
        "privacy" => Ok(Protection::Privacy),
        _ => Err("authentication, integrity or privacy, or several of them"),
    };
    super::target::words(text).map(one).collect()
}

/// As Hadoop's `getBoolean`: what is neither word is the default, and the defaults here are false.
fn flag(text: &str) -> Result<bool, &'static str> {
    Ok(text.eq_ignore_ascii_case("true"))
}

fn checksum_bytes(text: &str) -> Result<usize, &'static str> {
    let bytes = binary_size(text)?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= MAX_PACKET_BYTES / 2)
        .ok_or("a number of bytes up to 8m")
}

fn packet_bytes(text: &str) -> Result<usize, &'static str> {
    let bytes = binary_size(text)?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= MAX_PACKET_BYTES)
        .ok_or("a number of bytes up to 16m")
}

fn checksum_kind(text: &str) -> Result<ChecksumKind, &'static str> {
    match text.to_ascii_uppercase().as_str() {
        "CRC32" => Ok(ChecksumKind::Crc32),
        "CRC32C" => Ok(ChecksumKind::Crc32c),
        _ => Err("CRC32 or CRC32C"),
    }
}

fn replaces(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_uppercase().as_str() {
        "NEVER" => Ok(false),
        "DEFAULT" | "ALWAYS" => Ok(true),
        _ => Err("NEVER, DEFAULT or ALWAYS"),
    }
}

fn names_aes(text: &str) -> Result<bool, &'static str> {
    let mut suites = super::target::words(text);
    Ok(suites.any(|suite| suite == "AES/CTR/NoPadding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_prefixes() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(binary_size(text).ok(), expected, "{text}")
        };
        check("134217728", Some(134_217_728));
        check("128m", Some(134_217_728));
        check("1 G", Some(1 << 30));
        check("8e", None);
        check("0", None);
        check("-1k", None);
        check("12q", None);
        check("m", None);
        check("99999999999999999999", None);
        check("1€", None);
    }

    #[test]
    fn umasks_are_octal_or_symbolic() {
        let check =
            |text: &str, expected: Option<u32>| assert_eq!(umask(text).ok(), expected, "{text}");
        check("022", Some(0o022));
        check("77", Some(0o077));
        check("u=rwx,g=rx,o=", Some(0o027));
        check("u=rwx,go=rx", Some(0o022));
        check("a=rwx", Some(0));
        check("1777", None);
        check("088", None);
        check("u=rwz", None);
        check("rwx", None);
    }
}
