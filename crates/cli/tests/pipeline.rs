//! `flume-ng test`: the examples pass and notice each change of their configuration; failures are told in full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Lines without which an example means the same: defaults that are written out.
const WITHOUT_EFFECT: &[&str] = &[
    "selector.type = replicating",
    "selector.optional = index",
    "dc.preserveExisting = true",
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tests")
}

fn test_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(examples()).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    files
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    let Output {
        status,
        stdout,
        stderr,
    } = command.arg("test").args(arguments).output().unwrap();
    (
        status.code(),
        String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned(),
    )
}

#[test]
fn the_examples_pass_and_take_every_route() {
    let files = test_files();
    let names = files.iter().map(|file| file.to_str().unwrap());
    let arguments: Vec<_> = std::iter::once("--coverage").chain(names).collect();
    let (code, said) = run(&arguments);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("not taken"), "{said}");
    assert!(said.matches("ok    ").count() >= 20, "{said}");
}

/// Each line about interceptors and selectors is taken away in turn: some test has to notice.
#[test]
fn the_examples_notice_what_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut unnoticed = vec![];
    for file in test_files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let configuration = name.replace(".test.toml", ".conf");
        let text = fs::read_to_string(examples().join(&configuration)).unwrap();
        fs::copy(&file, dir.path().join(name)).unwrap();
        for line in text.lines() {
            let decides = line.contains(".interceptors") || line.contains(".selector.");
            if !decides || WITHOUT_EFFECT.iter().any(|end| line.ends_with(end)) {
                continue;
            }
            fs::write(dir.path().join(&configuration), text.replace(line, "")).unwrap();
            let (code, _) = run(&[dir.path().join(name).to_str().unwrap()]);
            if code == Some(0) {
                unnoticed.push(format!("{name}: {line}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

const FLOW: &str = "a1.sources = r1\na1.channels = c1 c2\na1.sinks = k1 k2\na1.sources.r1.type = seq\n\
    a1.sources.r1.channels = c1 c2\na1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.header = h\n\
    a1.sources.r1.selector.mapping.x = c1\na1.sources.r1.selector.default = c2\na1.sources.r1.interceptors = i1\n\
    a1.sources.r1.interceptors.i1.type = static\na1.sources.r1.interceptors.i1.key = h\na1.sources.r1.interceptors.i1.value = y\n\
    a1.channels.c1.type = memory\na1.channels.c2.type = memory\na1.sinks.k1.type = logger\na1.sinks.k1.channel = c1\n\
    a1.sinks.k2.type = file_roll\na1.sinks.k2.channel = c2\na1.sinks.k2.sink.directory = /tmp\n";

fn run_text(tests: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("flume.conf"), FLOW).unwrap();
    let file = dir.path().join("t.toml");
    fs::write(&file, tests).unwrap();
    let (code, said) = run(&[arguments, &[file.to_str().unwrap()]].concat());
    (code, said.replace(dir.path().to_str().unwrap(), "DIR"))
}

const FAILING: &str = "config = \"flume.conf\"\n\n[[test]]\nname = \"a <wrong> one\"\n\
    events = [{ body = \"a\\u001b\" }, { body = \"b\" }]\n\n[test.sinks.k2]\n\
    events = [{ headers = { h = \"z\", g = \"1\" }, body = \"x\" }]\nbytes_hex = \"00\"\n\n[test.channels.c1]\ncount = 3\n";

#[test]
fn a_failure_is_a_difference_that_can_be_read() {
    let (code, said) = run_text(FAILING, &["--coverage"]);
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "FAIL  DIR/t.toml: a <wrong> one",
        "channel c1: expected 3 events, got 0",
        "sink k2: event 1: header `h`\n    expected \"z\"\n    got      \"y\"",
        "sink k2: event 1: header `g`\n    expected \"1\"\n    got      no such header",
        "sink k2: event 1: body\n    expected \"x\"\n    got      \"a\\u{1b}\"",
        "sink k2: event 2 was not expected: {\"h\": \"y\"} \"b\"",
        "sink k2: bytes\n    expected 00\n    got      61 1b 0a 62 0a",
        "tests take 3 of 5 routes",
        "not taken: a1.sources.r1: header h has the value x",
        "not taken: a1.sources.r1: channel c1 gets an event",
        "0 passed, 1 failed",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let (code, said) = run_text(FAILING, &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &report["files"][0]["tests"][0]["passed"]),
        (Some(1), &false.into())
    );
    let (code, said) = run_text(FAILING, &["--format", "junit"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("name=\"a &lt;wrong&gt; one\"") && said.contains("failures=\"1\""),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_says_where_and_why() {
    let test = |more: &str| format!("config = \"flume.conf\"\n[[test]]\nname = \"t\"\n{more}\n");
    let event = "events = [{ body = \"a\" }]";
    for (tests, expected) in [
        ("config = ".to_string(), "DIR/t.toml:1: "),
        (test("evnts = []"), "DIR/t.toml:4: unknown field `evnts`"),
        (
            "config = \"flume.conf\"".into(),
            "there is no test; begin one with [[test]]",
        ),
        (test(""), "DIR/t.toml:3: test `t`: `events` are missing"),
        (test(event), "test `t`: it expects nothing"),
        (
            test(&format!("{event}\n[test.sinks.k1]")),
            "k1: it expects nothing",
        ),
        (
            test("events = [{ body_hex = \"0\" }]\nnothing_elsewhere = true"),
            "hexadecimal digits come in pairs",
        ),
        (
            test(&format!(
                "{event}\n[test.sinks.k1]\nevents = [{{ body = {{ regex = \"(\" }} }}]"
            )),
            "`(` is not a regular expression",
        ),
        (
            test(&format!("{event}\n[test.channels.c1]\nbytes = \"\"")),
            "made by the serializer of a sink",
        ),
        (
            test(&format!("{event}\nnothing_elsewhere = true")).replace("flume.conf", "gone.conf"),
            "gone.conf cannot be read",
        ),
        (
            format!(
                "agent = \"b\"\n{}",
                test(&format!("{event}\nnothing_elsewhere = true"))
            ),
            "agent: the configuration has: a1",
        ),
    ] {
        let (code, said) = run_text(&tests, &[]);
        assert_eq!(code, Some(2), "{tests}: {said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // What only the flow can tell fails the test, and not the others of the file.
    for (tests, expected) in [
        (
            format!("{event}\nsource = \"r2\"\nnothing_elsewhere = true"),
            "there is no source `r2`; those that run are: r1",
        ),
        (
            format!("{event}\n[test.sinks.k3]\ncount = 1"),
            "there is no sink `k3`, the sinks are: k1, k2",
        ),
        (
            format!("{event}\n[test.channels.c3]\ncount = 1"),
            "the source has no channel `c3`; it has: c1, c2",
        ),
        (
            format!("{event}\n[test.sinks.k1]\nbytes = \"\""),
            "a sink of type logger has no serializer",
        ),
        (
            format!("{event}\nrefused = \"x\""),
            "expected that the batch is refused",
        ),
    ] {
        let (code, said) = run_text(&test(&tests), &[]);
        assert_eq!(code, Some(1), "{tests}: {said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// A file of tests may be anything at all.
#[test]
fn nothing_panics_on_a_broken_file() {
    let text = fs::read_to_string(examples().join("by-country.test.toml")).unwrap();
    let chars: Vec<char> = text.chars().collect();
    for at in (0..chars.len()).step_by(37) {
        let cut: String = chars[..at].iter().chain(&chars[at + 1..]).collect();
        let (code, said) = run_text(&cut, &[]);
        assert!(
            code.is_some_and(|code| code < 3) && !said.contains("panicked"),
            "{cut}: {said}"
        );
    }
}
