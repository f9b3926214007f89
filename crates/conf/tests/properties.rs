//! The dialect against what Java itself read (`golden/Golden.java` makes the data), and against anything at all.

use std::sync::Arc;

use flume_conf::properties::{decode, parse};
use flume_core::{Code, Diagnostic};
use serde_json::Value;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_input_is_read_as_java_reads_it() {
    let file: Arc<str> = "f".into();
    for line in include_str!("golden/properties.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let input = bytes(case["input"].as_str().unwrap());
        // Java keeps a byte-order mark as part of the first key; here it is left out, with a warning.
        let marked = input.starts_with(b"\xef\xbb\xbf");
        let (text, _) = decode(&file, &input);
        let parsed = parse(&file, &text);
        let shown = String::from_utf8_lossy(&input);
        if case["error"].is_string() {
            assert!(!parsed.diagnostics.is_empty(), "{shown:?} is malformed");
            continue;
        }
        let seen: Vec<_> = parsed
            .entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect();
        let pair = |pair: &Value| {
            let text = |at: usize| pair[at].as_str().unwrap().to_string();
            (
                if marked {
                    text(0).replace('\u{feff}', "")
                } else {
                    text(0)
                },
                text(1),
            )
        };
        let expected: Vec<_> = case["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(pair)
            .collect();
        assert_eq!(seen, expected, "{shown:?}");
        let is_remark = |found: &Diagnostic| found.code == Code::BackslashDropped;
        assert!(parsed.diagnostics.iter().all(is_remark), "{shown:?}");
    }
}
