//! The node configuration: what a site says about a host, with defaults for the rest, and where each value came from.

mod keys;
mod password;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use flume_core::{Code, Diagnostic, Span, config::Secret, props::nearest};

use self::keys::{FULL_NAME, KEYS, Key};
use crate::{
    fault::Fault,
    json::{Entry, Spanned, Value, parse},
    krb5_conf::Krb5Conf,
};

/// What the host says about itself: where defaults come from.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Its fully qualified name.
    pub host: Option<String>,
    /// `HADOOP_CONF_DIR`, or the usual directory if it is there.
    pub hadoop_conf_dir: Option<String>,
    /// The administrator's password, as given on standard input.
    pub password: Option<Secret>,
    /// `KRB5_CONFIG`, unless it names the usual file.
    pub krb5_config: Option<String>,
    /// The realms.
    pub krb5: Krb5Conf,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The file.
    File(Span),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place) => write!(f, "{}:{}", place.file, place.line),
        }
    }
}

/// A value in effect.
#[derive(Clone, Debug)]
pub struct Effective {
    /// `hdp.flume_user`
    pub name: &'static str,
    /// Its value.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A host as it shall be.
#[derive(Clone, Debug, Default)]
pub struct Node {
    settings: Vec<Effective>,
    /// As written, with its place.
    written_password: Option<(Secret, Span)>,
    password: Option<Secret>,
    kerberos_wanted: bool,
    /// What is wrong with the file, or doubtful.
    pub diagnostics: Vec<Diagnostic>,
}

impl Node {
    /// Reads a file's text. A mistake is a diagnostic; the value is then the default.
    pub fn read(file: &str, text: &str, around: &Surroundings) -> Node {
        let mut node = Node::default();
        let home = Span {
            file: file.into(),
            line: 1,
            column: 1,
            width: 1,
        };
        match parse(file, text) {
            Err(error) => node.say(Code::NodeFile, error.place, "", error.text),
            Ok(parsed) => {
                if let Some((_, place)) = parsed.liberties.first() {
                    let what: Vec<_> = parsed
                        .liberties
                        .iter()
                        .map(|(what, place)| format!("{what} (line {})", place.line))
                        .collect();
                    let text =
                        format!("is not strict JSON, read all the same: {}", what.join(", "));
                    node.say(Code::NodeRemark, place.clone(), "", text);
                }
                node.take("", parsed.root);
            }
        }
        node.complete(around, &home);
        node
    }

    /// A host about which nothing was said.
    pub fn defaults(around: &Surroundings) -> Node {
        let mut node = Node::default();
        node.complete(
            around,
            &Span {
                file: Arc::from("defaults"),
                ..Span::default()
            },
        );
        node
    }

    /// Whether provisioning can start.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|found| found.is_error())
    }

    /// The first mistake that keeps provisioning from starting.
    pub(crate) fn first_error(&self) -> Option<Fault> {
        let mut errors = self.diagnostics.iter();
        let mistake = errors.find(|found| found.is_error())?;
        let cause = if mistake.place.line == 0 {
            format!("{}: {}", mistake.key, mistake.text)
        } else {
            format!("{}: {}: {}", mistake.place, mistake.key, mistake.text)
        };
        let hint = mistake.hint.clone();
        Some(Fault::new(
            cause,
            hint.unwrap_or_else(|| "correct it there".into()),
        ))
    }

    /// What is in effect, in the order of the manual, without the password; Kerberos only when it is wanted.
    pub fn effective(&self) -> impl Iterator<Item = &Effective> {
        let hidden = |setting: &&Effective| {
            !self.kerberos_wanted && setting.name.starts_with("krb5_client.")
        };
        self.settings.iter().filter(move |setting| !hidden(setting))
    }

    /// The host's fully qualified name.
    pub fn host(&self) -> &str {
        self.text("host").unwrap_or_default()
    }

    /// The unix user that agents run as.
    pub fn user(&self) -> &str {
        self.text("hdp.flume_user").unwrap_or_default()
    }

    /// Whether a site has said which user that is.
    pub(crate) fn names_user(&self) -> bool {
        self.place_of_file("hdp.flume_user").is_some()
    }

    /// Its group.
    pub fn group(&self) -> &str {
        self.text("hdp.flume_group").unwrap_or_default()
    }

    /// The directory of `flume.conf` and the keytab.
    pub fn conf_dir(&self) -> &Path {
        Path::new(self.text("hdp.flume_conf_dir").unwrap_or_default())
    }

    /// The directory of `core-site.xml`.
    pub fn hadoop_conf_dir(&self) -> Option<&Path> {
        self.text("hdp.hadoop_conf_dir").map(Path::new)
    }

    /// `KRB5_CONFIG` of the service, when it is not `/etc/krb5.conf`.
    pub fn krb5_config(&self) -> Option<&str> {
        self.text("krb5_client.krb5_config")
            .filter(|_| self.kerberos_wanted)
    }

    /// Where the service's keytab is.
    pub fn keytab(&self) -> PathBuf {
        self.conf_dir().join("flume.service.keytab")
    }

    /// The realm, when the file asks for Kerberos.
    pub fn realm(&self) -> Option<&str> {
        self.text("krb5_client.realm")
            .filter(|_| self.kerberos_wanted)
    }

    /// Whether the file asks for Kerberos.
    pub fn wants_kerberos(&self) -> bool {
        self.kerberos_wanted
    }

    /// `flume/HOST@REALM`
    pub fn principal(&self) -> Option<String> {
        Some(format!("flume/{}@{}", self.host(), self.realm()?))
    }

    /// Who administrates the realm.
    pub fn admin_principal(&self) -> Option<&str> {
        self.text("krb5_client.kadmin_principal")
    }

    /// Where the realm is administrated; unset: where `krb5.conf` says.
    pub fn admin_server(&self) -> Option<&str> {
        self.text("krb5_client.kadmin_server")
    }

    /// The policy of a new principal.
    pub fn policy(&self) -> Option<&str> {
        self.text("krb5_client.kadmin_policy")
    }

    /// The administrator's password.
    pub fn admin_password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|setting| setting.name == name)
            .map(|setting| setting.text.as_str())
    }

    fn say(&mut self, code: Code, place: Span, key: &str, text: impl Into<String>) {
        self.hint(code, place, key, text, None);
    }

    fn hint(
        &mut self,
        code: Code,
        place: Span,
        key: &str,
        text: impl Into<String>,
        hint: Option<String>,
    ) {
        let found = Diagnostic::new(code, place, key, text).hint(hint);
        self.diagnostics.push(found);
    }

    /// Takes what an object says, with the names of the objects around it before its keys.
    fn take(&mut self, prefix: &str, found: Spanned) {
        let Value::Object(entries) = found.value else {
            let text = format!("expected an object, found {}", found.value.kind());
            self.say(Code::NodeFile, found.place, prefix, text);
            return;
        };
        for Entry { key, place, value } in entries {
            let name = if prefix.is_empty() {
                key
            } else {
                format!("{prefix}.{key}")
            };
            self.kerberos_wanted |= name == "krb5_client";
            if let Some(known) = KEYS.iter().find(|known| known.name == name) {
                self.set(known, place, value);
            } else if KEYS
                .iter()
                .any(|known| known.name.starts_with(&format!("{name}.")))
            {
                self.take(&name, value);
            } else {
                let near = nearest(&name, KEYS.iter().map(|known| known.name));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                self.hint(
                    Code::NodeRemark,
                    place,
                    &name,
                    "unknown key, it has no effect",
                    hint,
                );
            }
        }
    }

    fn set(&mut self, key: &Key, key_place: Span, value: Spanned) {
        let place = value.place;
        let text = match value.value {
            Value::Text(text) => text,
            Value::Null => return,
            other => {
                let text = format!("expected text, found {}", other.kind());
                return self.say(Code::NodeFile, place, key.name, text);
            }
        };
        if let Err(expected) = (key.accepts)(&text) {
            let found = if key.secret || text.is_empty() {
                String::new()
            } else {
                format!(", found `{text}`")
            };
            return self.say(
                Code::NodeFile,
                place,
                key.name,
                format!("expected {expected}{found}"),
            );
        }
        if key.secret {
            self.written_password = Some((Secret(text), place));
            return;
        }
        if let Some(earlier) = self
            .settings
            .iter()
            .position(|setting| setting.name == key.name)
        {
            self.say(
                Code::NodeRemark,
                key_place,
                key.name,
                "is set a second time, this value counts",
            );
            self.settings.remove(earlier);
        }
        // As Hadoop: `_HOST` in principals is in lower case, and Kerberos tells cases apart.
        let text = if key.name == "host" {
            text.to_ascii_lowercase()
        } else {
            text
        };
        let origin = Origin::File(place);
        self.settings.push(Effective {
            name: key.name,
            text,
            origin,
        });
    }

    fn complete(&mut self, around: &Surroundings, home: &Span) {
        for key in KEYS
            .iter()
            .filter(|key| self.text(key.name).is_none())
            .collect::<Vec<_>>()
        {
            let Some(text) = (key.default)(around) else {
                continue;
            };
            if let Err(expected) = (key.accepts)(&text)
                && !self.diagnostics.iter().any(|found| found.key == key.name)
            {
                let hint = Some(format!("set `{}`", key.name));
                let text = format!("expected {expected}, the host says `{text}`");
                self.hint(Code::NodeFile, home.clone(), key.name, text, hint);
            }
            self.settings.push(Effective {
                name: key.name,
                text,
                origin: Origin::Default,
            });
        }
        let order = |name: &str| KEYS.iter().position(|key| key.name == name);
        self.settings.sort_by_key(|setting| order(setting.name));
        self.check_domain(home);
        self.check_realm(around, home);
        self.take_password(around);
    }

    fn place_of(&self, name: &str, home: &Span) -> Span {
        self.place_of_file(name).unwrap_or_else(|| home.clone())
    }

    /// A principal needs the host's full name; nothing else does.
    fn check_domain(&mut self, home: &Span) {
        let known = self.diagnostics.iter().any(|found| found.key == "host");
        if !self.kerberos_wanted || known || self.host().contains('.') {
            return;
        }
        let place = self.place_of("host", home);
        let text = match (&self.place_of_file("host"), self.text("host")) {
            (_, None) => "the host does not know its full name".into(),
            (Some(_), Some(name)) => format!("expected {FULL_NAME}, found `{name}`"),
            (None, Some(name)) => format!("expected {FULL_NAME}, the host says `{name}`"),
        };
        let hint = Some("set `host`".into());
        self.hint(Code::NodeFile, place, "host", text, hint);
    }

    fn place_of_file(&self, name: &str) -> Option<Span> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        match &setting.origin {
            Origin::File(place) => Some(place.clone()),
            Origin::Default => None,
        }
    }

    fn check_realm(&mut self, around: &Surroundings, home: &Span) {
        const KEY: &str = "krb5_client.realm";
        if !self.kerberos_wanted || self.diagnostics.iter().any(|found| found.key == KEY) {
            return;
        }
        let place = self.place_of(KEY, home);
        let conf = &around.krb5;
        let (text, hint) = match self.text(KEY) {
            None => (
                format!(
                    "required but not set, and {} has no default_realm",
                    conf.origin()
                ),
                Some(format!("set `{KEY}`")),
            ),
            Some(realm) if conf.realms.contains_key(realm) || conf.dns_lookup_kdc == Some(true) => {
                return;
            }
            // As for MIT Kerberos: DNS is asked unless somebody forbade it.
            Some(realm) if conf.dns_lookup_kdc.is_none() => {
                let near = nearest(realm, conf.realms.keys().map(String::as_str));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let text = format!(
                    "the realm `{realm}` is not in {}: DNS is asked for its KDCs",
                    conf.origin()
                );
                return self.hint(Code::NodeRemark, place, KEY, text, hint);
            }
            Some(realm) => {
                let known: Vec<_> = conf.realms.keys().map(String::as_str).collect();
                let near = nearest(realm, known.iter().copied());
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "add it to the section [realms]".into(),
                    None => format!("its realms are {}", known.join(", ")),
                };
                (
                    format!("the realm `{realm}` is not in {}", conf.origin()),
                    Some(hint),
                )
            }
        };
        self.hint(Code::NodeFile, place, KEY, text, hint);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn around() -> Surroundings {
        let mut krb5 = Krb5Conf::default();
        krb5.add(
            "[libdefaults]\ndefault_realm = A.TEST\n[realms]\nA.TEST = {\n}\n",
            0,
        );
        Surroundings {
            host: Some("n1.a.test".into()),
            krb5,
            ..Surroundings::default()
        }
    }

    fn check(text: &str, expected: &str) {
        let node = Node::read("node.json", text, &around());
        let mut lines: Vec<_> = node
            .effective()
            .filter(|setting| setting.origin != Origin::Default)
            .map(|setting| format!("{} = {} {}", setting.name, setting.text, setting.origin))
            .collect();
        lines.extend(node.diagnostics.iter().map(ToString::to_string));
        assert_eq!(lines.join("\n"), expected, "{text}");
    }

    #[test]
    fn the_example_as_sites_have_it_is_read_with_one_warning() {
        let text = "{\n    \"hdp\": {\n        flume_user: \"flume\"\n        flume_group: \"flume\"\n        flume_conf_dir: \"/etc/flume/conf\"\n    }\n}\n";
        check(
            text,
            "hdp.flume_user = flume node.json:3\nhdp.flume_group = flume node.json:4\nhdp.flume_conf_dir = /etc/flume/conf node.json:5\n\
             node.json:3:9: warning: : is not strict JSON, read all the same: bare keys (line 3), missing commas (line 4)",
        );
    }

    #[test]
    fn defaults_are_completed_and_the_users_values_win() {
        let node = Node::read(
            "f",
            r#"{"hdp": {"flume_user": "svc"}, "krb5_client": {}}"#,
            &around(),
        );
        assert_eq!(
            (node.host(), node.user(), node.group()),
            ("n1.a.test", "svc", "flume")
        );
        assert_eq!(node.principal().as_deref(), Some("flume/n1.a.test@A.TEST"));
        assert_eq!(
            node.keytab(),
            Path::new("/etc/flume/conf/flume.service.keytab")
        );
        assert!(node.diagnostics.is_empty());
        assert_eq!(Node::read("f", "{}", &around()).principal(), None);
    }

    #[test]
    fn nonsense_is_refused_at_its_place() {
        check(
            r#"{"host": "n1", "krb5_client": {}}"#,
            "host = n1 node.json:1\nnode.json:1:10: error: host: expected a host name with its domain, like \
             `node1.example.com`, found `n1` (set `host`)",
        );
        check(
            r#"{"hdp": {"flume_conf_dir": "conf"}}"#,
            "node.json:1:28: error: hdp.flume_conf_dir: expected an absolute path, found `conf`",
        );
        check(
            r#"{"hdp": {"flume_user": 1, "flume_grp": "x"}}"#,
            "node.json:1:24: error: hdp.flume_user: expected text, found a number\n\
             node.json:1:27: warning: hdp.flume_grp: unknown key, it has no effect (did you mean `hdp.flume_group`?)",
        );
        check(r#"{"host": "N1.A.test"}"#, "host = n1.a.test node.json:1");
        let realm = "the realm `A.TSET` is not in /etc/krb5.conf (not there): DNS is asked for its KDCs (did you mean \
                     `A.TEST`?)";
        check(
            r#"{"krb5_client": {"realm": "A.TSET"}}"#,
            &format!(
                "krb5_client.realm = A.TSET node.json:1\nnode.json:1:27: warning: krb5_client.realm: {realm}"
            ),
        );
        check(
            "[]",
            "node.json:1:1: error: : expected an object, found a list",
        );
    }

    #[test]
    fn the_password_is_found_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pw"), "from file\n").unwrap();
        fs::set_permissions(dir.path().join("pw"), fs::Permissions::from_mode(0o600)).unwrap();
        let name = dir.path().join("node.json").display().to_string();
        let with = |text: &str| {
            let around = Surroundings {
                password: Some(Secret("from environment".into())),
                ..around()
            };
            let node = Node::read(&name, text, &around);
            assert!(!format!("{:?}", node.effective().collect::<Vec<_>>()).contains("from"));
            (
                node.admin_password().map(|secret| secret.0.clone()),
                node.diagnostics.len(),
            )
        };
        assert_eq!(
            with(r#"{"krb5_client": {}}"#),
            (Some("from environment".into()), 0)
        );
        assert_eq!(
            with(r#"{"krb5_client": {"kadmin_password_file": "pw"}}"#),
            (Some("from file".into()), 0)
        );
        assert_eq!(
            with(r#"{"krb5_client": {"kadmin_password_file": "no"}}"#),
            (Some("from environment".into()), 1)
        );
        let both =
            r#"{"krb5_client": {"kadmin_password": "from here", "kadmin_password_file": "no"}}"#;
        assert_eq!(with(both), (Some("from here".into()), 0));
    }
}
