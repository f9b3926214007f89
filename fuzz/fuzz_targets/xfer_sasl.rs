//! Any bytes at all from a DataNode during the handshake, and under the layer after it: no panic.
#![no_main]

use bytes::BytesMut;
use flume_hadoop::{
    conf::Protection,
    xfer::{
        cut_delimited,
        digest::{DigestCipher, DigestKeys, DigestLogin},
        handshake::{DataHandshake, HandshakeNext, HandshakeTerms},
        layer::{DataLayer, FramedLayer},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let login = DigestLogin { user: "u".into(), password: "p".into() };
    let protection = vec![Protection::Privacy, Protection::Authentication];
    let terms = HandshakeTerms { login, protection, aes: true };
    let (mut handshake, _) = DataHandshake::begin(terms, [7; 16]);
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = cut_delimited(&mut buffer, 1 << 16) {
        match handshake.take(message) {
            Ok(HandshakeNext::Send(_)) => {}
            Ok(HandshakeNext::Done(_)) | Err(_) => break,
        }
    }
    let keys = DigestKeys {
        sign_client: [1; 16],
        sign_server: [2; 16],
        seal_client: [3; 16],
        seal_server: [4; 16],
    };
    for cipher in [None, Some(DigestCipher::TripleDes), Some(DigestCipher::Rc4)] {
        let mut layer = DataLayer::Framed(Box::new(FramedLayer::new(&keys, cipher)));
        let _ = layer.open(&mut BytesMut::from(bytes), &mut BytesMut::new());
    }
});
