//! Text in, diagnostics out: every mistake is found, each is said once, in its place, with what would be right.

use flume_components::REGISTRY;
use flume_conf::Document;
use flume_core::{Code, Diagnostic, Span};
use flume_testkit::diagnostics::{check_diagnostics, planned};

fn check_diagnostic(text: &str, expected: &[&str]) {
    check_diagnostics(&planned(text, &REGISTRY), text, expected);
}

#[test]
fn each_mistake_is_said_once() {
    let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";
    check_diagnostic(base, &[]);
    check_diagnostic(
        &base.replace("type = memory", "type = memroy"),
        &["error a1.channels.c1.type: there is no channel type `memroy` (did you mean `memory`?)"],
    );
    check_diagnostic(
        &base.replace("k1.channel = c1", "k1.channel = c2"),
        &["error a1.sinks.k1.channel: there is no channel `c2` (did you mean `c1`?)"],
    );
    check_diagnostic(
        &base.replace("r1.channels = c1", "r1.channels = c1 c9"),
        &["warning a1.sources.r1.channels: there is no channel `c9` (did you mean `c1`?)"],
    );
    check_diagnostic(
        &base.replace("a1.sinks.k1.channel", "a1.sink.k1.channel"),
        &["error a1.sinks.k1.channel: required but not set (line 8 sets `a1.sink.k1.channel`)"],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.batchsize = 5\n"),
        &[
            "warning a1.sinks.k1.batchsize: unknown property, it has no effect (did you mean `batchSize`?)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.chanel = c1\n"),
        &[
            "warning a1.sinks.k1.chanel: unknown property, it has no effect (did you mean `channel`?)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k2.type = null\n"),
        &[
            "warning a1.sinks.k2: is not listed in `a1.sinks`, it is not started (add `k2` to `a1.sinks`)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.channels.c1.capacity = 0\n"),
        &[
            "warning a1.channels.c1.capacity: expected a whole number from 1, found `0`; the default 100 is used",
        ],
    );
    check_diagnostic(
        &format!(
            "{base}a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = timestap\n"
        ),
        &[
            "error a1.sources.r1.interceptors.i1.type: there is no interceptor type `timestap` (did you mean `timestamp`?)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.type = logger\n"),
        &["warning a1.sinks.k1.type: is set a second time, the value of line 7 is lost"],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.type = null\n"),
        &["note a1.sinks.k1.type: is set a second time, to what line 7 says already"],
    );
    check_diagnostic(
        &format!("{base}// a comment\n// another\n"),
        &["warning //: belongs to no agent, it has no effect (a comment begins with `#`)"; 2],
    );
    check_diagnostic(
        &format!("{base}lonely = 1\n"),
        &[
            "warning lonely: belongs to no agent, it has no effect (keys are AGENT.sources.NAME.PROPERTY and the like)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.batchSize = \\u00zz\n"),
        &[
            "error a1.sinks.k1.batchSize: \\u must be followed by four hexadecimal digits; Flume refuses the whole file (write \\\\u for a literal \\u)",
        ],
    );
}

/// Mistakes that configurations in the field have.
#[test]
fn a_mistake_in_a_name_is_traced() {
    let base = "a1.sources = r1\na1.channels = c11 c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                a1.channels.c1.type = memory\na1.channels.c11.type = memory\na1.sinks.k1.type = file_roll\na1.sinks.k1.channel = c11\n\
                a1.sinks.k1.sink.directory = /tmp\n";
    check_diagnostic(base, &[]);
    check_diagnostic(
        &format!("{base}a1.sinks.k1.serializer = TEXT\n"),
        &[
            "warning a1.sinks.k1.serializer: unknown property, it has no effect (did you mean `sink.serializer`?)",
        ],
    );
    check_diagnostic(
        &format!("{base}a2.sinks.k1.sink.rollInterval = 5\n"),
        &[
            "warning a2: no list names a component of agent `a2`, so none of its lines has an effect (did you mean `a1`?)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sources.k1.sink.rollInterval = 5\n"),
        &[
            "warning a1.sources.k1: is not listed in `a1.sources`, it is not started (did you mean `a1.sinks.k1`?)",
        ],
    );
    check_diagnostic(
        &base.replace("sinks = k1", "sinks = k1 #old"),
        &["warning a1.sinks: `#old` counts as a name in Flume (a comment needs a line of its own)"],
    );
    check_diagnostic(
        &base.replace("k1.channel = c11", "k1.channel = disk"),
        &[
            "warning a1.channels.c11: is used by no source and no sink, so it is not opened",
            "error a1.sinks.k1.channel: there is no channel `disk` (channels are c11, c1)",
        ],
    );
    // A frame that is wrong in one place uses its channels all the same.
    check_diagnostic(
        &format!(
            "{base}a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = com.acme.X$Builder\n"
        ),
        &[
            "error a1.sources.r1.interceptors.i1.type: the class `com.acme.X$Builder` is not part of Flume",
        ],
    );
}

/// What Flume keeps of an agent does not depend on the mistakes of another one.
#[test]
fn agents_are_judged_apart() {
    let flow = |agent: &str| {
        "A.sources = r1\nA.channels = c1\nA.sinks = k1\nA.sources.r1.type = seq\nA.sources.r1.channels = c1\n\
         A.channels.c1.type = memory\nA.sinks.k1.type = null\nA.sinks.k1.channel = c1\n"
            .replace('A', agent)
    };
    let mut document = Document::default();
    document.add("flume.conf", (flow("a1") + &flow("a2")).as_bytes());
    let wrong = Diagnostic::new(
        Code::WrongValue,
        Span::default(),
        "a2.sinks.k1.batchSize",
        "expected a number",
    );
    let dropped = |agent: &str| {
        let verdicts = document.effective(agent, std::slice::from_ref(&wrong));
        let dropped = verdicts
            .into_iter()
            .filter(|verdict| verdict.reason.is_some());
        dropped.map(|verdict| verdict.name).collect::<Vec<_>>()
    };
    assert_eq!(dropped("a1"), Vec::<String>::new());
    assert_eq!(dropped("a2"), ["a2.sinks.k1"]);
}
