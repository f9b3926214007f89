//! Dialogues of Java Flume, byte for byte (`tests/data/README.md` says how they were captured), and what no Flume sends.

use bytes::{Bytes, BytesMut};
use flume_core::Event;

use super::*;
use crate::Framing;

const COMPACT: &str = include_str!("../../tests/data/thrift-compact.txt");
const BINARY: &str = include_str!("../../tests/data/thrift-binary.txt");

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Requests with their answers, each in its frame.
fn dialogue(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let bytes = |line: &str| unhex(line.split_whitespace().last().unwrap());
    lines
        .chunks(2)
        .map(|pair| (bytes(pair[0]), bytes(pair[1])))
        .collect()
}

fn message(frame: &[u8]) -> Bytes {
    let mut received = BytesMut::from(frame);
    let message = ThriftFrameDecoder::new(1 << 20).decode(&mut received);
    assert!(received.is_empty());
    message.unwrap().expect("a whole frame")
}

fn event(headers: &[(&'static str, &'static str)], body: &'static str) -> Event {
    let pairs = headers.iter();
    Event {
        headers: pairs
            .map(|&(name, value)| (name.into(), value.into()))
            .collect(),
        body: body.into(),
    }
}

#[test]
fn a_java_client_is_understood_and_answered_as_java_does() {
    let expected = [
        (false, vec![event(&[("k", "v")], "hello")]),
        (false, vec![event(&[], "second")]),
        (true, vec![event(&[("k", "v")], "b1"), event(&[], "b2")]),
        (true, vec![event(&[], "b3")]),
    ];
    for (protocol, text) in [
        (ThriftProtocol::Compact, COMPACT),
        (ThriftProtocol::Binary, BINARY),
    ] {
        for (place, (request, answer)) in dialogue(text).into_iter().enumerate() {
            let call = read_call(protocol, message(&request)).unwrap();
            let (is_batch, events) = &expected[place];
            assert_eq!((call.is_batch, &call.events), (*is_batch, events));
            let mut out = vec![];
            write_thrift_frame(&mut out, |out| {
                write_status(protocol, &call.head, ThriftStatus::Ok, out);
            });
            assert_eq!(out, answer);
            // And the other way round.
            let sequence = place as i32 + 1;
            let reply = read_reply(protocol, sequence, message(&answer)).unwrap();
            assert_eq!(reply, ThriftReply::Status(ThriftStatus::Ok));
            let mut out = vec![];
            write_thrift_frame(&mut out, |out| {
                if *is_batch {
                    write_append_batch(protocol, sequence, events, out)
                } else {
                    write_append(protocol, sequence, &events[0], out)
                }
            });
            assert_eq!(out, request);
        }
    }
}

#[test]
fn many_events_and_headers_come_back() {
    let headers: Vec<_> = (0..40)
        .map(|n| (format!("name {n:02}").into(), "v".repeat(200).into()))
        .collect();
    let full = Event {
        headers: headers.into_iter().collect(),
        body: vec![0xff; 70_000].into(),
    };
    let events = vec![full; 33];
    for protocol in [ThriftProtocol::Compact, ThriftProtocol::Binary] {
        let mut out = vec![];
        write_append_batch(protocol, -5, &events, &mut out);
        let call = read_call(protocol, out.into()).unwrap();
        assert_eq!(call.head.sequence, -5);
        assert_eq!(call.events, events);
    }
}

#[test]
fn every_cut_is_an_error() {
    for protocol in [ThriftProtocol::Compact, ThriftProtocol::Binary] {
        let mut out = vec![];
        write_append_batch(protocol, 1, &[event(&[("a", "b")], "c")], &mut out);
        for end in 0..out.len() {
            let cut = Bytes::copy_from_slice(&out[..end]);
            let (_, error) = read_call(protocol, cut).unwrap_err();
            assert_eq!(error, ThriftError::Truncated, "{protocol:?} {end}");
        }
    }
}

#[test]
fn exceptions_are_read_as_they_are_written() {
    for protocol in [ThriftProtocol::Compact, ThriftProtocol::Binary] {
        let mut out = vec![];
        let mut writer = ThriftWriter::new(protocol, &mut out);
        writer.message("nosuch", MessageType::Call, 3);
        writer.begin_struct();
        writer.end_struct();
        let (head, error) = read_call(protocol, out.into()).unwrap_err();
        let text = error.to_string();
        let mut out = vec![];
        let failure = ApplicationFailure::UnknownMethod;
        write_exception(protocol, &head.unwrap(), failure, &text, &mut out);
        let reply = read_reply(protocol, 3, out.into()).unwrap();
        assert_eq!(reply, ThriftReply::Exception(text));
    }
}

#[test]
fn unknown_fields_of_all_types_are_skipped() {
    // An event with more: a struct with a bool, a double and a set; a map of lists; bytes, small and large numbers.
    let compact = [
        0x82, 0x21, 1, 6, b'a', b'p', b'p', b'e', b'n', b'd', 0x1c, // append(event
        0x1b, 0, // headers
        0x18, 1, b'x', // body
        0x1c, 0x11, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x23, 5, 6, 0, // struct
        0x1b, 1, 0x49, 7, 0x18, 1, b'y', // map of lists
        0x14, 2, 0x15, 3, 0x16, 4, 0x12, 0x13, 9, // numbers
        0, 0,
    ];
    let call = read_call(ThriftProtocol::Compact, Bytes::copy_from_slice(&compact)).unwrap();
    assert_eq!(call.events, [Event::from("x")]);
}

#[test]
fn what_cannot_be_is_refused() {
    let compact = |bytes: &'static [u8]| {
        read_call(ThriftProtocol::Compact, Bytes::from_static(bytes))
            .unwrap_err()
            .1
    };
    let binary = |bytes: &'static [u8]| {
        read_call(ThriftProtocol::Binary, Bytes::from_static(bytes))
            .unwrap_err()
            .1
    };
    assert!(matches!(
        compact(b"\x80\x01\0\x01"),
        ThriftError::NoMessage(0x80, _)
    ));
    assert!(matches!(
        binary(b"\x82\x21\x01\x06append"),
        ThriftError::NoMessage(0x82, _)
    ));
    // A name of 2 GiB.
    assert_eq!(binary(b"\x7f\xff\xff\xff"), ThriftError::Truncated);
    // A list of very many.
    assert_eq!(
        compact(b"\x82\x21\x01\x0bappendBatch\x19\xfc\xff\xff\xff\xff\x0f"),
        ThriftError::Truncated
    );
    // No body.
    assert_eq!(
        compact(b"\x82\x21\x01\x06append\x1c\x1b\x00\x00\x00"),
        ThriftError::Missing("body")
    );
    // Lists of lists of lists, and structs in structs.
    let mut deep = b"\x82\x21\x01\x06append\x29".to_vec();
    deep.extend([0x19; 500]);
    let (_, error) = read_call(ThriftProtocol::Compact, deep.into()).unwrap_err();
    assert_eq!(error, ThriftError::TooDeep);
}

#[test]
fn frames_are_cut_however_they_arrive() {
    let mut bytes = vec![];
    for content in [&b"one"[..], b"", b"three"] {
        write_thrift_frame(&mut bytes, |out| out.extend_from_slice(content));
    }
    for piece in 1..=bytes.len() {
        let mut decoder = ThriftFrameDecoder::new(100);
        let mut received = BytesMut::new();
        let mut frames = vec![];
        for piece in bytes.chunks(piece) {
            received.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut received).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, ["one", "", "three"]);
        assert!(decoder.known_bytes() == 0 && received.is_empty());
    }
    let refused = |length: i32| {
        let mut received = BytesMut::from(&length.to_be_bytes()[..]);
        ThriftFrameDecoder::new(100)
            .decode(&mut received)
            .unwrap_err()
    };
    assert_eq!(refused(-1), ThriftFrameError::Negative(-1));
    let too_large = ThriftFrameError::TooLarge {
        bytes: i32::MAX as usize,
        limit: 100,
    };
    assert_eq!(refused(i32::MAX), too_large);
}

#[test]
fn scribe_is_read_with_and_without_version_and_answered_without() {
    let without = "00000036000000034c6f6701000000050f00010c000000020b0001000000036361740b0002000000056d7367310a000b0002000000026d320000";
    let with = "0000003980010001000000034c6f67000000050f00010c000000020b0001000000036361740b0002000000056d7367310a000b0002000000026d320000";
    for request in [without, with] {
        let call = read_scribe_call(message(&unhex(request))).unwrap();
        let expected = vec![event(&[("category", "cat")], "msg1\n"), event(&[], "m2")];
        assert_eq!(call.events, Some(expected));
        let mut out = vec![];
        write_thrift_frame(&mut out, |out| {
            write_scribe_result(&call.head, ScribeResult::Ok, out);
        });
        assert_eq!(
            out,
            unhex("00000014000000034c6f6702000000050800000000000000")
        );
    }
}

#[test]
fn flume_0_9_comes_without_frames() {
    let mut received = unhex(
        "8001000400000006617070656e64000000010c00010a00010000011f71fb04cb080002000000030b000300000004626f64790a000400000000000000630b0005000000066d79686f73740d00060b0b00000001000000016b00000001760000",
    );
    let append_bytes = received.len();
    received.extend(unhex("8001000100000005636c6f73650000000200"));
    let received = Bytes::from(received);
    for end in 0..append_bytes {
        let cut = read_legacy_call(&received.slice(..end));
        assert_eq!(cut, Err(ThriftError::Truncated), "{end}");
    }
    let (call, bytes) = read_legacy_call(&received).unwrap();
    let headers = [
        ("host", "myhost"),
        ("timestamp", "1234567890123"),
        ("pri", "INFO"),
        ("nanos", "99"),
        ("k", "v"),
        ("FlumeOG", "yes"),
    ];
    assert_eq!(call, LegacyCall::Append(event(&headers, "body")));
    assert_eq!(bytes, append_bytes);
    let (call, _) = read_legacy_call(&received.slice(bytes..)).unwrap();
    let LegacyCall::Close(head) = call else {
        panic!("{call:?}");
    };
    let mut out = vec![];
    write_closed(&head, &mut out);
    assert_eq!(out, unhex("8001000200000005636c6f73650000000200"));
}

/// A call `append` with an event of 200 KiB, and fields that nobody knows before and in it.
fn large_legacy_call() -> Vec<u8> {
    let mut call = unhex("8001000400000006617070656e6400000001");
    // A list of structs, a map in a map, and a set of bools.
    call.extend(unhex("0f00070c00000002060001ffff0000"));
    call.extend(unhex(
        "0d00080b0d000000010000000178080a00000001000000010000000000000002",
    ));
    call.extend(unhex("0e0009020000000301000102000a01"));
    call.extend(unhex("0c0001"));
    call.extend(unhex("0d00060b0b00002710"));
    for n in 0..10_000u32 {
        call.extend(unhex("00000004"));
        call.extend(n.to_be_bytes().map(|byte| byte & 0x7f));
        call.extend(unhex("0000000176"));
    }
    call.extend(unhex("0b000300000004626f6479"));
    call.extend(unhex("0000"));
    call
}

#[test]
fn a_message_without_frame_is_found_in_whatever_pieces_it_comes() {
    let call = large_legacy_call();
    let close = unhex("8001000100000005636c6f73650000000200");
    let old_style = unhex("00000005636c6f7365010000000200");
    let stream = [&call[..], &close, &call, &old_style].concat();
    let (expected, bytes) = read_legacy_call(&Bytes::from(call.clone())).unwrap();
    assert_eq!(bytes, call.len());
    for piece in [1, 7, 4096, stream.len()] {
        let mut framing = LegacyFraming::default();
        let mut received = BytesMut::new();
        let mut calls = vec![];
        for piece in stream.chunks(piece) {
            received.extend_from_slice(piece);
            while let Some(call) = framing.decode(&mut received).unwrap() {
                calls.push(call);
            }
        }
        assert!(received.is_empty() && framing.known_bytes() == 0);
        assert_eq!(calls.len(), 4, "{piece}");
        assert!(calls[0] == expected && calls[2] == expected);
        assert!(matches!(&calls[3], LegacyCall::Close(head) if head.sequence == 2));
    }
}

#[test]
fn claims_of_a_message_without_frame_are_refused_or_cost_nothing() {
    let refused = |text: &str| {
        let mut received = BytesMut::from(&unhex(text)[..]);
        LegacyFraming::default().decode(&mut received).unwrap_err()
    };
    let head = "8001000400000006617070656e6400000001";
    // A string of 2 GiB, and one of less than nothing.
    assert!(matches!(
        refused(&format!("{head}0b00017fffffff")),
        ThriftError::Service(_)
    ));
    assert!(matches!(
        refused(&format!("{head}0b0001ffffffff")),
        ThriftError::NegativeLength(-1)
    ));
    // Another protocol.
    assert!(matches!(
        refused("160301007a"),
        ThriftError::NoMessage(0x16, _)
    ));
    assert!(matches!(
        refused("474554202f"),
        ThriftError::NoMessage(b'G', _)
    ));
    // A struct in a struct in a struct.
    let deep = format!("{head}{}", "0c0001".repeat(100));
    assert!(matches!(refused(&deep), ThriftError::TooDeep));
    // A list of two billion numbers waits for them.
    let mut received = BytesMut::from(&unhex(&format!("{head}0f00010a7fffffff"))[..]);
    let mut framing = LegacyFraming::default();
    assert_eq!(framing.decode(&mut received), Ok(None));
    assert!(framing.known_bytes() < 100);
}
