use flume_testkit::parts::headers;

use super::*;

/// Written by OpenTelemetry's own classes.
const PROTOBUF: &[u8] = include_bytes!("../../tests/golden/otlp/logs.pb");
const JSON: &[u8] = include_bytes!("../../tests/golden/otlp/logs.json");

fn shown(events: &[Event]) -> Vec<String> {
    let shown = |event: &Event| format!("{} {}", headers(event), event.body.escape_ascii());
    events.iter().map(shown).collect()
}

const NESTED: &str = r#"{"list":[-7,1.5,true,null,"q\"\n"],"bytes":"AP8=","none":[]}"#;

#[test]
fn both_forms_of_a_request_become_the_same_events() {
    let common = "pod=p2, port=443, scope_name=http, service.name=shop";
    let expected = [
        format!(
            "event_name=fall, n={NESTED}, pod=p3, port=443, scope_name=http, service.name=shop, severity_number=17, \
             severity_text=ERROR, span_id=0001020304050607, timestamp=1700000000123, \
             trace_id=000102030405060708090a0b0c0d0e0f it f\\xc3\\xa4ils"
        ),
        format!(
            "{common}, timestamp=1700000001000 {}",
            NESTED.as_bytes().escape_ascii()
        ),
        format!("{common} \\x00\\xffraw"),
        format!("{common} false"),
        format!("{common} "),
        " bare".to_string(),
    ];
    let events = events_of_protobuf(&Bytes::from_static(PROTOBUF)).unwrap();
    assert_eq!(shown(&events), expected);
    let events = events_of_json(JSON).unwrap();
    assert_eq!(shown(&events), expected);
}

#[test]
fn a_request_that_is_cut_or_is_something_else_is_refused() {
    for end in 1..PROTOBUF.len() {
        // It ends with a resource whose log is the last part.
        let cut = Bytes::from_static(&PROTOBUF[..end]);
        if let Ok(events) = events_of_protobuf(&cut) {
            assert_eq!(events.len(), 5, "cut between two resources");
        }
        assert!(events_of_json(&JSON[..end.min(JSON.len() - 1)]).is_err());
    }
    for broken in [&b"{}"[..], b"\x0b", b"\x08\x01", b"\x0a\x05", b"\xff\xff"] {
        assert!(
            events_of_protobuf(&Bytes::from_static(broken)).is_err(),
            "{broken:?}"
        );
    }
    for broken in [
        "",
        "[]",
        "1",
        r#"{"resourceLogs":[7]}"#,
        r#"{"resourceLogs":{}}"#,
    ] {
        assert!(events_of_json(broken.as_bytes()).is_err(), "{broken}");
    }
    assert_eq!(events_of_json(b"{}"), Ok(vec![]));
    assert_eq!(events_of_protobuf(&Bytes::new()), Ok(vec![]));
}

/// The field with this number that holds these bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn a_value_has_a_limited_depth() {
    let nested = |levels: usize| {
        let value = (0..levels).fold(vec![], |value, _| field(5, &field(1, &value)));
        let record = field(2, &field(5, &value));
        Bytes::from(field(1, &field(2, &record)))
    };
    assert_eq!(events_of_protobuf(&nested(MAX_DEPTH - 1)).unwrap().len(), 1);
    assert_eq!(
        events_of_protobuf(&nested(MAX_DEPTH)),
        Err(OtlpError::TooDeep)
    );
    let nested = |levels: usize| {
        let begin = r#"{"arrayValue":{"values":["#;
        let end = "]}}";
        let value = format!("{}{{}}{}", begin.repeat(levels), end.repeat(levels));
        let record = format!(r#"{{"logRecords":[{{"body":{value}}}]}}"#);
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{record}]}}]}}"#)
    };
    let deepest = nested(MAX_DEPTH - 1);
    assert_eq!(events_of_json(deepest.as_bytes()).unwrap().len(), 1);
    let deeper = nested(MAX_DEPTH);
    assert_eq!(events_of_json(deeper.as_bytes()), Err(OtlpError::TooDeep));
}

/// A small request must take neither much time nor much memory before it is refused.
#[test]
fn parts_without_records_are_limited() {
    let nothing = field(1, &[]);
    let scopes = field(2, &[]).repeat(2000);
    let attributes = field(1, &nothing.repeat(1000));
    let request = field(1, &[attributes, scopes].concat());
    assert_eq!(events_of_protobuf(&request.into()), Err(OtlpError::TooMany));
    let request = field(1, &field(2, &field(2, &field(6, &[]).repeat(1_000_001))));
    assert_eq!(events_of_protobuf(&request.into()), Err(OtlpError::TooMany));
    let attributes = format!("[{}{{}}]", "{},".repeat(1_000_000));
    let record = format!(r#"{{"logRecords":[{{"attributes":{attributes}}}]}}"#);
    let request = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{record}]}}]}}"#);
    assert!(events_of_json(request.as_bytes()).is_err());
}

#[test]
fn what_records_repeat_is_limited() {
    let long = field(1, &"k".repeat(1 << 20).into_bytes());
    let attributes = field(1, &field(1, &long));
    let records = field(2, &[]).repeat(65);
    let request = field(1, &[attributes, field(2, &records)].concat());
    assert_eq!(
        events_of_protobuf(&request.into()),
        Err(OtlpError::TooLarge)
    );
}

/// A small request must not become large events.
#[test]
fn records_times_attributes_are_limited() {
    let attributes = field(1, &field(1, b"k")).repeat(1001);
    let records = field(2, &[]).repeat(1000);
    let request = field(1, &[field(1, &attributes), field(2, &records)].concat());
    assert_eq!(events_of_protobuf(&request.into()), Err(OtlpError::TooMany));
}
