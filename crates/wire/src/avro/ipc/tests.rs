//! Dialogues of Java Flume, byte for byte (`tests/data/README.md` says how they were captured), and what no Flume sends.

use bytes::{Bytes, BytesMut};
use flume_core::Event;
use md5::{Digest, Md5};

use super::*;
use crate::Framing;

const CLIENT: &str = include_str!("../../../tests/data/avro-rpc.txt");

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Lines `C>S hex` and `S>C hex` in turn: requests with their answers.
fn dialogue() -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines: Vec<_> = CLIENT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let bytes = |line: &str| unhex(line.split_whitespace().last().unwrap());
    lines
        .chunks(2)
        .map(|pair| (bytes(pair[0]), bytes(pair[1])))
        .collect()
}

fn frame(bytes: &[u8]) -> IpcFrame {
    let mut received = BytesMut::from(bytes);
    let frame = FrameDecoder::new(1 << 20).decode(&mut received).unwrap();
    assert!(received.is_empty());
    frame.expect("a whole frame")
}

fn message(bytes: &[u8]) -> Bytes {
    frame(bytes).message
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

/// What the client of the dialogue sent.
fn calls() -> Vec<RemoteCall> {
    let batch = vec![event(&[("k", "v")], "b1"), event(&[], "b2")];
    vec![
        RemoteCall::Append(event(&[("k", "v")], "hello")),
        RemoteCall::Append(event(&[], "second")),
        RemoteCall::AppendBatch(batch),
        RemoteCall::AppendBatch(vec![event(&[], "b3")]),
    ]
}

#[test]
fn the_protocol_has_the_md5_that_is_said() {
    assert_eq!(Md5::digest(PROTOCOL)[..], PROTOCOL_MD5);
}

#[test]
fn a_java_client_is_understood_and_answered_as_java_does() {
    let mut responder = Responder::default();
    let clients = ClientProtocols::default();
    for ((request, answer), expected) in dialogue().iter().zip(calls()) {
        let request = frame(request);
        let (call, head) = responder.receive(request.message, &clients).unwrap();
        assert_eq!(call, expected);
        let mut out = vec![];
        let outcome = CallOutcome::Status(AppendStatus::Ok);
        head.write(request.serial, outcome, &mut out);
        assert_eq!(frame(&out), frame(answer));
    }
}

#[test]
fn a_java_server_would_see_what_a_java_client_sends() {
    let mut requestor = Requestor::default();
    for ((request, answer), call) in dialogue().iter().zip(calls()) {
        let mut out = vec![];
        let serial = match &call {
            RemoteCall::Append(event) => requestor.append(event, &mut out),
            RemoteCall::AppendBatch(events) => requestor.append_batch(events, &mut out),
            other => panic!("{other:?}"),
        };
        assert_eq!(frame(&out), frame(request));
        let answer = frame(answer);
        assert_eq!(answer.serial, serial);
        let reply = requestor.receive(answer.message).unwrap();
        assert_eq!(reply, CallReply::Status(AppendStatus::Ok));
        assert!(requestor.is_established());
    }
}

/// A request of a client with another protocol, with its text or without.
fn strange_request(text: Option<&str>, server_md5: [u8; 16]) -> Bytes {
    let mut out = vec![];
    let request = handshake::HandshakeRequest {
        client_md5: [7; 16],
        client_protocol: text.map(Into::into),
        server_md5,
    };
    request.write(&mut out);
    out.push(0);
    crate::avro::write_bytes(b"append", &mut out);
    crate::avro::write_event(&Event::from("x"), &mut out);
    out.into()
}

fn answered(head: &AnswerHead, outcome: CallOutcome<'_>) -> Bytes {
    let mut out = vec![];
    head.write(1, outcome, &mut out);
    message(&out)
}

#[test]
fn a_strange_client_sends_its_protocol_once() {
    let clients = ClientProtocols::default();
    let mut responder = Responder::default();
    let (call, head) = responder
        .receive(strange_request(None, PROTOCOL_MD5), &clients)
        .unwrap();
    assert_eq!(call, RemoteCall::Nothing);
    let answer = answered(&head, CallOutcome::Status(AppendStatus::Ok));
    assert_eq!(answer[0], 4, "NONE");
    assert!(answer.ends_with(&[0]) && answer.len() > PROTOCOL.len());
    let (call, head) = responder
        .receive(strange_request(Some(PROTOCOL), PROTOCOL_MD5), &clients)
        .unwrap();
    assert_eq!(call, RemoteCall::Append(Event::from("x")));
    assert_eq!(
        answered(&head, CallOutcome::Status(AppendStatus::Failed))[..],
        [0, 0, 0, 0, 0, 0, 2]
    );
    // On its next connection the client is known; it is wrong about the server.
    let (call, head) = Responder::default()
        .receive(strange_request(None, [9; 16]), &clients)
        .unwrap();
    assert_eq!(call, RemoteCall::Append(Event::from("x")));
    assert_eq!(
        answered(&head, CallOutcome::Status(AppendStatus::Ok))[0],
        2,
        "CLIENT"
    );
}

#[test]
fn a_client_with_other_events_is_told_so() {
    let other = PROTOCOL.replace(
        r#"{"name":"body","type":"bytes"}"#,
        r#"{"name":"text","type":"string"}"#,
    );
    let mut responder = Responder::default();
    let request = strange_request(Some(&other), PROTOCOL_MD5);
    let (call, head) = responder
        .receive(request, &ClientProtocols::default())
        .unwrap();
    let RemoteCall::Impossible(reason) = &call else {
        panic!("{call:?}");
    };
    assert!(reason.contains("headers and body"), "{reason}");
    let answer = answered(&head, CallOutcome::SystemError(reason));
    let mut requestor = Requestor::default();
    assert_eq!(
        requestor.receive(answer).unwrap(),
        CallReply::SystemError(reason.clone())
    );
}

#[test]
fn avro_java_strings_in_a_protocol_are_strings() {
    let java = PROTOCOL.replace(
        r#""values":"string""#,
        r#""values":{"type":"string","avro.java.string":"String"}"#,
    );
    let (call, _) = Responder::default()
        .receive(
            strange_request(Some(&java), PROTOCOL_MD5),
            &ClientProtocols::default(),
        )
        .unwrap();
    assert_eq!(call, RemoteCall::Append(Event::from("x")));
}

#[test]
fn a_server_that_does_not_know_flumes_protocol_gets_the_text() {
    let mut requestor = Requestor::default();
    let mut none = vec![];
    handshake::HandshakeResponse::write(
        handshake::HandshakeMatch::None,
        Some(("{}", [5; 16])),
        &mut none,
    );
    let reply = requestor.receive(none.clone().into()).unwrap();
    assert_eq!(reply, CallReply::CallAgain);
    let mut out = vec![];
    assert_eq!(requestor.append(&Event::from("x"), &mut out), 1);
    let request = message(&out);
    assert!(request.starts_with(&PROTOCOL_MD5));
    let text = PROTOCOL.as_bytes();
    assert!(request.windows(text.len()).any(|window| window == text));
    assert!(requestor.receive(none.into()).is_err());
}

#[test]
fn what_is_malformed_or_unknown_is_a_system_error_and_a_ping_is_answered() {
    let mut responder = Responder::default();
    let clients = ClientProtocols::default();
    let (first, _) = &dialogue()[0];
    responder.receive(message(first), &clients).unwrap();
    let mut receive = |bytes: &'static [u8]| {
        let call = responder.receive(Bytes::from_static(bytes), &clients);
        call.unwrap().0
    };
    let impossible = |call| matches!(call, RemoteCall::Impossible(_));
    assert!(impossible(receive(b"\x00\x0cnosuch")));
    assert!(impossible(receive(b"\x00\x0cappend\x01")));
    assert!(impossible(receive(b"")));
    assert_eq!(receive(b"\x00\x00"), RemoteCall::Nothing);
    assert_eq!(
        receive(b"\x00\x16appendBatch\x00"),
        RemoteCall::AppendBatch(vec![])
    );
    assert!(
        Responder::default()
            .receive(Bytes::from_static(b"GET"), &clients)
            .is_err()
    );
}

#[test]
fn flume_0_9_over_http() {
    let request = unhex(
        "0000004684f26a5a74af5726d8bc68105669c9960084f26a5a74af5726d8bc68105669c9960200000c617070656e649693d89fee470608626f6479c6010c6d79686f737402026b02760000000000",
    );
    let event = read_legacy_request(&request).unwrap();
    assert_eq!(event.body, "body");
    let headers: Vec<_> = (event.headers.iter())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let expected = [
        "FlumeOG=yes",
        "host=myhost",
        "k=v",
        "nanos=99",
        "pri=INFO",
        "timestamp=1234567890123",
    ];
    assert_eq!(headers, expected);
    let mut answer = vec![];
    write_legacy_answer(None, &mut answer);
    assert_eq!(
        answer,
        unhex("00000004000000000000000100000000010000000000")
    );
}
