//! The handshake by which both sides prove that they know the shared key: HELO, PING, PONG.

use sha2::{Digest, Sha512};

use super::{
    FluentError, FluentStream,
    msgpack::{Msgpack, MsgpackReader, put_text},
};

/// Most bytes of a PING: more is no handshake.
const MAX_PING_BYTES: usize = 4096;

/// What follows from a client's proof.
#[derive(Debug)]
pub struct Pong {
    /// For the client.
    pub answer: Vec<u8>,
    /// Whether it may stay.
    pub outcome: Result<(), FluentError>,
}

/// The server's side.
#[derive(Clone, Debug)]
pub struct Handshake {
    shared_key: String,
    hostname: String,
    nonce: [u8; 16],
}

impl Handshake {
    /// With a nonce that nobody can guess.
    pub fn new(shared_key: &str, hostname: &str, nonce: [u8; 16]) -> Self {
        Handshake {
            shared_key: shared_key.into(),
            hostname: hostname.into(),
            nonce,
        }
    }

    /// The first bytes to a client.
    pub fn hello(&self) -> Vec<u8> {
        let mut hello = vec![0x92];
        put_text(&mut hello, b"HELO");
        hello.push(0x83);
        put_text(&mut hello, b"nonce");
        hello.extend_from_slice(&[0xc4, 16]);
        hello.extend_from_slice(&self.nonce);
        put_text(&mut hello, b"auth");
        put_text(&mut hello, b"");
        put_text(&mut hello, b"keepalive");
        hello.push(0xc3);
        hello
    }

    /// Reads the client's answer when it is there.
    ///
    /// # Errors
    /// It is no answer at all.
    pub fn answer(&self, stream: &mut FluentStream) -> Result<Option<Pong>, FluentError> {
        let Some(ping) = stream.next_value(MAX_PING_BYTES)? else {
            return Ok(None);
        };
        let mut reader = MsgpackReader(&ping);
        let is_ping = matches!(reader.next()?, Msgpack::Array(4..=6))
            && reader.next()? == Msgpack::Bytes(b"PING");
        if !is_ping {
            return Err(FluentError::Broken(
                "this port demands the handshake of a shared key, and the sender does not begin it",
            ));
        }
        let client = reader.text()?;
        let Msgpack::Bytes(salt) = reader.next()? else {
            return Err(FluentError::Broken("the salt of a handshake is a text"));
        };
        let digest = reader.text()?;
        let is_right = is_same(&digest, &self.digest(salt, client.as_bytes()));
        let mut pong = vec![0x95];
        put_text(&mut pong, b"PONG");
        pong.push(if is_right { 0xc3 } else { 0xc2 });
        put_text(
            &mut pong,
            if is_right {
                b""
            } else {
                b"shared_key mismatch"
            },
        );
        put_text(&mut pong, self.hostname.as_bytes());
        let proof = if is_right {
            self.digest(salt, self.hostname.as_bytes())
        } else {
            String::new()
        };
        put_text(&mut pong, proof.as_bytes());
        let outcome = is_right.then_some(()).ok_or(FluentError::Key(client));
        Ok(Some(Pong {
            answer: pong,
            outcome,
        }))
    }

    fn digest(&self, salt: &[u8], hostname: &[u8]) -> String {
        let mut digest = Sha512::new();
        for part in [salt, hostname, &self.nonce, self.shared_key.as_bytes()] {
            digest.update(part);
        }
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// In a time that does not tell where they differ.
fn is_same(a: &str, b: &str) -> bool {
    let differences = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}
