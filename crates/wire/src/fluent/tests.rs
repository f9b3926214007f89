use super::*;

fn headers() -> FluentHeaders {
    FluentHeaders {
        tag: "tag".into(),
        time: "time".into(),
    }
}

/// Events as `tag time body`, and the chunk of the last message; byte by byte.
fn read(bytes: &[u8]) -> Result<(Vec<String>, Option<Vec<u8>>), FluentError> {
    let mut stream = FluentStream::new(1 << 20);
    let mut seen = vec![];
    let mut chunk = None;
    for piece in bytes.chunks(1) {
        stream.feed(piece);
        while let Some(mut message) = stream.next_message()? {
            chunk = message.chunk.clone();
            while let Some(event) = message.next_event(&headers())? {
                let header = |name| event.headers.get(name).unwrap().to_string();
                let body = String::from_utf8(event.body.to_vec()).unwrap();
                seen.push(format!("{} {} {body}", header("tag"), header("time")));
            }
        }
    }
    assert_eq!(stream.held_bytes(), 0);
    Ok((seen, chunk))
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xa0 | text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// `{"k": n}`
fn record(n: u8) -> Vec<u8> {
    [vec![0x81], text("k"), vec![n]].concat()
}

fn entry(time: &[u8], n: u8) -> Vec<u8> {
    [vec![0x92], time.to_vec(), record(n)].concat()
}

const EVENT_TIME: [u8; 10] = [0xd7, 0, 0, 0, 0, 2, 0x1d, 0xcd, 0x65, 0];

fn chunk(more: &[u8], count: u8) -> Vec<u8> {
    [vec![0x80 | count], text("chunk"), text("c1"), more.to_vec()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn bin(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc5];
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

#[test]
fn every_mode() {
    let tag = text("app.x");
    let entries = [entry(&[7], 1), entry(&EVENT_TIME, 2)].concat();
    let two = ["app.x 7000 {\"k\":1}", "app.x 2500 {\"k\":2}"];
    let single = [&[0x93][..], &tag, &EVENT_TIME, &record(2)].concat();
    assert_eq!(read(&single).unwrap(), (vec![two[1].into()], None));
    let single = [&[0x94][..], &tag, &[7], &record(1), &chunk(&[], 1)].concat();
    let asked = Some(b"c1".to_vec());
    assert_eq!(read(&single).unwrap(), (vec![two[0].into()], asked.clone()));
    let forward = [&[0xc0, 0x92][..], &tag, &[0x92], &entries].concat();
    assert_eq!(
        read(&forward).unwrap(),
        (two.map(String::from).to_vec(), None)
    );
    let packed = [&[0x93][..], &tag, &bin(&entries), &chunk(&[], 1)].concat();
    assert_eq!(
        read(&packed).unwrap(),
        (two.map(String::from).to_vec(), asked.clone())
    );
    let members = [gzip(&entry(&[7], 1)), gzip(&entry(&EVENT_TIME, 2))].concat();
    let zstd = zstd::stream::encode_all(&entries[..], 1).unwrap();
    for (name, bytes) in [("gzip", members), ("zstd", zstd)] {
        let compressed = [text("compressed"), text(name)].concat();
        let options = chunk(&compressed, 2);
        let packed = [&[0x93][..], &tag, &bin(&bytes), &options].concat();
        assert_eq!(
            read(&packed).unwrap(),
            (two.map(String::from).to_vec(), asked.clone())
        );
    }
    let with_metadata = [&[0x92, 7, 0x81][..], &text("a"), &[1]].concat();
    let forward = [&[0x92][..], &tag, &[0x91], &entry(&with_metadata, 1)].concat();
    assert_eq!(read(&forward).unwrap().0, [two[0]]);
    assert_eq!(
        read(&[&[0x92][..], &tag, &[0x90]].concat())
            .unwrap()
            .0
            .len(),
        0
    );
}

#[test]
fn values_as_json() {
    let check = |bytes: &[u8], expected: &str| {
        let mut out = vec![];
        let end = Scanner::default()
            .find_end(bytes, 1 << 20)
            .unwrap()
            .unwrap();
        assert_eq!(end, bytes.len());
        MsgpackReader(bytes).json(&mut out, 1 << 20).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    check(&[0xc0], "null");
    check(&[0x92, 0xc2, 0xc3], "[false,true]");
    check(&[0xe0], "-32");
    check(&[0xd0, 0x80], "-128");
    check(&[0xd1, 0x80, 0], "-32768");
    check(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808");
    check(&[0xcc, 200], "200");
    check(&[0xcd, 1, 0], "256");
    check(&[0xce, 0xff, 0xff, 0xff, 0xff], "4294967295");
    check(
        &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        "18446744073709551615",
    );
    check(&[0xca, 0x3f, 0xc0, 0, 0], "1.5");
    check(
        &[0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
        "0.1",
    );
    check(&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], "null");
    check(&[0xd9, 3, b'a', b'"', 0xff], "\"a\\\"\u{fffd}\"");
    check(&[0xde, 0, 1, 7, 0xdc, 0, 1, 1], "{\"7\":[1]}");
    check(&[0xd4, 5, 0xab], "\"ab\"");
    check(&[0xc7, 2, 5, 0xab, 1], "\"ab01\"");
}

#[test]
fn what_is_not_the_protocol_is_refused() {
    let deep = [&[0x92][..], &text("t"), &[0x91; 100]].concat();
    let bomb = gzip(&entry(&[7], 1).repeat(300_000));
    let compressed = [&[0x81][..], &text("compressed"), &text("gzip")].concat();
    let bomb = [&[0x93][..], &text("t"), &bin(&bomb), &compressed].concat();
    let unknown = [&[0x81][..], &text("compressed"), &text("lzma")].concat();
    let unknown = [&[0x93][..], &text("t"), &bin(&[]), &unknown].concat();
    let key = [&[0x93][..], &text("t"), &[7, 0x81, 0x80, 1]].concat();
    for (bytes, expected) in [
        (&b"GET / HTTP"[..], "array of two"),
        (&[0xc1], "begins no value"),
        (&deep, "nested"),
        (&bomb, "more than 1048576"),
        (&unknown, "`lzma`"),
        (&key, "key of a map"),
        (&[0x92, 0xdb, 0xff, 0xff, 0xff, 0xff], "more than 1048576"),
        (
            &[&[0x93][..], &text("t"), &[7, 8]].concat(),
            "a record is a map",
        ),
        (
            &[&[0x93][..], &text("t"), &[0xc0], &record(1)].concat(),
            "a time",
        ),
        (
            &[&[0x92][..], &text("t"), &bin(&[0x92, 7])].concat(),
            "ends too early",
        ),
        (
            &[&[0x92][..], &text("t"), &[0x91, 7]].concat(),
            "an entry is",
        ),
    ] {
        let error = read(bytes).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn of_a_broken_message_nothing_is_stored() {
    let entries = entry(&[7], 1).repeat(10_000);
    let broken = [&entries[..], &[0x92, 7]].concat();
    let cut = gzip(&entries);
    let cut = &cut[..cut.len() / 2];
    let option = [&[0x81][..], &text("compressed"), &text("gzip")].concat();
    let counted = [&[0xdd, 0, 0, 0x27, 0x11][..], &entries, &[7]].concat();
    for message in [
        [&[0x93][..], &text("t"), &bin(&gzip(&broken)), &option].concat(),
        [&[0x93][..], &text("t"), &bin(cut), &option].concat(),
        [&[0x92][..], &text("t"), &bin(&broken)].concat(),
        [&[0x92][..], &text("t"), &counted].concat(),
    ] {
        let mut stream = FluentStream::new(1 << 20);
        stream.feed(&message);
        assert!(
            stream.next_message().is_err(),
            "refused before its events are read"
        );
    }
}

/// What a message holds stays small, however much it expands to.
#[test]
fn compressed_entries_are_read_piece_by_piece() {
    let entries = entry(&[7], 1).repeat(100_000);
    let zstd = zstd::stream::encode_all(&entries[..], 1).unwrap();
    for (name, bytes) in [("gzip", gzip(&entries)), ("zstd", zstd)] {
        let options = [&[0x81][..], &text("compressed"), &text(name)].concat();
        let packed = [&[0x93][..], &text("t"), &bin(&bytes), &options].concat();
        let mut stream = FluentStream::new(1 << 20);
        stream.feed(&packed);
        let mut message = stream.next_message().unwrap().unwrap();
        let mut events = 0;
        while message.next_event(&headers()).unwrap().is_some() {
            events += 1;
            assert!(message.held_bytes() < bytes.len() + (130 << 10));
        }
        assert_eq!((events, message.held_bytes()), (100_000, 0), "{name}");
    }
}

#[test]
fn what_all_connections_hold_is_bounded() {
    let mut one = unpack::Share::default();
    assert_eq!(
        one.set(unpack::MAX_EXPANDED_BYTES + 1),
        Err(FluentError::Memory)
    );
    one.set(1 << 20).unwrap();
    let mut other = unpack::Share::default();
    let all = other.set(unpack::MAX_EXPANDED_BYTES);
    assert_eq!(all, Err(FluentError::Memory));
}

#[test]
fn a_record_that_grows_as_json_is_refused() {
    let nulls = [&[0x81][..], &text("k"), &[0xdb, 0, 4, 0, 0], &[0; 4 << 16]].concat();
    let message = [&[0x93][..], &text("t"), &[7], &nulls].concat();
    assert!(matches!(read(&message), Err(FluentError::TooLarge(_))));
}
