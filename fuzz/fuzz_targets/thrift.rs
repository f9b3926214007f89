//! Any bytes: messages of every service in every protocol, or an error; calls that were understood are understood again
//! when they are written.
#![no_main]

use bytes::{Bytes, BytesMut};
use flume_wire::{
    Framing,
    thrift::{
        LegacyFraming, SaslFrameDecoder, ThriftFrameDecoder, ThriftProtocol, read_call,
        read_legacy_call, read_reply, read_scribe_call, write_append_batch, write_sasl_message,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = ThriftFrameDecoder::new(1 << 20);
    let mut received = BytesMut::from(bytes);
    while let Ok(Some(_)) = decoder.decode(&mut received) {}
    let mut decoder = SaslFrameDecoder::default();
    let mut received = BytesMut::from(bytes);
    let mut written = vec![];
    while let Ok(Some(message)) = decoder.decode(&mut received) {
        write_sasl_message(message.status, &message.payload, &mut written);
    }
    assert!(bytes.starts_with(&written));
    let message = Bytes::copy_from_slice(bytes);
    for protocol in [ThriftProtocol::Compact, ThriftProtocol::Binary] {
        let _ = read_reply(protocol, 1, message.clone());
        let Ok(call) = read_call(protocol, message.clone()) else {
            continue;
        };
        let mut out = vec![];
        write_append_batch(protocol, call.head.sequence, &call.events, &mut out);
        let again = read_call(protocol, out.into()).expect("what was written is read");
        assert_eq!(again.events, call.events);
    }
    let _ = read_scribe_call(message.clone());
    // Without frames: where a message ends does not depend on the pieces in which it comes.
    let whole = read_legacy_call(&message);
    let mut framing = LegacyFraming::default();
    let mut received = BytesMut::new();
    for byte in bytes {
        received.extend_from_slice(&[*byte]);
        match framing.decode(&mut received) {
            Ok(None) => {}
            Ok(Some(call)) => {
                assert_eq!(whole.expect("a call that was found is understood").0, call);
                break;
            }
            Err(_) => break,
        }
    }
});
