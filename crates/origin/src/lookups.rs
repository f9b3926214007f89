//! `${PREFIX:NAME}` as Flume 1.11 knows it, and what earlier versions and a `lookups.properties` add.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flume_conf::{ConfigFilter, LookedUp, Lookups, NotFound};
use flume_core::{
    Diagnostic,
    config::Scalar as _,
    props::{Section, did_you_mean},
    secrets::is_secret_name,
};
use flume_host::names;
use flume_java::{charset::Charset, date_format};
use jiff::Zoned;

pub use crate::access::Purpose;
use crate::{access::Access, filters, properties};

/// A longer file is not a value.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The property that names a file with the lookups that there are.
const LOOKUPS: &str = "lookups";
/// Where such a file is found without that property.
const LOOKUPS_FILE: &str = "lookups.properties";
/// The property that makes `${NAME}` a variable of the environment.
const IMPLEMENTATION: &str = "propertiesImplementation";
const ENVIRONMENT_RESOLVER: &str = "org.apache.flume.node.EnvVarResolverProperties";

/// A lookup that this program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lookup {
    Environment,
    SystemProperty,
    File,
    Date,
    Java,
    Base64Encoder,
    Base64Decoder,
    UrlEncoder,
    UrlDecoder,
    LocalHost,
    Properties,
}

/// Each with its prefix in lower case, and the name that `lookups.properties` has for it.
const KNOWN: &[(&str, &str, Lookup)] = &[
    ("env", "ENVIRONMENT", Lookup::Environment),
    ("sys", "SYSTEM_PROPERTIES", Lookup::SystemProperty),
    ("file", "FILE", Lookup::File),
    ("date", "DATE", Lookup::Date),
    ("java", "JAVA", Lookup::Java),
    ("base64encoder", "BASE64_ENCODER", Lookup::Base64Encoder),
    ("base64decoder", "BASE64_DECODER", Lookup::Base64Decoder),
    ("urlencoder", "URL_ENCODER", Lookup::UrlEncoder),
    ("urldecoder", "URL_DECODER", Lookup::UrlDecoder),
    ("localhost", "LOCAL_HOST", Lookup::LocalHost),
    ("properties", "PROPERTIES", Lookup::Properties),
];

/// Lookups of commons-text that are refused, with the reason.
const REFUSED: &[(&str, &str)] = &[
    (
        "script",
        "it would run a program that the configuration holds",
    ),
    ("const", "it reads a constant of a Java class"),
    ("resourcebundle", "it reads a bundle from Java's class path"),
    ("xml", "it is not built in"),
    (
        "url",
        "it is not built in; name the file as a configuration of its own, by --conf-uri",
    ),
    ("dns", "it is not built in"),
    ("loopbackaddress", "it is not built in"),
];

/// The lookups of this process.
pub struct ProcessLookups {
    properties: BTreeMap<String, String>,
    conf_dir: Option<PathBuf>,
    /// By prefix.
    table: BTreeMap<String, Lookup>,
    /// Whether `${NAME}` is a variable of the environment.
    bare_is_variable: bool,
    access: Access,
}

impl ProcessLookups {
    /// Reads `lookups.properties` if there is one. `properties` are Java's system properties that the command line and
    /// the environment set.
    ///
    /// # Errors
    /// That file cannot be read, may not be read for this purpose, or is wrong; or a resolver is asked for that there is
    /// not.
    pub fn new(
        properties: &BTreeMap<String, String>,
        conf_dir: Option<&Path>,
        purpose: Purpose,
    ) -> Result<ProcessLookups, String> {
        let access = Access::new(purpose);
        let bare_is_variable = match properties.get(IMPLEMENTATION).map(String::as_str) {
            None | Some("") | Some("java.util.Properties") => false,
            Some(ENVIRONMENT_RESOLVER) => true,
            Some(other) => {
                return Err(format!(
                    "-D{IMPLEMENTATION}={other}: this program has no such class; it has {ENVIRONMENT_RESOLVER}"
                ));
            }
        };
        let given = properties.get(LOOKUPS);
        let named = given.map_or(LOOKUPS_FILE, String::as_str);
        let in_conf_dir = conf_dir.map(|directory| directory.join(named));
        let places = [
            Some(PathBuf::from(named)).filter(|_| given.is_some()),
            in_conf_dir,
        ];
        let table = match places.into_iter().flatten().find(|path| path.is_file()) {
            Some(path) => read_table(&path, &access)?,
            None if given.is_some() => {
                return Err(format!("-D{LOOKUPS}={named}: there is no such file"));
            }
            None => KNOWN
                .iter()
                .map(|(prefix, _, lookup)| (prefix.to_string(), *lookup))
                .collect(),
        };
        Ok(ProcessLookups {
            properties: properties::with_defaults(properties),
            conf_dir: conf_dir.map(PathBuf::from),
            table,
            bare_is_variable,
            access,
        })
    }

    /// The files that lookups and config filters have read.
    pub fn files(&self) -> Vec<PathBuf> {
        self.access.files()
    }

    fn file(&self, name: &str) -> Result<String, NotFound> {
        let Some((charset, path)) = name.split_once(':') else {
            return missing(
                format!("${{file:{name}}} names no character set"),
                "write ${file:UTF-8:PATH}",
            );
        };
        let charset = Charset::parse(charset).map_err(|expected| NotFound {
            text: format!("${{file:{name}}}: `{charset}` is not a character set"),
            hint: Some(format!("expected {expected}")),
        })?;
        let bytes = self.read(Path::new(path), &format!("${{file:{name}}}"))?;
        Ok(charset.decode_lossy(&bytes))
    }

    fn read(&self, path: &Path, asked: &str) -> Result<Vec<u8>, NotFound> {
        let read = self.access.read(path, MAX_FILE_BYTES);
        read.map_err(|NotFound { text, hint }| NotFound {
            text: format!("{asked}: {text}"),
            hint,
        })
    }

    /// `FILE::KEY`, as commons-text has it.
    fn property_of_file(&self, name: &str) -> Result<String, NotFound> {
        let asked = format!("${{properties:{name}}}");
        let Some((path, key)) = name.split_once("::") else {
            return missing(
                format!("{asked} names no key"),
                "write ${properties:FILE::KEY}",
            );
        };
        let bytes = self.read(Path::new(path), &asked)?;
        let (text, _) = flume_conf::properties::decode(&path.into(), &bytes);
        let entries = flume_conf::properties::parse(&path.into(), &text).entries;
        let found = entries.into_iter().rev().find(|entry| entry.key == key);
        found.map(|entry| entry.value).ok_or_else(|| NotFound {
            text: format!("{asked}: {path} has no key `{key}`"),
            hint: None,
        })
    }

    fn system_property(&self, name: &str) -> Result<String, NotFound> {
        self.properties.get(name).cloned().ok_or_else(|| {
            let near = did_you_mean(name, self.properties.keys().map(String::as_str));
            NotFound {
                text: format!("${{sys:{name}}}: there is no system property `{name}`"),
                hint: Some(near.unwrap_or_else(|| {
                    format!("start with -D{name}=VALUE, or write a default: ${{sys:{name}:-VALUE}}")
                })),
            }
        })
    }
}

fn missing<T>(text: String, hint: &str) -> Result<T, NotFound> {
    let hint = Some(hint.into());
    Err(NotFound { text, hint })
}

/// `PREFIX = org.apache.commons.text.lookup.DefaultStringLookup.NAME`, which replaces all that there are by default.
fn read_table(path: &Path, access: &Access) -> Result<BTreeMap<String, Lookup>, String> {
    let bytes = access
        .read_settings(path, MAX_FILE_BYTES)
        .map_err(|NotFound { text, hint }| format!("{text}; {}", hint.unwrap_or_default()))?;
    let file = path.display().to_string().as_str().into();
    let (text, _) = flume_conf::properties::decode(&file, &bytes);
    let mut table = BTreeMap::new();
    for entry in flume_conf::properties::parse(&file, &text).entries {
        let name = entry.value.trim().rsplit('.').next().unwrap_or_default();
        let known = KNOWN.iter().find(|(_, known, _)| *known == name);
        let Some((_, _, lookup)) = known else {
            let names: Vec<_> = KNOWN.iter().map(|(_, name, _)| *name).collect();
            return Err(format!(
                "{}: {}: the value is not a lookup of this program; it has {}",
                entry.value_place,
                entry.key,
                names.join(", ")
            ));
        };
        table.insert(entry.key.to_lowercase(), *lookup);
    }
    Ok(table)
}

impl Lookups for ProcessLookups {
    fn prefixed(&self, prefix: &str, name: &str) -> Result<LookedUp, NotFound> {
        let asked = format!("${{{prefix}:{name}}}");
        let Some(lookup) = self.table.get(prefix) else {
            let refused = REFUSED.iter().find(|(refused, _)| *refused == prefix);
            let known: Vec<_> = self.table.keys().map(String::as_str).collect();
            return match refused {
                Some((_, why)) => missing(format!("{asked}: the lookup `{prefix}` is off"), why),
                None => missing(
                    format!("{asked}: there is no lookup `{prefix}`"),
                    &did_you_mean(prefix, known.iter().copied())
                        .unwrap_or_else(|| format!("lookups are {}", known.join(", "))),
                ),
            };
        };
        let text = match lookup {
            Lookup::Environment => variable(name)?,
            Lookup::SystemProperty => self.system_property(name)?,
            // A file usually ends with a line feed, and a value never does.
            Lookup::File => self.file(name)?.trim_end_matches(['\n', '\r']).into(),
            Lookup::Date => date_format::format(name, &Zoned::now()).map_err(|why| NotFound {
                text: format!("{asked}: {why}"),
                hint: Some("the pattern is one of java.text.SimpleDateFormat".into()),
            })?,
            Lookup::Java => java(name)?,
            Lookup::Base64Encoder => STANDARD.encode(name),
            Lookup::Base64Decoder => decoded(STANDARD.decode(name).ok(), &asked, "Base64")?,
            Lookup::UrlEncoder => url_encoded(name),
            Lookup::UrlDecoder => decoded(url_decoded(name), &asked, "an encoded URL")?,
            Lookup::LocalHost => local_host(name)?,
            Lookup::Properties => self.property_of_file(name)?,
        };
        let secret = match lookup {
            Lookup::File | Lookup::Properties | Lookup::Base64Decoder => true,
            _ => is_secret_name(name),
        };
        Ok(LookedUp { text, secret })
    }

    fn bare(&self, name: &str) -> Result<LookedUp, NotFound> {
        if self.bare_is_variable {
            let secret = is_secret_name(name);
            return variable(name).map(|text| LookedUp { text, secret });
        }
        let hint = if env::var_os(name).is_some() {
            format!(
                "${{env:{name}}} is the variable of the environment; -D{IMPLEMENTATION}={ENVIRONMENT_RESOLVER} makes \
                 ${{{name}}} mean it, too"
            )
        } else {
            format!("write a default: ${{{name}:-VALUE}}")
        };
        missing(
            format!("${{{name}}}: the configuration has no key `{name}`"),
            &hint,
        )
    }

    fn filter(&self, section: Section) -> (Option<Box<dyn ConfigFilter>>, Vec<Diagnostic>) {
        filters::make(section, self.conf_dir.as_deref(), &self.access)
    }
}

fn variable(name: &str) -> Result<String, NotFound> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(env::VarError::NotUnicode(_)) => missing(
            format!("${{env:{name}}}: the variable {name} is not UTF-8"),
            "give it a text",
        ),
        Err(env::VarError::NotPresent) => missing(
            format!("${{env:{name}}}: the environment has no variable {name}"),
            &format!(
                "set {name} where the agent is started (flume-env.sh, the unit), or write a default: \
                 ${{env:{name}:-VALUE}}"
            ),
        ),
    }
}

/// Facts about a JVM. There is none; what is not about the JVM itself is answered.
fn java(name: &str) -> Result<String, NotFound> {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    match name {
        "os" => Ok(format!(
            "{} {}, architecture: {}",
            text(system.sysname()),
            text(system.release()),
            properties::java_arch()
        )),
        "hardware" => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let arch = properties::java_arch();
            Ok(format!("processors: {processors}, architecture: {arch}"))
        }
        "locale" => {
            let (language, country) = properties::language();
            let locale = [language, country].join("_");
            let locale = locale.trim_end_matches('_');
            Ok(format!(
                "default locale: {locale}, platform encoding: UTF-8"
            ))
        }
        _ => missing(
            format!("${{java:{name}}}: this program is not a JVM"),
            "java:os, java:hardware and java:locale are there",
        ),
    }
}

fn local_host(name: &str) -> Result<String, NotFound> {
    let found = match name {
        "name" => Some(names::own_name()),
        "canonical-name" => Some(names::canonical_host_name()),
        "address" => names::address_of(&names::own_name()).map(|address| address.to_string()),
        _ => {
            let text = format!("${{localhost:{name}}} is not known");
            return missing(text, "write name, canonical-name or address");
        }
    };
    found.ok_or_else(|| NotFound {
        text: "${localhost:address}: this host's name has no address".into(),
        hint: Some("add the name to /etc/hosts".into()),
    })
}

fn decoded(bytes: Option<Vec<u8>>, asked: &str, what: &str) -> Result<String, NotFound> {
    match bytes.map(String::from_utf8) {
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) => missing(
            format!("{asked}: what it holds is not UTF-8"),
            "encode a text",
        ),
        None => missing(format!("{asked} is not {what}"), "encode it again"),
    }
}

/// As `java.net.URLEncoder` with UTF-8.
fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.*".contains(&b) => encoded.push(char::from(b)),
            b => encoded += &format!("%{b:02X}"),
        }
    }
    encoded
}

fn url_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest
                    .get(..2)
                    .filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}
