//! Any bytes in any pieces: frames, calls, answers and requests of Flume 0.9, or an error. The frames do not depend on
//! the pieces, and events that were understood are understood again when they are written.
#![no_main]

use bytes::{Bytes, BytesMut};
use flume_wire::{
    Framing,
    avro::{
        DatumReader,
        ipc::{
            CallOutcome, ClientProtocols, FrameDecoder, FrameError, IpcFrame, RemoteCall,
            Requestor, Responder, read_legacy_request,
        },
        write_events,
    },
};
use libfuzzer_sys::fuzz_target;

const MAX_FRAME_BYTES: usize = 1 << 20;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = frames(bytes, bytes.len().max(1));
    assert_eq!(whole, frames(bytes, usize::from(piece).max(1)));
    let clients = ClientProtocols::default();
    let mut responder = Responder::default();
    let mut requestor = Requestor::default();
    for frame in whole.0 {
        let _ = requestor.receive(frame.message.clone());
        let Ok((call, head)) = responder.receive(frame.message, &clients) else {
            break;
        };
        head.write(frame.serial, CallOutcome::SystemError("no"), &mut vec![]);
        let events = match call {
            RemoteCall::Append(event) => vec![event],
            RemoteCall::AppendBatch(events) => events,
            RemoteCall::Nothing | RemoteCall::Impossible(_) => continue,
        };
        let mut out = vec![];
        write_events(&events, &mut out);
        assert_eq!(DatumReader::new(out.into()).events(), Ok(events));
    }
    let _ = Responder::default().receive(Bytes::copy_from_slice(bytes), &clients);
    let _ = read_legacy_request(bytes);
});

fn frames(bytes: &[u8], piece: usize) -> (Vec<IpcFrame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(MAX_FRAME_BYTES);
    let mut received = BytesMut::new();
    let mut frames = vec![];
    for piece in bytes.chunks(piece) {
        received.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut received) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                // How much of a frame that is too large was seen depends on the pieces.
                Err(FrameError::TooLarge { limit, .. }) => {
                    return (frames, Some(FrameError::TooLarge { bytes: 0, limit }));
                }
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
