//! Any bytes at all from a DataNode that takes a block: no panic, and nothing is flushed that was not acknowledged.
#![no_main]

use std::time::Duration;

use flume_hadoop::{
    namenode::messages::{DatanodeId, DatanodeInfoHead, LocatedBlock},
    writer::{CallAnswer, Effect, FileMachine, WriteSettings},
    xfer::packet::ChecksumKind,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let settings = WriteSettings {
        block_bytes: 4096,
        packet_data_bytes: 1024,
        bytes_per_checksum: 512,
        checksum: ChecksumKind::Crc32c,
        replication: 3,
        replace_nodes: false,
        patience: Duration::from_secs(30),
    };
    let mut machine = FileMachine::new(settings, Duration::ZERO);
    machine.write(vec![7; 3000].into());
    machine.flush(false);
    let node = |at: u32| {
        let id = DatanodeId { uuid: at.to_string(), ..DatanodeId::default() };
        DatanodeInfoHead { id }.encode_to_vec().into()
    };
    let located = LocatedBlock { locations: (0..3).map(node).collect(), ..LocatedBlock::default() };
    for piece in bytes.chunks(7) {
        while let Some(effect) = machine.next_effect() {
            match effect {
                Effect::Call { op, .. } => {
                    machine.called(op, Ok(CallAnswer::Located(located.clone())));
                }
                Effect::SetUp(request) => {
                    machine.set_up(request.op, Ok(()));
                }
                Effect::Flushed { .. } => assert!(machine.acknowledged() >= 3000),
                _ => {}
            }
        }
        while machine.next_packet().is_some() {}
        machine.received(piece);
    }
});
