//! Any bytes at all from a NameNode: no panic, and the negotiation ends.
#![no_main]

use flume_hadoop::rpc::{
    frame::{RpcAnswer, cut},
    sasl::{SaslDemands, SaslNegotiation, SaslNext},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let no_ticket = || flume_kerberos::gss::GssError { major: 0, minor: 0, text: String::new() };
    let (mut negotiation, _) =
        SaslNegotiation::begin(SaslDemands::default(), Box::new(move |_, _| Err(no_ticket())));
    let mut buffer = bytes.to_vec();
    while let Ok(Some(frame)) = cut(&mut buffer) {
        match RpcAnswer::decode(frame).and_then(RpcAnswer::sasl).and_then(|message| negotiation.take(&message)) {
            Ok(SaslNext::Send(_)) => {}
            Ok(SaslNext::Agreed(_)) | Err(_) => return,
        }
    }
});
