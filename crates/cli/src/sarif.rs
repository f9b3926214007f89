//! Diagnostics as SARIF 2.1.0, for code hosts and editors that show findings beside the lines.

use flume_core::{Code, Diagnostic, Severity, secrets::masked};
use serde_json::{Value, json};

/// The whole log.
pub(crate) fn log(diagnostics: &[Diagnostic]) -> String {
    let mut codes: Vec<_> = diagnostics.iter().map(|found| found.code).collect();
    codes.sort();
    codes.dedup();
    let rules: Vec<_> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<_> = diagnostics
        .iter()
        .map(|found| result(found, &codes))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "flume-ng validate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    log.to_string()
}

fn rule(code: Code) -> Value {
    let page = code.page();
    json!({
        "id": page.id,
        "name": format!("{code:?}"),
        "shortDescription": { "text": page.title },
        "fullDescription": { "text": page.meaning },
        "help": { "text": page.remedy },
        "defaultConfiguration": { "level": level(page.severity) },
    })
}

fn result(found: &Diagnostic, codes: &[Code]) -> Value {
    let mut text = if found.key.is_empty() {
        masked(&found.text).into_owned()
    } else {
        format!("{}: {}", found.key, masked(&found.text))
    };
    if let Some(hint) = &found.hint {
        text += &format!(" ({})", masked(hint));
    }
    let place = &found.place;
    let mut location = json!({ "artifactLocation": { "uri": uri(&place.file) } });
    if place.line > 0 {
        location["region"] = json!({
            "startLine": place.line,
            "startColumn": place.column.max(1),
            "endColumn": place.column.max(1) + place.width.max(1),
        });
    }
    json!({
        "ruleId": found.code.id(),
        "ruleIndex": codes.binary_search(&found.code).unwrap_or_default(),
        "level": level(found.severity()),
        "message": { "text": text },
        "locations": [{ "physicalLocation": location }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A relative reference, or a `file:` URI for an absolute path.
fn uri(path: &str) -> String {
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    let mut uri = String::from(scheme);
    for byte in path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if is_plain {
            uri.push(char::from(byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use flume_core::Span;

    use super::*;

    #[test]
    fn a_finding_has_its_rule_and_place() {
        let place = |line| Span {
            file: "/etc/a b.conf".into(),
            line,
            column: 3,
            width: 4,
        };
        let found = [
            Diagnostic::new(Code::WrongValue, place(7), "a1.x", "wrong").hint(Some("h".into())),
            Diagnostic::new(Code::NotUtf8, place(0), "", "no UTF-8"),
        ];
        let log: Value = serde_json::from_str(&log(&found)).unwrap();
        let run = &log["runs"][0];
        let first = &run["results"][0];
        assert_eq!(first["ruleId"], "FLM0402");
        let index = first["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "FLM0402");
        assert_eq!(first["message"]["text"], "a1.x: wrong (h)");
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "file:///etc/a%20b.conf");
        let region = json!({ "startLine": 7, "startColumn": 3, "endColumn": 7 });
        assert_eq!(place["region"], region);
        let second = &run["results"][1]["locations"][0]["physicalLocation"];
        assert!(second.get("region").is_none());
        assert_eq!(run["results"][1]["level"], "note");
    }
}
