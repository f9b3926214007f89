//! Frames of a process that runs components: anything at all, of any kind.
#![no_main]

use bytes::Bytes;
use flume_bridge::frame::HostFrame;
use flume_core::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(frame) = HostFrame::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    let batch = [Event::from("one"), Event::from("two")];
    let _ = frame.clone().events();
    let _ = frame.clone().intercepted(&batch);
    let _ = frame.clone().serialized(batch.len());
    let _ = frame.clone().pairs();
    let _ = frame.clone().texts();
    let _ = frame.clone().readings();
    let mut values = frame;
    while values.number().is_ok() && values.flag().is_ok() && values.text().is_ok() {}
});
