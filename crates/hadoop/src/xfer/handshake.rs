//! The handshake that a connection to a DataNode begins with, as a machine that is fed the DataNode's messages.

use flume_kerberos::sasl::TooWeak;
use prost::{Message, bytes::Bytes};

use super::{
    XferError, base64,
    digest::{DigestChallenge, DigestCipher, DigestKeys, DigestLogin, check_server},
    layer::{AesLayer, DataLayer, FramedLayer},
    messages::{AES_CTR, CipherOption, HandshakeMessage},
};
use crate::{
    conf::Protection,
    namenode::messages::{DataEncryptionKey, Token},
};

/// What every handshake begins with.
const MAGIC: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

/// Why there is no agreement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The DataNode does not know the encryption key: a new one may help.
    #[error("the DataNode does not know the encryption key")]
    UnknownKey,
    /// The DataNode refuses the block's token: a new one may help.
    #[error("the DataNode refuses the token: {0}")]
    Token(String),
    /// The DataNode says no.
    #[error("the DataNode refuses: {0}")]
    Refused(String),
    /// The DataNode protects less than is demanded.
    #[error("the DataNode {0}")]
    TooWeak(#[from] TooWeak),
    /// What came is no handshake.
    #[error(transparent)]
    Protocol(#[from] XferError),
}

/// What the client insists on, and as whom.
pub struct HandshakeTerms {
    /// Who proves to be whom.
    pub login: DigestLogin,
    /// In order of preference.
    pub protection: Vec<Protection>,
    /// Whether AES is asked for where there is privacy.
    pub aes: bool,
}

impl HandshakeTerms {
    /// With the token of a block.
    pub fn of_token(token: &Token, protection: Vec<Protection>, aes: bool) -> HandshakeTerms {
        HandshakeTerms {
            login: DigestLogin {
                user: base64(&token.identifier),
                password: base64(&token.password),
            },
            protection,
            aes,
        }
    }

    /// With a key of the cluster: everything is encrypted.
    pub fn of_key(key: &DataEncryptionKey, aes: bool) -> HandshakeTerms {
        HandshakeTerms {
            login: DigestLogin {
                user: format!("{} {} {}", key.key_id, key.pool_id, base64(&key.nonce)),
                password: base64(&key.encryption_key),
            },
            protection: vec![Protection::Privacy],
            aes,
        }
    }
}

/// The handshake so far.
pub struct DataHandshake {
    terms: HandshakeTerms,
    cnonce: String,
    chosen: Option<Chosen>,
}

struct Chosen {
    protection: Protection,
    cipher: Option<DigestCipher>,
    keys: DigestKeys,
    expected: String,
}

/// What follows from a message.
pub enum HandshakeNext {
    /// Send this, and wait for the next message.
    Send(Vec<u8>),
    /// It is done; from here on the layer is applied.
    Done(DataLayer),
}

impl DataHandshake {
    /// With what to send first. `random` makes the client's nonce.
    pub fn begin(terms: HandshakeTerms, random: [u8; 16]) -> (DataHandshake, Vec<u8>) {
        let handshake = DataHandshake {
            terms,
            cnonce: base64(&random),
            chosen: None,
        };
        let first = HandshakeMessage {
            payload: Some(Bytes::new()),
            ..HandshakeMessage::default()
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(first.encode_length_delimited_to_vec());
        (handshake, bytes)
    }

    /// Takes the DataNode's next message.
    ///
    /// # Errors
    /// No agreement.
    pub fn take(&mut self, message: Bytes) -> Result<HandshakeNext, HandshakeError> {
        let message =
            HandshakeMessage::decode(message).map_err(|error| XferError::new(error.to_string()))?;
        let text = message.message.unwrap_or_default();
        match message.status {
            0 => {}
            1 => return Err(HandshakeError::UnknownKey),
            _ if message.token_error == Some(true) => return Err(HandshakeError::Token(text)),
            _ => return Err(HandshakeError::Refused(text)),
        }
        let payload = message.payload.unwrap_or_default();
        match self.chosen.take() {
            None => self.respond(&payload),
            Some(chosen) => {
                check_server(&payload, &chosen.expected)?;
                let layer = chosen.layer(message.ciphers.first())?;
                Ok(HandshakeNext::Done(layer))
            }
        }
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<HandshakeNext, HandshakeError> {
        let challenge = DigestChallenge::parse(challenge)?;
        let protection = Protection::agree(&challenge.protections, &self.terms.protection)?;
        let cipher = if protection == Protection::Privacy {
            let cipher = challenge.cipher().ok_or_else(|| {
                HandshakeError::Refused(format!(
                    "its ciphers are {}, and 3des or rc4 is needed",
                    challenge.ciphers.join(", ")
                ))
            })?;
            Some(cipher)
        } else {
            None
        };
        let response = challenge.respond(&self.terms.login, protection, cipher, &self.cnonce);
        let ciphers = if self.terms.aes && self.terms.protection.contains(&Protection::Privacy) {
            let aes = CipherOption {
                suite: AES_CTR,
                ..CipherOption::default()
            };
            vec![aes]
        } else {
            vec![]
        };
        self.chosen = Some(Chosen {
            protection,
            cipher,
            keys: response.keys,
            expected: response.expected,
        });
        let message = HandshakeMessage {
            payload: Some(response.text.into_bytes().into()),
            ciphers,
            ..HandshakeMessage::default()
        };
        Ok(HandshakeNext::Send(
            message.encode_length_delimited_to_vec(),
        ))
    }
}

impl Chosen {
    fn layer(self, option: Option<&CipherOption>) -> Result<DataLayer, HandshakeError> {
        if self.protection == Protection::Authentication {
            return Ok(DataLayer::Plain);
        }
        let mut framed = FramedLayer::new(&self.keys, self.cipher);
        let Some(option) = option.filter(|_| self.protection == Protection::Privacy) else {
            return Ok(DataLayer::Framed(Box::new(framed)));
        };
        if option.suite != AES_CTR {
            let text = format!("cipher suite {}, which nobody asked for", option.suite);
            return Err(XferError::new(text).into());
        }
        // The keys come under the layer that AES then takes the place of.
        let write_key = framed.unwrap(option.in_key.as_deref().unwrap_or_default())?;
        let read_key = framed.unwrap(option.out_key.as_deref().unwrap_or_default())?;
        let write_iv = option.in_iv.as_deref().unwrap_or_default();
        let read_iv = option.out_iv.as_deref().unwrap_or_default();
        let layer = AesLayer::new(&write_key, write_iv, &read_key, read_iv)?;
        Ok(DataLayer::Aes(Box::new(layer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xfer::layer::tests::mirrored;

    fn terms(protection: &[Protection]) -> HandshakeTerms {
        HandshakeTerms {
            login: DigestLogin {
                user: "u".into(),
                password: "p".into(),
            },
            protection: protection.to_vec(),
            aes: true,
        }
    }

    fn challenge(qop: &str) -> Bytes {
        let text =
            format!("realm=\"0\",nonce=\"n\",qop=\"{qop}\",cipher=\"rc4,3des\",algorithm=md5-sess");
        let message = HandshakeMessage {
            payload: Some(text.into_bytes().into()),
            ..HandshakeMessage::default()
        };
        message.encode_to_vec().into()
    }

    /// A DataNode that knows the same secret: its layer, and its last message.
    fn server(qop: &str, protection: Protection, aes: bool) -> (FramedLayer, Bytes) {
        let text =
            format!("realm=\"0\",nonce=\"n\",qop=\"{qop}\",cipher=\"rc4,3des\",algorithm=md5-sess");
        let challenge = DigestChallenge::parse(text.as_bytes()).unwrap();
        let cipher = challenge
            .cipher()
            .filter(|_| protection == Protection::Privacy);
        let login = &terms(&[]).login;
        let response = challenge.respond(login, protection, cipher, &base64(&[9; 16]));
        let mut layer = FramedLayer::new(&mirrored(&response.keys), cipher);
        let ciphers = if aes {
            vec![CipherOption {
                suite: AES_CTR,
                in_key: Some(layer.wrap(&[1; 16]).into()),
                in_iv: Some(vec![0; 16].into()),
                out_key: Some(layer.wrap(&[2; 16]).into()),
                out_iv: Some(vec![0; 16].into()),
            }]
        } else {
            vec![]
        };
        let last = HandshakeMessage {
            payload: Some(format!("rspauth={}", response.expected).into_bytes().into()),
            ciphers,
            ..HandshakeMessage::default()
        };
        (layer, last.encode_to_vec().into())
    }

    #[test]
    fn each_quality_is_agreed_on_and_less_is_refused() {
        use Protection::{Authentication, Integrity, Privacy};
        let agree = |demands: &[Protection], qop: &str, protection, aes| {
            let (mut handshake, first) = DataHandshake::begin(terms(demands), [9; 16]);
            assert_eq!(first[..4], MAGIC);
            assert!(matches!(
                handshake.take(challenge(qop))?,
                HandshakeNext::Send(_)
            ));
            match handshake.take(server(qop, protection, aes).1)? {
                HandshakeNext::Done(layer) => Ok(layer),
                HandshakeNext::Send(_) => Err(HandshakeError::UnknownKey),
            }
        };
        let plain = agree(&[Authentication], "auth,auth-conf", Authentication, false);
        assert!(matches!(plain, Ok(DataLayer::Plain)));
        let more = agree(&[Authentication], "auth-int", Integrity, false);
        assert!(matches!(more, Ok(DataLayer::Framed(_))));
        let aes = agree(&[Privacy], "auth,auth-conf", Privacy, true);
        assert!(matches!(aes, Ok(DataLayer::Aes(_))));
        let weak = agree(&[Privacy, Integrity], "auth", Privacy, false);
        assert!(matches!(weak, Err(HandshakeError::TooWeak(_))));
    }

    #[test]
    fn what_a_datanode_refuses_is_told_apart() {
        let take = |status, token_error| {
            let (mut handshake, _) = DataHandshake::begin(terms(&[]), [9; 16]);
            let message = HandshakeMessage {
                status,
                token_error,
                message: Some("no".into()),
                ..HandshakeMessage::default()
            };
            handshake
                .take(message.encode_to_vec().into())
                .err()
                .unwrap()
        };
        assert_eq!(take(1, None), HandshakeError::UnknownKey);
        assert_eq!(take(2, Some(true)), HandshakeError::Token("no".into()));
        assert_eq!(take(2, None), HandshakeError::Refused("no".into()));
    }
}
