//! `flume-ng provision` as far as it goes without changing the host.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const KRB5_CONF: &str = "[libdefaults]\ndefault_realm = A.TEST\ndns_lookup_kdc = false\n[realms]\nA.TEST = {\n kdc = 127.0.0.1:1\n}\n";

/// As sites have it: bare keys, no commas.
const EXAMPLE: &str = r#"{
    "hdp": {
        flume_user: "flume"
        flume_group: "flume"
        flume_conf_dir: "/etc/flume/conf"
    }
    host: "n1.a.test"
}
"#;

/// A run with this node configuration.
fn provision(node: &str, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("node.json");
    let krb5 = dir.path().join("krb5.conf");
    std::fs::write(&config, node).unwrap();
    std::fs::write(&krb5, KRB5_CONF).unwrap();
    run(&config, &krb5, arguments)
}

fn run(config: &Path, krb5: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(["provision", "--config"])
        .arg(config)
        .args(arguments)
        .env("KRB5_CONFIG", krb5)
        .env_remove("HADOOP_CONF_DIR")
        .env("FLUME_KADMIN_PASSWORD", "never shown")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn check(node: &str, arguments: &[&str], code: i32, expected: &[&str]) {
    let output = provision(node, arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    assert!(!said.contains("never shown"), "{said}");
}

#[test]
fn the_example_as_sites_have_it_is_accepted_with_one_warning() {
    let output = provision(EXAMPLE, &["configure", "--dry-run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("warning[").count(), 1, "{said}");
    assert!(
        said.contains("bare keys (line 3), missing commas (line 4)"),
        "{said}"
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("host = n1.a.test"), "{said}");
}

#[test]
fn nonsense_is_refused_before_anything_is_done() {
    let conf_dir = r#"{"host": "n1.a.test", "hdp": {"flume_conf_dir": "conf"}}"#;
    check(
        conf_dir,
        &["--dry-run", "--from-self"],
        1,
        &[
            "FAIL  configure: ",
            "node.json:1:49",
            "expected an absolute path",
            "FAIL  install: not tried",
        ],
    );
    let realm = r#"{"host": "n1.a.test", "krb5_client": {"realm": "OTHER.EXAMPLE"}}"#;
    check(
        realm,
        &["--dry-run", "configure"],
        1,
        &[
            "the realm `OTHER.EXAMPLE` is not in",
            "its realms are A.TEST",
        ],
    );
    check(
        "{\"host\": \"n1\", krb5_client: {}}",
        &["--dry-run", "configure"],
        1,
        &["a host name with its domain"],
    );
    check("{", &["--dry-run", "configure"], 1, &["this is not closed"]);
    check(
        EXAMPLE,
        &["instal"],
        2,
        &["there is no step `instal`: configure, install"],
    );
    check(
        EXAMPLE,
        &["--package", "x.deb", "--from-self"],
        2,
        &["exclude each other"],
    );
}

#[test]
fn a_dry_run_says_what_would_change_and_json_has_the_same() {
    let output = provision(
        EXAMPLE,
        &[
            "--dry-run",
            "--from-self",
            "--format",
            "json",
            "configure",
            "install",
        ],
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["configure", "install"]);
    for step in steps {
        assert!(
            ["WOULD", "PASS"].contains(&step["outcome"].as_str().unwrap()),
            "{step}"
        );
    }
}

#[test]
fn a_kdc_that_does_not_answer_is_said() {
    let node = r#"{"host": "n1.a.test", "krb5_client": {"kadmin_principal": "root/admin"}}"#;
    check(
        node,
        &["kerberos", "--dry-run"],
        1,
        &["FAIL  kerberos: no KDC of A.TEST answers (127.0.0.1:1"],
    );
}
