//! Any request through the decoders of OTLP: no panic, and no more events than bytes.
#![no_main]

use bytes::Bytes;
use flume_wire::otlp::{events_of_json, events_of_protobuf, rpc::GrpcMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: Vec<u8>| {
    let request = Bytes::from(input);
    let message = GrpcMessage::read(&request).map(|message| message.bytes);
    for request in [Some(request.clone()), message.ok()].into_iter().flatten() {
        for events in [events_of_protobuf(&request), events_of_json(&request)].into_iter().flatten() {
            assert!(events.len() <= request.len());
        }
    }
});
