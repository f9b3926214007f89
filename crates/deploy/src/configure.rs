//! The step `configure`: the effective settings, checked, shown and recorded.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{
    Site,
    fault::Fault,
    files::{Rights, check_file, put},
    node::Node,
    step::{Found, Task},
};

/// Where the settings are recorded, for later runs and for `doctor`.
const RECORD: &str = "/etc/flume/node.json";
const MODE: u32 = 0o644;

/// The recorded settings, if there are any.
pub fn recorded() -> Option<PathBuf> {
    let path = PathBuf::from(RECORD);
    path.exists().then_some(path)
}

/// The record is as the settings are.
pub(crate) fn tasks(site: &Site) -> Result<Vec<Task<'_>>, Fault> {
    let shown: Vec<_> = site
        .node
        .effective()
        .map(|setting| format!("{} = {} ({})", setting.name, setting.text, setting.origin))
        .collect();
    let path = Path::new(RECORD);
    let text = record(&site.node);
    let content = text.clone();
    Ok(vec![
        Task {
            title: format!("file {RECORD}"),
            check: Box::new(move || check_file(path, &Rights::root(MODE), Some(text.as_bytes()))),
            act: Box::new(move || put(path, &Rights::root(MODE), content.as_bytes())),
        },
        Task {
            title: "settings".into(),
            check: Box::new(move || Ok(Found::AsWanted(Some(shown.join("\n      "))))),
            act: Box::new(|| Ok(())),
        },
    ])
}

/// The settings as a node configuration of their own. The password is not among them.
fn record(node: &Node) -> String {
    let mut root = Map::new();
    if node.wants_kerberos() {
        root.insert("krb5_client".into(), Value::Object(Map::new()));
    }
    for setting in node.effective() {
        let text = Value::String(setting.text.clone());
        match setting.name.split_once('.') {
            None => drop(root.insert(setting.name.into(), text)),
            Some((section, key)) => {
                let section = root
                    .entry(section)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(section) = section {
                    section.insert(key.into(), text);
                }
            }
        }
    }
    // Strings always serialize.
    serde_json::to_string_pretty(&Value::Object(root)).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Surroundings;

    #[test]
    fn the_record_reads_as_the_same_settings_without_the_password() {
        let mut around = Surroundings {
            host: Some("n1.a.test".into()),
            ..Surroundings::default()
        };
        around.krb5.add(
            "[libdefaults]\ndefault_realm = A.TEST\n[realms]\nA.TEST = {\n}\n",
            0,
        );
        for text in [
            r#"{"hdp": {"flume_user": "svc"}}"#,
            r#"{"krb5_client": {"kadmin_principal": "root/admin", "kadmin_password": "hush"}}"#,
        ] {
            let node = Node::read("f", text, &around);
            let text = record(&node);
            assert!(!text.contains("hush"), "{text}");
            let again = Node::read("f", &text, &around);
            assert_eq!(again.diagnostics, []);
            assert_eq!(record(&again), text);
            assert_eq!(again.realm(), node.realm());
        }
    }
}
