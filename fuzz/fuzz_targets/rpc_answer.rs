//! Any bytes at all from a NameNode: no panic, and the negotiation ends.
#![no_main]

use flume_hdfs::rpc::{
    frame::{Answer, cut},
    sasl::{Demands, Negotiation, Next},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let no_ticket = || flume_gss::Error { major: 0, minor: 0, text: String::new() };
    let (mut negotiation, _) =
        Negotiation::begin(Demands::default(), Box::new(move |_, _| Err(no_ticket())));
    let mut buffer = bytes.to_vec();
    while let Ok(Some(frame)) = cut(&mut buffer) {
        match Answer::decode(frame).and_then(Answer::sasl).and_then(|message| negotiation.take(&message)) {
            Ok(Next::Send(_)) => {}
            Ok(Next::Agreed(_)) | Err(_) => return,
        }
    }
});
