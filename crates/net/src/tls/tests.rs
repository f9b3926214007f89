use std::path::Path;

use flume_core::Registry;
use flume_testkit::parts::read;

use super::*;

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data");

fn context(globals: &[(&str, &str)]) -> Context {
    let agent = flume_core::AgentInfo {
        system_properties: globals
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        ..Default::default()
    };
    Context::of_agent("a1.sources.r1", vec![], Arc::new(agent))
}

fn server(text: &str, globals: &[(&str, &str)]) -> Result<Option<TlsServerSettings>, String> {
    let (config, problems) = read::<TlsServerConfig>(&Registry::EMPTY, "a1.sources.r1", text);
    assert_eq!(problems, [""; 0]);
    let built = config.expect("a configuration").build(&context(globals));
    built.map_err(|error| error.to_string())
}

fn refused(text: &str, globals: &[(&str, &str)], expected: &str) {
    let text = format!("ssl = true\n{text}");
    let error = server(&text, globals)
        .err()
        .unwrap_or_else(|| panic!("{text} is accepted"));
    assert!(error.starts_with(expected), "{text}: {error}");
}

const STORE: &str = "keystore = /k\nkeystore-password = p\n";

fn protocols(text: &str, globals: &[(&str, &str)]) -> Vec<String> {
    let text = format!("ssl = true\n{STORE}{text}");
    let settings = server(&text, globals).expect("built").expect("on");
    let versions = settings.policy.versions.iter();
    versions
        .map(|version| format!("{:?}", version.version))
        .collect()
}

#[test]
fn properties_fall_back_to_those_of_the_agent() {
    assert!(server("", &[]).expect("built").is_none());
    refused("", &[], "keystore: required with ssl = true");
    refused(
        "keystore = /k",
        &[],
        "keystore-password: required with ssl = true",
    );
    let globals = [
        ("javax.net.ssl.keyStore", "/global"),
        ("javax.net.ssl.keyStorePassword", "secret"),
    ];
    let settings = server("ssl = true", &globals).expect("built").expect("on");
    assert_eq!(settings.keystore, Path::new("/global"));
    assert_eq!(settings.password.0, "secret");
    let settings = server("ssl = true\nkeystore = /own", &globals)
        .expect("built")
        .expect("on");
    assert_eq!(settings.keystore, Path::new("/own"));
    let globals = [("javax.net.ssl.keyStoreType", "BCFKS")];
    refused(STORE, &globals, "keystore-type: the global type is `BCFKS`");
}

#[test]
fn protocols_are_included_then_excluded() {
    let exclude = [("flume.ssl.exclude.protocols", "TLSv1.3,SSLv3")];
    assert_eq!(protocols("", &[]), ["TLSv1_2", "TLSv1_3"]);
    assert_eq!(
        protocols("include-protocols = TLSv1.1 TLSv1.2", &[]),
        ["TLSv1_2"]
    );
    assert_eq!(
        protocols("exclude-protocols = SSLv3 TLSv1 TLSv1.2", &[]),
        ["TLSv1_3"]
    );
    assert_eq!(protocols("", &exclude), ["TLSv1_2"]);
    assert_eq!(
        protocols("exclude-protocols = SSLv3", &exclude),
        ["TLSv1_2", "TLSv1_3"]
    );
    let suite = "include-cipher-suites = TLS_AES_128_GCM_SHA256";
    assert_eq!(protocols(suite, &[]), ["TLSv1_3"]);
}

#[test]
fn what_rustls_lacks_is_an_error_where_nothing_else_is_left() {
    let with = |text: &str| format!("{STORE}{text}");
    refused(
        &with("include-protocols = TLSv1 TLSv1.1"),
        &[],
        "include-protocols: no protocol is left",
    );
    refused(
        &with("exclude-protocols = TLSv1.2 TLSv1.3"),
        &[],
        "exclude-protocols: no protocol is left",
    );
    refused(
        &with("include-protocols = TLS1.2"),
        &[],
        "include-protocols: `TLS1.2` is not a protocol",
    );
    let rsa = "include-cipher-suites = TLS_RSA_WITH_AES_128_CBC_SHA";
    refused(
        &with(rsa),
        &[],
        "include-cipher-suites: no cipher suite is left; this program has TLS_",
    );
    let mixed = "include-protocols = TLSv1.2\ninclude-cipher-suites = TLS_AES_128_GCM_SHA256";
    refused(
        &with(mixed),
        &[],
        "include-cipher-suites: none of these suites",
    );
}

fn acceptor(store: &str, password: &str) -> Result<TlsAcceptor, String> {
    let text = format!("ssl = true\nkeystore = {STORES}/{store}\nkeystore-password = {password}");
    let settings = server(&text, &[]).expect("built").expect("on");
    settings
        .acceptor()
        .map_err(|error| flume_core::with_causes(&error))
}

#[test]
fn key_stores_that_cannot_be_used_say_why() {
    for store in ["rsa.jks", "server.pkcs12", "legacy.pkcs12", "server.pem"] {
        assert!(acceptor(store, "storePassword").is_ok(), "{store}");
    }
    let says = |store: &str, password: &str, expected: &str| {
        let error = acceptor(store, password).err().expect("an error");
        assert!(error.contains(expected), "{error}");
    };
    says("no.jks", "p", "No such file or directory");
    says("rsa.jks", "other", "the key store's password is wrong");
    says(
        "server.jks",
        "storePassword",
        "the password of key `server` is wrong",
    );
    says(
        "trust.jks",
        "storePassword",
        "the key store has no private key",
    );
    says("", "p", "it is not a file");
}
