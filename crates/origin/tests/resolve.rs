//! Whole configurations with `${…}`, resolved by this process.

use std::{collections::BTreeMap, fs, path::Path};

use flume_conf::Document;
use flume_core::secrets::masked;
use flume_origin::lookups::ProcessLookups;

/// Resolves a configuration, and shows the value of `a1.sinks.k1.x`, else every error.
fn resolve(text: &str, properties: &[(&str, &str)], conf_dir: Option<&Path>) -> String {
    let properties: BTreeMap<String, String> = properties
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    match ProcessLookups::new(&properties, conf_dir) {
        Ok(lookups) => resolve_by(text, &lookups),
        Err(error) => format!("! {error}"),
    }
}

fn resolve_by(text: &str, lookups: &ProcessLookups) -> String {
    let mut document = Document::default();
    document.add("flume.conf", text.as_bytes());
    document.resolve(lookups);
    let registry = flume_core::Registry::EMPTY;
    let plan = document.plan("a1", &registry);
    let told = plan.diagnostics.iter().filter(|found| {
        let key = found.key.as_str();
        key == "a1.sinks.k1.x" || key.starts_with("a1.configfilters.")
    });
    let told: Vec<_> = told.map(ToString::to_string).collect();
    if told.is_empty() {
        let setting = document.settings().get("a1.sinks.k1.x");
        setting.map_or(String::new(), |setting| setting.text.clone())
    } else {
        told.join("\n")
    }
}

fn check(value: &str, properties: &[(&str, &str)], expected: &str) {
    let text = format!("a1.sinks = k1\na1.sinks.k1.x = {value}\n");
    assert_eq!(resolve(&text, properties, None), expected, "{value}");
}

#[test]
fn lookups_answer_as_in_flume() {
    let home = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    check("${env:CARGO_MANIFEST_DIR}/x", &[], &format!("{home}/x"));
    check("${ENV:CARGO_MANIFEST_DIR}", &[], &home);
    check("${sys:site}", &[("site", "lab7")], "lab7");
    check("${sys:java.io.tmpdir}${sys:file.separator}x", &[], "/tmp/x");
    check("${sys:no:-d}", &[], "d");
    check("${base64Encoder:HelloWorld!}", &[], "SGVsbG9Xb3JsZCE=");
    check("${base64Decoder:SGVsbG9Xb3JsZCE=}", &[], "HelloWorld!");
    check("${urlEncoder:Hello World!}", &[], "Hello+World%21");
    check("${urlDecoder:Hello%20World%21}", &[], "Hello World!");
    check("${date:'x'}", &[], "x");
    let environment = [(
        "propertiesImplementation",
        "org.apache.flume.node.EnvVarResolverProperties",
    )];
    check("${CARGO_MANIFEST_DIR}", &environment, &home);
    check("${a1.sinks}", &[], "k1");
}

#[test]
fn an_unresolved_lookup_names_place_and_remedy() {
    check(
        "/data/${env:NO_SUCH}/x",
        &[],
        "flume.conf:2:23: error: a1.sinks.k1.x: ${env:NO_SUCH}: the environment has no variable NO_SUCH (set NO_SUCH \
         where the agent is started (flume-env.sh, the unit), or write a default: ${env:NO_SUCH:-VALUE}; \
         `$${env:NO_SUCH}` is the text itself)",
    );
    check(
        "${envv:HOME}",
        &[],
        "flume.conf:2:17: error: a1.sinks.k1.x: ${envv:HOME}: there is no lookup `envv` (did you mean `env`?; \
         `$${envv:HOME}` is the text itself)",
    );
    check(
        "${script:javascript:1}",
        &[],
        "flume.conf:2:17: error: a1.sinks.k1.x: ${script:javascript:1}: the lookup `script` is off (it would run a \
         program that the configuration holds; `$${script:javascript:1}` is the text itself)",
    );
    check(
        "${CARGO_MANIFEST_DIR}",
        &[],
        "flume.conf:2:17: error: a1.sinks.k1.x: ${CARGO_MANIFEST_DIR}: the configuration has no key \
         `CARGO_MANIFEST_DIR` (${env:CARGO_MANIFEST_DIR} is the variable of the environment; \
         -DpropertiesImplementation=org.apache.flume.node.EnvVarResolverProperties makes ${CARGO_MANIFEST_DIR} mean \
         it, too; `$${CARGO_MANIFEST_DIR}` is the text itself)",
    );
    for wrong in [
        "${file:x}",
        "${file:UTF-8:/no/such/file}",
        "${file:UTF-8:/}",
        "${date:bbb}",
        "${java:vm}",
        "${base64Decoder:?}",
        "${urlDecoder:%4}",
        "${localhost:x}",
    ] {
        let text = format!("a1.sinks = k1\na1.sinks.k1.x = {wrong}\n");
        let said = resolve(&text, &[], None);
        assert!(said.contains("error: a1.sinks.k1.x: ${"), "{wrong}: {said}");
    }
}

#[test]
fn a_file_of_lookups_replaces_those_that_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("lookups.properties");
    let class = "org.apache.commons.text.lookup.DefaultStringLookup";
    fs::write(&table, format!("e = {class}.ENVIRONMENT\n")).unwrap();
    let text = "a1.sinks.k1.x = ${e:CARGO_PKG_NAME} ${env:CARGO_PKG_NAME:-none}\n";
    assert_eq!(
        resolve(text, &[], Some(directory.path())),
        "flume-origin none"
    );
    fs::write(&table, "x = org.example.Lookup\n").unwrap();
    let said = resolve(text, &[], Some(directory.path()));
    assert!(
        said.contains("lookups.properties:1:5: x: `org.example.Lookup`"),
        "{said}"
    );
    let said = resolve(text, &[("lookups", "no-such-file")], None);
    assert_eq!(said, "! -Dlookups=no-such-file: there is no such file");
}

#[test]
fn what_a_file_holds_is_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "open-sesame-42\n").unwrap();
    let text = format!("a1.sinks.k1.x = ${{file:UTF-8:{}}}\n", file.display());
    assert_eq!(resolve(&text, &[], None), "open-sesame-42");
    assert_eq!(
        masked("could not log in with open-sesame-42"),
        "could not log in with ***"
    );
}

/// A configuration with one filter.
fn with_filter(settings: &str, value: &str) -> String {
    let settings: String = settings
        .lines()
        .map(|line| format!("a1.configfilters.f.{line}\n"))
        .collect();
    format!("a1.configfilters = f\na1.sinks = k1\n{settings}a1.sinks.k1.x = {value}\n")
}

#[test]
fn filters_find_secrets() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let check = |settings: &str, value: &str, expected: &str| {
        let said = resolve(&with_filter(settings, value), &[], Some(&data));
        assert!(said.contains(expected), "{settings} {value}: {said}");
    };
    check("type = env", "${f['CARGO_PKG_NAME']}", "flume-origin");
    check("type = ENV", "-${f[\"CARGO_PKG_NAME\"]}-", "-flume-origin-");
    check(
        "type = env",
        "${f['NO_SUCH']}",
        "the environment has no variable NO_SUCH",
    );
    let class = "org.apache.flume.configfilter.EnvironmentVariableConfigFilter";
    check(
        &format!("type = {class}"),
        "${f[CARGO_PKG_NAME]}",
        "flume-origin",
    );
    check(
        "type = external\ncommand = echo key",
        "${f['a-b']}",
        "key a-b",
    );
    check(
        "type = external\ncommand = false",
        "${f['k']}",
        "failed for the key `k`: exit status: 1",
    );
    check(
        "type = external\ncommand = true",
        "${f['k']}",
        "`true` printed nothing",
    );
    check(
        "type = external\ncommand = no-such",
        "${f['k']}",
        "there is no program `no-such`",
    );
    check(
        "type = external",
        "${f['k']}",
        "a1.configfilters.f.command: required but not set",
    );
    check(
        "type = envv",
        "${f['k']}",
        "there is no config filter of type `envv` (did you mean `env`?)",
    );
    let store = format!(
        "type = hadoop\ncredential.provider.path = jceks://file{}/credentials.jceks",
        data.display()
    );
    check(&store, "${f['db.password']}", "hunter2-é");
    check(&store, "${f['DB.password']}", "hunter2-é");
    check(
        &store,
        "${f['absent']}",
        "the key store has no key `absent`; it has `db.password`, `other`",
    );
    let wrong = format!("{store}\ncredstore.java-keystore-provider.password-file = Store.java");
    check(&wrong, "${f['other']}", "the key store's password is wrong");
    check(
        "type = hadoop\ncredential.provider.path = jceks://hdfs@nn/x",
        "${f['k']}",
        "not on a local file system",
    );
}

/// Root looks at a configuration that another user can change.
#[test]
fn nothing_is_read_and_nothing_run_for_a_restricted_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("secret"), "k = hunter2").unwrap();
    let filter = |settings: &str| {
        format!("a1.configfilters = f\na1.sinks = k1\n{settings}a1.sinks.k1.x = ${{f['k']}}\n")
    };
    let program = format!("/bin/touch {}", at("ran"));
    let store = at("secret");
    let texts = [
        format!("a1.sinks = k1\na1.sinks.k1.x = ${{file:UTF-8:{store}}}\n"),
        format!("a1.sinks = k1\na1.sinks.k1.x = ${{properties:{store}::k}}\n"),
        filter(&format!(
            "a1.configfilters.f.type = external\na1.configfilters.f.command = {program}\n"
        )),
        filter(&format!(
            "a1.configfilters.f.type = hadoop\na1.configfilters.f.credential.provider.path = jceks://file{store}\n"
        )),
        filter(&format!(
            "a1.configfilters.f.type = hadoop\na1.configfilters.f.credential.provider.path = jceks://file/none\n\
             a1.configfilters.f.credstore.java-keystore-provider.password-file = {store}\n"
        )),
    ];
    for text in texts {
        let lookups = ProcessLookups::new(&BTreeMap::new(), None)
            .unwrap()
            .restricted();
        let seen = resolve_by(&text, &lookups);
        let refusal =
            "is not done with root's rights for a configuration that another user can change";
        assert!(seen.contains(refusal), "{text}: {seen}");
        assert!(!seen.contains("hunter2"), "{text}: {seen}");
        assert_eq!(lookups.files(), Vec::<std::path::PathBuf>::new(), "{text}");
    }
    assert!(!directory.path().join("ran").exists());
}
