//! How the JVM is started: with the class path and the options that the start script of Flume would give it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Child,
    sync::OnceLock,
};

use flume_core::{
    foreign::Hosting,
    secrets::{is_secret_name, is_secret_variable, masked},
};
use flume_host::{child, environment::Environment, replace};

use crate::connection::HostError;

/// The program that runs in the JVM; `java/build.sh` makes it.
const HOST_JAR: &[u8] = include_bytes!("../host.jar");
const SCRIPT: &str = include_str!("../java/launch.sh");
/// Where packages put Flume, if FLUME_HOME does not say.
const USUAL_HOMES: &[&str] = &[
    "/opt/flume",
    "/usr/lib/flume",
    "/usr/lib/flume-ng",
    "/opt/cloudera/parcels/CDH/lib/flume-ng",
    "/usr/hdp/current/flume-server",
];

/// What the command line says about the JVM.
#[derive(Clone, Debug, Default)]
pub struct JavaOptions {
    /// The directory given with `--conf`.
    pub conf: Option<PathBuf>,
    /// `--classpath`.
    pub class_path: Option<OsString>,
    /// `--plugins-path`.
    pub plugins: Option<OsString>,
    /// `-D` properties.
    pub properties: BTreeMap<String, String>,
    /// `-X…` and other options of a JVM, in their order.
    pub options: Vec<String>,
    /// A directory of the agent's own, for the program that runs in the JVM.
    pub state_dir: PathBuf,
}

static OPTIONS: OnceLock<JavaOptions> = OnceLock::new();

/// Says once, before anything is configured, how a JVM would be started.
pub fn set_java_options(options: JavaOptions) {
    // A second call is that of a second agent in one process, which shares the JVM.
    let _ = OPTIONS.set(options);
}

/// Before a class that is to run in the JVM although this program has the component: `java:org.apache.flume…`.
const FORCED: &str = "java:";

/// The class that is meant.
pub(crate) fn class_name(written: &str) -> &str {
    written.strip_prefix(FORCED).unwrap_or(written)
}

/// Whether a JVM would run this class here.
pub(crate) fn takes(class: &str) -> Hosting {
    if !is_class(class_name(class)) {
        return Hosting::Refuses;
    }
    match installation() {
        Ok(_) => Hosting::Takes,
        Err(remedy) => Hosting::Unavailable(remedy.clone()),
    }
}

/// A class in a package: `org.example.Sink`, `org.example.Interceptor$Builder`.
fn is_class(name: &str) -> bool {
    let is_part = |part: &str| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|first| first.is_alphabetic() || "_$".contains(first))
            && characters.all(|c| c.is_alphanumeric() || "_$".contains(c))
    };
    name.contains('.') && name.split('.').all(is_part)
}

/// Flume's directory, with its jars; else what is missing.
fn installation() -> &'static Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| look_for_installation(std::env::var_os("FLUME_HOME"), has_java()))
}

fn look_for_installation(home: Option<OsString>, java: bool) -> Result<PathBuf, String> {
    let homes: Vec<PathBuf> = match home.filter(|home| !home.is_empty()) {
        Some(home) => vec![home.into()],
        None => USUAL_HOMES.iter().map(PathBuf::from).collect(),
    };
    let looked: Vec<_> = homes
        .iter()
        .map(|home| home.display().to_string())
        .collect();
    let Some(home) = homes.into_iter().find(|home| has_flume(home)) else {
        return Err(format!(
            "it would run in a JVM: set FLUME_HOME to the directory of Java Flume, \
             with lib/flume-ng-core-*.jar (looked into {})",
            looked.join(", ")
        ));
    };
    if !java {
        return Err("it would run in a JVM: install a Java runtime, or set JAVA_HOME".into());
    }
    Ok(home)
}

fn has_flume(home: &Path) -> bool {
    let jars = fs::read_dir(home.join("lib"))
        .into_iter()
        .flatten()
        .flatten();
    jars.map(|jar| jar.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("flume-ng-core") && name.ends_with(".jar")
    })
}

fn has_java() -> bool {
    let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    home.is_some_and(|home| home.join("bin/java").is_file()) || child::find("java").is_some()
}

/// Starts the JVM.
///
/// # Errors
/// Something is missing, or the system refuses.
pub(crate) fn start() -> Result<Child, HostError> {
    let home = installation()
        .as_ref()
        .map_err(|remedy| HostError::Gone(remedy.clone()))?;
    let options = OPTIONS.get().cloned().unwrap_or_default();
    start_with(options, home)
}

fn start_with(options: JavaOptions, home: &Path) -> Result<Child, HostError> {
    let jar = write_jar(&options.state_dir)?;
    let mut environment = Environment::without(is_secret_variable)
        .with("FLUME_HOST_HOME", home.as_os_str())
        .with("FLUME_HOST_JAR", jar.as_os_str());
    if let Some(class_path) = &options.class_path {
        environment = environment.with("FLUME_HOST_CLASSPATH", class_path);
    }
    if let Some(plugins) = &options.plugins {
        environment = environment.with("FLUME_HOST_PLUGINS", plugins);
    }
    let conf = options.conf.unwrap_or_default();
    let (secret, open): (Vec<_>, Vec<_>) = options
        .properties
        .iter()
        .partition(|(key, value)| is_secret(key, value));
    let properties = open
        .iter()
        .map(|(key, value)| format!("-D{key}={value}").into());
    let mut arguments: Vec<OsString> = vec!["-c".into(), SCRIPT.into(), "flume-jvm".into()];
    arguments.push(conf.into());
    arguments.extend(logging_properties().map(OsString::from));
    arguments.extend(properties);
    arguments.extend(options.options.into_iter().map(OsString::from));
    let failed = |error| HostError::Gone(format!("failed to start /bin/sh for a JVM: {error}"));
    let mut child = child::spawn_piped("/bin/sh", &arguments, &environment).map_err(failed)?;
    if let Some(stdin) = &mut child.stdin {
        // A JVM that ends without reading says itself why.
        let _ = stdin.write_all(&secret_properties(&secret));
    }
    Ok(child)
}

/// Whether a system property must not stand on a command line, where `ps` shows it to everybody.
fn is_secret(key: &str, value: &str) -> bool {
    is_secret_name(key) || masked(value) != value
}

/// What the JVM reads before the first frame: a count, then names and values, each with its length.
fn secret_properties(properties: &[(&String, &String)]) -> Vec<u8> {
    let number = |bytes: &mut Vec<u8>, number: usize| {
        bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    };
    let mut bytes = vec![];
    number(&mut bytes, properties.len());
    for (key, value) in properties {
        for text in [key, value] {
            number(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// Lines of standard error with their level, whichever logging library is on the class path. What the user says about
/// logging comes later on the command line, and wins.
fn logging_properties() -> [&'static str; 4] {
    [
        "-Dlog4j2.configurationFile=classpath:flume/host/log4j2.xml",
        "-Dlog4j.configuration=flume/host/log4j.properties",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-Djava.awt.headless=true",
    ]
}

/// The program that runs in the JVM, as a file that the JVM can read.
fn write_jar(state_dir: &Path) -> Result<PathBuf, HostError> {
    let path = state_dir.join("flume-host.jar");
    let failed = |error| HostError::Gone(format!("failed to write {}: {error}", path.display()));
    if fs::read(&path).is_ok_and(|bytes| bytes == HOST_JAR) {
        return Ok(path);
    }
    fs::create_dir_all(state_dir).map_err(failed)?;
    replace::replace(&path, HOST_JAR, 0o644).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_from_a_short_name() {
        for class in ["org.example.Sink", "com.x.Y$Builder", "a.b_2.C"] {
            assert!(is_class(class), "{class}");
        }
        assert_eq!(class_name("java:org.example.Sink"), "org.example.Sink");
        for other in ["hdfs", "", "org..Sink", "a.b-c.D", "1.2.3", "http://x.y/z"] {
            assert!(!is_class(other), "{other}");
        }
    }

    /// A program in the place of Java keeps its command line, its environment and what it reads.
    #[test]
    fn no_secret_stands_on_the_command_line_or_in_the_environment() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("java/bin")).unwrap();
        let kept = home.path().display();
        let java = format!(
            "#!/bin/sh\ncat /proc/$$/cmdline /proc/$PPID/cmdline /proc/$$/environ >{kept}/seen\n\
             cat <&3 >{kept}/read\n"
        );
        fs::write(at("java/bin/java"), java).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(at("java/bin/java"), mode).unwrap();
        let environment = format!(
            "JAVA_HOME={kept}/java\nexport JAVA_OPTS='-Dsite.password=hush-6' FLUME_JAVA_OPTS=-Db.password=hush-7\n"
        );
        fs::write(at("flume-env.sh"), environment).unwrap();
        let mut properties = BTreeMap::from([("open".into(), "seen by all".into())]);
        let secret = [
            ("javax.net.ssl.keyStorePassword", "hush-1"),
            ("javax.net.ssl.trustStorePassword", "hush-ü 2"),
            ("my.api-token", "hush-3"),
            ("fs.s3a.secret.key", "hush-4"),
            ("url", "s3a://KEY:hush-5@bucket/x"),
        ];
        for (key, value) in secret {
            properties.insert(key.into(), value.into());
        }
        let options = JavaOptions {
            conf: Some(home.path().into()),
            properties,
            state_dir: home.path().into(),
            ..JavaOptions::default()
        };
        let mut child = start_with(options, home.path()).unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        let seen = String::from_utf8_lossy(&fs::read(at("seen")).unwrap()).into_owned();
        assert!(seen.contains("-Dopen=seen by all"), "{seen}");
        assert!(!seen.contains("hush"), "{seen}");
        let read = fs::read(at("read")).unwrap();
        assert_eq!(read[..4], [0, 0, 0, 5]);
        let read = String::from_utf8_lossy(&read).into_owned();
        for (key, value) in secret {
            assert!(read.contains(key) && read.contains(value), "{key}: {read}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let home = tempfile::tempdir().unwrap();
        let set = || Some(home.path().into());
        let remedy = look_for_installation(set(), true).unwrap_err();
        assert!(remedy.contains("set FLUME_HOME"), "{remedy}");
        assert!(
            remedy.contains(&home.path().display().to_string()),
            "{remedy}"
        );
        fs::create_dir(home.path().join("lib")).unwrap();
        fs::write(home.path().join("lib/flume-ng-core-1.11.0.jar"), "").unwrap();
        let remedy = look_for_installation(set(), false).unwrap_err();
        assert!(remedy.contains("JAVA_HOME"), "{remedy}");
        assert_eq!(
            look_for_installation(set(), true).as_deref(),
            Ok(home.path())
        );
    }
}
