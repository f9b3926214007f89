use flume_testkit::parts::headers;

use super::*;

/// Headers and body of each event, as `a=b:text`.
fn read(text: &str) -> Result<String, JsonError> {
    let events = events(text, JsonCharset::Utf8)?;
    let shown = |event: &Event| {
        let body = String::from_utf8_lossy(&event.body);
        format!("{}:{body}", headers(event))
    };
    Ok(events.iter().map(shown).collect::<Vec<_>>().join(" "))
}

fn check(text: &str, expected: &str) {
    assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
}

fn check_syntax(text: &str, expected: &str) {
    match read(text) {
        Err(JsonError::Syntax(found)) => assert!(found.contains(expected), "{text}: {found}"),
        other => panic!("{text}: {other:?}"),
    }
}

fn check_unreadable(text: &str) {
    let found = read(text);
    assert!(
        matches!(found, Err(JsonError::Unreadable(_))),
        "{text}: {found:?}"
    );
}

#[test]
fn every_form_that_java_accepts() {
    check("[]", "");
    check(" [ ] \r\n\t", "");
    check("\u{feff}[{}]", ":");
    check(")]}'\n[{}]", ":");
    check(r#"[{"headers":{"a":"b"},"body":"hello"}]"#, "a=b:hello");
    check(r#"[{"body":"x"},{"headers":{"q":"w"}}]"#, ":x q=w:");
    check(
        r#"[{"headers":{"b":TRUE,"n":1,"z":null},"body":12.50}]"#,
        "b=true, n=1:12.50",
    );
    check(
        r#"[{"headers":[["k","v"],[null,"w"]],"body":null}]"#,
        "k=v:",
    );
    check(r#"[{"x":{"y":[1,{"z":"}"}]},"body":"x","body":"y"}]"#, ":y");
    check("[{'headers':{a:b},'body':'sq'}]", "a=b:sq");
    check(
        "[{body=>b;headers={}} /* c */ # d\n ; // e\n {body:-0}]",
        ":b :-0",
    );
    check(
        r#"[{"body":"\u0000\ud83d\ude00\ud83d\n\/\"\\"}]"#,
        ":\0\u{1f600}?\n/\"\\",
    );
    check(r#"[{"headers":{"a":null,"a":"x"}}]"#, "a=x:");
    // The same headers again, and others that begin alike.
    let headers = r#"{"headers":{"a":"b"},"body":"1"}"#;
    let other = r#"{"headers":{"a":"bc"},"body":"2"}"#;
    check(
        &format!("[{headers},{headers},{other}]"),
        "a=b:1 a=b:1 a=bc:2",
    );
}

#[test]
fn what_java_blames_the_sender_for() {
    check_syntax("{}", "array of events");
    check_syntax("[{]", "line 1, byte 3: expected a name");
    check_syntax("[{}\n x]", "line 2, byte 2");
    check_syntax("[{}] x", "behind the array");
    check_syntax("[{}] // c", "behind the array");
    check_syntax("[", "ends too early");
    check_syntax("[{\"body\":\"x", "no end");
    check_syntax("[/* ", "comment");
    check_syntax(r#"[{"body":{}}]"#, "must be a string");
    check_syntax(r#"[{"headers":{"a":[]}}]"#, "must be a string");
    check_syntax(r#"[{"headers":{"a":"1","a":"2"}}]"#, "twice");
    check_syntax(r#"[{"headers":"a"}]"#, "must be an object");
    check_syntax(r#"[{"headers":[["a","b","c"]]}]"#, "nothing else");
    check_syntax(r#"["a"]"#, "object");
    check_syntax(r#"[{"body":"\x"}]"#, "escape");
    check_syntax(r#"[{"body":"\u12"#, "escape");
    let deep = "[".repeat(100_000);
    check_syntax(&format!(r#"[{{"x":{deep}"#), "ends too early");
}

#[test]
fn what_java_fails_over() {
    for text in [
        "",
        "  ",
        "// c",
        "null",
        "[{},]",
        "[null]",
        "[,]",
        r#"[{"body":"\uzzzz"}]"#,
    ] {
        check_unreadable(text);
    }
}

#[test]
fn bodies_are_written_in_the_charset_of_the_request() {
    let check = |text: &str, charset, body: &[u8]| {
        let events = events(&format!(r#"[{{"body":"{text}"}}]"#), charset).expect("events");
        assert_eq!(events[0].body, body, "{text}");
    };
    check("h\u{e9}", JsonCharset::Utf8, "h\u{e9}".as_bytes());
    check(
        "h\u{e9}",
        JsonCharset::Utf16,
        &[0xFE, 0xFF, 0, b'h', 0, 0xE9],
    );
    check("", JsonCharset::Utf16, &[]);
    check("h", JsonCharset::Utf32, &[0, 0, 0, b'h']);
    check(r"\ud800", JsonCharset::Utf8, b"?");
    check(r"\ud800", JsonCharset::Utf16, &[0xFE, 0xFF, 0xFF, 0xFD]);
}

#[test]
fn a_line_is_an_event_and_must_look_like_one() {
    let line = |text| event_of_line(text, JsonCharset::Utf8);
    let event = line(r#"{"headers":{"a":"b"},"body":"x"}"#).expect("an event");
    assert_eq!(
        (
            event.headers.get("a").map(|value| &**value),
            &event.body[..]
        ),
        (Some("b"), &b"x"[..])
    );
    for text in [
        "",
        "[]",
        "x",
        r#"{"message":"x"}"#,
        r#"{"body":"x"} {"body":"y"}"#,
    ] {
        assert!(matches!(line(text), Err(JsonError::Syntax(_))), "{text}");
    }
}
