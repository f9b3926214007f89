//! Any stream in any pieces through the forward protocol and its handshake: no panic.
#![no_main]

use flume_wire::fluent::{FluentHeaders, FluentStream, Handshake};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, Vec<Vec<u8>>)| {
    let (max_bytes, pieces) = input;
    let headers = FluentHeaders { tag: "tag".into(), time: "timestamp".into() };
    let mut stream = FluentStream::new(max_bytes.into());
    for piece in &pieces {
        stream.feed(piece);
        while let Ok(Some(mut message)) = stream.next_message() {
            while let Ok(Some(event)) = message.next_event(&headers) {
                assert!(event.body.starts_with(b"{"));
            }
        }
    }
    let mut stream = FluentStream::new(max_bytes.into());
    for piece in &pieces {
        stream.feed(piece);
        let _ = Handshake::new("key", "host", [7; 16]).answer(&mut stream);
    }
});
