//! Spans of batches, sent to a collector of OpenTelemetry. The collector here takes what the protocol has and nothing
//! else: field names and forms are those of `ExportTraceServiceRequest` in the JSON of OTLP 1.x.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use flume_testkit::agent::{Agent, component};
use serde::Deserialize;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");

const FLOW: &str = "a1.sources = r1\na1.channels = c1 c2\na1.sinks = k1 k2\na1.sources.r1.type = netcat\n\
    a1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = 0\na1.sources.r1.channels = c1 c2\n\
    a1.channels.c1.type = memory\na1.channels.c2.type = memory\n\
    a1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n\
    a1.sinks.k2.type = avro\na1.sinks.k2.hostname = 127.0.0.1\na1.sinks.k2.port = 9\na1.sinks.k2.channel = c2\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExportRequest {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeSpans {
    #[serde(rename = "scope")]
    _scope: Scope,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    code: u8,
    message: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AnyValue {
    string_value: Option<String>,
    int_value: Option<String>,
}

/// The head of a request, and its body.
type Request = (String, Vec<u8>);

/// A collector that answers each request so. Its address, and what it was sent.
fn collector(answer: &'static str) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(request) = receive(&mut stream) {
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                    let _ = sender.send(request);
                }
            });
        }
    });
    (address, requests)
}

fn receive(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

const TAKEN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn start(endpoint: &str) -> Agent {
    let endpoint = format!("-Dflume.otlp.endpoint={endpoint}");
    let headers = "-Dflume.otlp.headers=x-key=secret";
    let arguments = [endpoint.as_str(), headers];
    Agent::start(Path::new(PROGRAM), FLOW, &arguments).unwrap()
}

fn send_line(agent: &mut Agent) {
    let mut connection = TcpStream::connect(agent.address("r1")).unwrap();
    connection.write_all(b"hello\n").unwrap();
    agent.wait_for("a delivered event", |status| {
        let delivered = component(status, "k1")?.metrics["EventDrainSuccessCount"];
        (delivered > 0).then_some(())
    });
}

/// Spans as they come, until there is one of each of these names.
fn spans_of(requests: &Receiver<Request>, names: &[&str]) -> Vec<Span> {
    let mut spans: Vec<Span> = vec![];
    while !names
        .iter()
        .all(|name| spans.iter().any(|span| span.name == *name))
    {
        let (head, body) = requests
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|error| panic!("{error}: {spans:?}"));
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        let lower = head.to_ascii_lowercase();
        assert!(lower.contains("content-type: application/json"), "{head}");
        assert!(lower.contains("x-key: secret"), "{head}");
        let request: ExportRequest = serde_json::from_slice(&body).unwrap();
        for resource in request.resource_spans {
            let agent = text(&resource.resource.attributes, "flume.agent");
            assert_eq!(agent.as_deref(), Some("a1"));
            let scopes = resource.scope_spans.into_iter();
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.clone();
    value.string_value.or(value.int_value)
}

#[test]
fn each_batch_has_spans_from_source_to_sink() {
    let (endpoint, requests) = collector(TAKEN);
    let mut agent = start(&endpoint);
    send_line(&mut agent);
    let names = [
        "source r1",
        "put c1",
        "put c2",
        "sink k1",
        "take c1",
        "sink k2",
        "take c2",
    ];
    let spans = spans_of(&requests, &names);
    let [source, put, other_put, sink, take, failed, _] =
        names.map(|name| spans.iter().find(|span| span.name == name).unwrap());
    for (part, whole) in [(put, source), (other_put, source), (take, sink)] {
        assert_eq!(part.trace_id, whole.trace_id);
        assert_eq!(part.parent_span_id.as_ref(), Some(&whole.span_id));
    }
    assert_ne!(source.trace_id, sink.trace_id);
    assert_eq!((source.parent_span_id.as_ref(), source.kind), (None, 1));
    assert_eq!((source.trace_id.len(), source.span_id.len()), (32, 16));
    assert_eq!(
        text(&put.attributes, "flume.component").unwrap(),
        "a1.channels.c1"
    );
    assert_eq!(text(&put.attributes, "flume.events").unwrap(), "1");
    let [began, ended] = [&source.start_time_unix_nano, &source.end_time_unix_nano];
    assert!(began.parse::<u128>().unwrap() <= ended.parse().unwrap());
    assert!(source.status.is_none(), "{source:?}");
    let status = failed.status.as_ref().unwrap();
    assert_eq!(status.code, 2);
    assert!(status.message.contains("127.0.0.1:9"), "{status:?}");
}

#[test]
fn what_no_collector_takes_is_counted_and_the_flow_goes_on() {
    let (endpoint, requests) = collector(REFUSED);
    let mut agent = start(&endpoint);
    send_line(&mut agent);
    requests.recv_timeout(Duration::from_secs(30)).unwrap();
    // The next request comes after the answer to the first.
    requests.recv_timeout(Duration::from_secs(30)).unwrap();
    let log = agent.log();
    assert!(log.contains("it answers 503"), "{log}");
    assert!(!log.contains("secret"), "{log}");
    send_line(&mut agent);
}

#[test]
fn a_wrong_property_ends_the_agent() {
    let arguments = ["-Dflume.otlp.endpoint=collector:4318"];
    let mut agent = Agent::start(Path::new(PROGRAM), FLOW, &arguments).unwrap();
    let (status, log) = agent.ended().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(
        log.contains("flume.otlp.endpoint takes an address"),
        "{log}"
    );
}
