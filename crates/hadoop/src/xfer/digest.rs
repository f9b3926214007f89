//! DIGEST-MD5 (RFC 2831), the client's side, as Hadoop uses it towards DataNodes: the digest URI is `hdfs/0`.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use super::XferError;
use crate::conf::Protection;

/// The service and host that Java's DataNodes give themselves.
const DIGEST_URI: &str = "hdfs/0";
/// A nonce is used once, with one connection.
const NONCE_COUNT: &str = "00000001";
/// A challenge is some hundred bytes.
const MAX_CHALLENGE_BYTES: usize = 8 << 10;

/// Who proves to be whom.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestLogin {
    /// The user.
    pub user: String,
    /// What only the user and the server know.
    pub password: String,
}

/// What the server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestChallenge {
    /// Its realm.
    pub realm: String,
    /// Its nonce.
    pub nonce: String,
    /// Qualities of protection.
    pub protections: Vec<Protection>,
    /// Ciphers for privacy.
    pub ciphers: Vec<String>,
}

/// A cipher of DIGEST-MD5. DES and the export variants of RC4 are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestCipher {
    /// Triple DES with two keys.
    TripleDes,
    /// RC4 with 128 bits.
    Rc4,
}

/// What was agreed on, and the keys that follow.
pub struct DigestKeys {
    /// Signs what the client sends.
    pub sign_client: [u8; 16],
    /// Signs what the server sends.
    pub sign_server: [u8; 16],
    /// Encrypts what the client sends.
    pub seal_client: [u8; 16],
    /// Encrypts what the server sends.
    pub seal_server: [u8; 16],
}

/// An answer to a challenge.
pub struct DigestResponse {
    /// What to send.
    pub text: String,
    /// What the server must answer.
    pub expected: String,
    /// Keys of the layer.
    pub keys: DigestKeys,
}

impl DigestChallenge {
    /// Reads `realm="0",nonce="…",qop="auth,auth-conf",…`.
    ///
    /// # Errors
    /// What is no challenge.
    pub fn parse(bytes: &[u8]) -> Result<DigestChallenge, XferError> {
        let directives = directives(bytes)?;
        let get = |name: &str| directives.get(name).map(String::as_str);
        let words = |name: &str| -> Vec<String> {
            let list = get(name).unwrap_or_default();
            list.split(',')
                .map(|word| word.trim().to_string())
                .collect()
        };
        if get("algorithm") != Some("md5-sess") {
            return Err(XferError::new("a challenge without md5-sess"));
        }
        let nonce = get("nonce").ok_or_else(|| XferError::new("a challenge without nonce"))?;
        let all = [
            Protection::Authentication,
            Protection::Integrity,
            Protection::Privacy,
        ];
        let offered = if get("qop").is_some() {
            words("qop")
        } else {
            vec!["auth".into()]
        };
        Ok(DigestChallenge {
            realm: get("realm").unwrap_or_default().into(),
            nonce: nonce.into(),
            protections: all
                .into_iter()
                .filter(|protection| offered.iter().any(|word| word == protection.sasl_name()))
                .collect(),
            ciphers: words("cipher"),
        })
    }

    /// The best cipher that both sides know.
    pub fn cipher(&self) -> Option<DigestCipher> {
        let has = |name: &str| self.ciphers.iter().any(|cipher| cipher == name);
        if has("3des") {
            Some(DigestCipher::TripleDes)
        } else if has("rc4") {
            Some(DigestCipher::Rc4)
        } else {
            None
        }
    }

    /// Answers as `login`. `cnonce` is random.
    pub fn respond(
        &self,
        login: &DigestLogin,
        protection: Protection,
        cipher: Option<DigestCipher>,
        cnonce: &str,
    ) -> DigestResponse {
        let DigestChallenge { realm, nonce, .. } = self;
        let DigestLogin { user, password } = login;
        let secret = md5(&[
            user.as_bytes(),
            b":",
            realm.as_bytes(),
            b":",
            password.as_bytes(),
        ]);
        let session = md5(&[&secret, b":", nonce.as_bytes(), b":", cnonce.as_bytes()]);
        let qop = protection.sasl_name();
        let tail = if protection == Protection::Authentication {
            ""
        } else {
            ":00000000000000000000000000000000"
        };
        let value = |method: &str| {
            let a2 = hex(&md5(&[format!("{method}:{DIGEST_URI}{tail}").as_bytes()]));
            let session = hex(&session);
            let text = format!("{session}:{nonce}:{NONCE_COUNT}:{cnonce}:{qop}:{a2}");
            hex(&md5(&[text.as_bytes()]))
        };
        let response = value("AUTHENTICATE");
        let cipher_name = cipher.map_or(String::new(), |cipher| {
            let name = match cipher {
                DigestCipher::TripleDes => "3des",
                DigestCipher::Rc4 => "rc4",
            };
            format!(",cipher=\"{name}\"")
        });
        let text = format!(
            "charset=utf-8,username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",nc={NONCE_COUNT},\
             cnonce=\"{cnonce}\",digest-uri=\"{DIGEST_URI}\",maxbuf=65536,response={response},\
             qop={qop}{cipher_name}"
        );
        let key = |magic: &str| md5(&[&session, magic.as_bytes()]);
        DigestResponse {
            text,
            expected: value(""),
            keys: DigestKeys {
                sign_client: key(
                    "Digest session key to client-to-server signing key magic constant",
                ),
                sign_server: key(
                    "Digest session key to server-to-client signing key magic constant",
                ),
                seal_client: key("Digest H(A1) to client-to-server sealing key magic constant"),
                seal_server: key("Digest H(A1) to server-to-client sealing key magic constant"),
            },
        }
    }
}

/// Whether the server has proved that it knows the password, too.
///
/// # Errors
/// It has not.
pub fn check_server(bytes: &[u8], expected: &str) -> Result<(), XferError> {
    match directives(bytes)?.get("rspauth") {
        Some(value) if value == expected => Ok(()),
        _ => Err(XferError::new(
            "the DataNode does not prove that it knows the key",
        )),
    }
}

/// `name=value` and `name="value"`, separated by commas.
fn directives(bytes: &[u8]) -> Result<BTreeMap<String, String>, XferError> {
    let wrong = || XferError::new("a challenge that is not of DIGEST-MD5");
    if bytes.len() > MAX_CHALLENGE_BYTES {
        return Err(wrong());
    }
    let mut rest = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let mut directives = BTreeMap::new();
    while !rest.trim().is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(wrong)?;
        let value = if let Some(quoted) = after.strip_prefix('"') {
            let (value, after) = quoted.split_once('"').ok_or_else(wrong)?;
            rest = after.strip_prefix(',').unwrap_or(after);
            value
        } else {
            let (value, after) = after.split_once(',').unwrap_or((after, ""));
            rest = after;
            value
        };
        directives.insert(name.trim().to_ascii_lowercase(), value.to_string());
    }
    Ok(directives)
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-MD5 (RFC 2104).
pub(super) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut inner = [0x36; 64];
    let mut outer = [0x5c; 64];
    for (at, byte) in key.iter().enumerate() {
        inner[at] ^= byte;
        outer[at] ^= byte;
    }
    let mut hash = Md5::new();
    hash.update(inner);
    for part in parts {
        hash.update(part);
    }
    let hashed: [u8; 16] = hash.finalize().into();
    md5(&[&outer, &hashed])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_and_answered() {
        let text = br#"realm="0",nonce="OA6MG9tEQGm2hh",qop="auth-conf,auth",charset=utf-8,cipher="3des,rc4",algorithm=md5-sess"#;
        let challenge = DigestChallenge::parse(text).unwrap();
        assert_eq!(challenge.nonce, "OA6MG9tEQGm2hh");
        let offered = [Protection::Authentication, Protection::Privacy];
        assert_eq!(challenge.protections, offered);
        assert_eq!(challenge.cipher(), Some(DigestCipher::TripleDes));
        let login = DigestLogin {
            user: "chris".into(),
            password: "secret".into(),
        };
        let response =
            challenge.respond(&login, Protection::Authentication, None, "OA6MHXh6VqTrRk");
        assert!(response.text.contains("digest-uri=\"hdfs/0\""));
        assert_eq!(response.expected.len(), 32);
        let proof = format!("rspauth={}", response.expected);
        check_server(proof.as_bytes(), &response.expected).unwrap();
        assert!(check_server(b"rspauth=00", &response.expected).is_err());
        assert!(DigestChallenge::parse(b"nonce=1").is_err());
    }

    /// The test vector of RFC 2202, and of RFC 1321.
    #[test]
    fn digests_are_those_of_the_standards() {
        let sum = hmac_md5(&[0x0b; 16], &[b"Hi ", b"There"]);
        assert_eq!(hex(&sum), "9294727a3638bb1c13f48ef8158bfc9d");
        assert_eq!(hex(&md5(&[b"abc"])), "900150983cd24fb0d6963f7d28e17f72");
    }
}
