//! Config filters: where `${FILTER['KEY']}` finds its value.

use std::{
    cell::OnceCell,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use flume_conf::{ConfigFilter, NotFound};
use flume_core::{
    Code, Config, Diagnostic, Registry,
    config::{Property, Secret},
    props::{Props, Section, did_you_mean},
};
use flume_host::{
    child::{self, ChildError, Program},
    environment::Environment,
};
use flume_java::charset::Charset;
use flume_keystore::{KeyStore, KeyStoreError};

use crate::access::{Access, NotRun};

/// How long a program may take for one key.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);
/// What Hadoop takes as the password of a key store when nobody says one.
const DEFAULT_PASSWORD: &str = "none";
const PASSWORD_VARIABLE: &str = "HADOOP_CREDSTORE_PASSWORD";
/// A longer key store is none.
const MAX_STORE_BYTES: u64 = 16 << 20;
/// A longer file is no password.
const MAX_PASSWORD_BYTES: u64 = 1 << 20;

/// Each type by its short name and its class in Flume.
const TYPES: &[(&str, &str, FilterType)] = &[
    (
        "env",
        "org.apache.flume.configfilter.EnvironmentVariableConfigFilter",
        FilterType::Environment,
    ),
    (
        "external",
        "org.apache.flume.configfilter.ExternalProcessConfigFilter",
        FilterType::External,
    ),
    (
        "hadoop",
        "org.apache.flume.configfilter.HadoopCredentialStoreConfigFilter",
        FilterType::Hadoop,
    ),
];

#[derive(Clone, Copy)]
enum FilterType {
    Environment,
    External,
    Hadoop,
}

/// What every config filter has.
#[derive(Clone, Config)]
pub struct FilterConfig {
    /// `env`, `external` or `hadoop`.
    #[prop("type")]
    type_name: String,
}

/// A program that knows the values.
#[derive(Clone, Config)]
pub struct ExternalConfig {
    /// The program and its arguments, separated by blanks. The key is added as the last argument. There is no shell.
    #[prop("command")]
    command: String,
    /// Character set of what it prints.
    #[prop("charset", default = "UTF-8")]
    charset: Charset,
}

/// Hadoop's credential store.
#[derive(Clone, Config)]
pub struct HadoopConfig {
    /// Where the store is: `jceks://file/PATH` or `localjceks://file/PATH`. Several are separated by commas.
    #[prop("credential.provider.path")]
    path: String,
    /// A file with the store's password, below the directory given with `--conf`. The variable
    /// `HADOOP_CREDSTORE_PASSWORD` goes before it.
    #[prop("credstore.java-keystore-provider.password-file")]
    password_file: Option<PathBuf>,
}

/// The filter that a section describes. Runs nothing yet.
pub(crate) fn make(
    section: Section,
    conf_dir: Option<&Path>,
    access: &Access,
) -> (Option<Box<dyn ConfigFilter>>, Vec<Diagnostic>) {
    let mut props = Props::new(&Registry::EMPTY, section);
    let filter = FilterConfig::parse(&mut props).and_then(|frame| {
        let wanted = frame.type_name;
        let mut types = TYPES.iter();
        let found = types.find(|(short, class, _)| {
            wanted.eq_ignore_ascii_case(short) || wanted.eq_ignore_ascii_case(class)
        });
        let Some((_, _, kind)) = found else {
            let text = format!("there is no config filter of type `{wanted}`");
            let names = TYPES.iter().map(|(short, ..)| *short);
            let hint = did_you_mean(&wanted, names)
                .unwrap_or_else(|| "types are env, external and hadoop".into());
            props.report(Code::UnknownType, "type", &text, Some(hint));
            return None;
        };
        build(*kind, &mut props, conf_dir, access)
    });
    (filter, props.diagnostics)
}

fn build(
    kind: FilterType,
    props: &mut Props<'_>,
    conf_dir: Option<&Path>,
    access: &Access,
) -> Option<Box<dyn ConfigFilter>> {
    let with_frame = |own: Vec<Property>| [FilterConfig::properties(), own].concat();
    match kind {
        FilterType::Environment => {
            props.warn_unread(&FilterConfig::properties());
            Some(Box::new(EnvironmentFilter))
        }
        FilterType::External => {
            let config = ExternalConfig::parse(props)?;
            props.warn_unread(&with_frame(ExternalConfig::properties()));
            let words = config
                .command
                .split_whitespace()
                .map(String::from)
                .collect();
            let charset = config.charset;
            Some(Box::new(ExternalFilter {
                words,
                charset,
                limit: PROGRAM_TIMEOUT,
                late: OnceCell::new(),
                access: access.clone(),
            }))
        }
        FilterType::Hadoop => {
            let config = HadoopConfig::parse(props)?;
            props.warn_unread(&with_frame(HadoopConfig::properties()));
            let mut stores = vec![];
            for provider in config.path.split(',').map(str::trim) {
                match store_path(provider) {
                    Ok(path) => stores.push(path),
                    Err(why) => {
                        let key = "credential.provider.path";
                        props.report(Code::WrongValue, key, &why, None);
                        return None;
                    }
                }
            }
            let password_file = config.password_file.map(|file| match conf_dir {
                Some(directory) => directory.join(file),
                None => file,
            });
            Some(Box::new(HadoopFilter {
                stores,
                password_file,
                access: access.clone(),
            }))
        }
    }
}

fn not_found<T>(text: String, hint: Option<&str>) -> Result<T, NotFound> {
    let hint = hint.map(Into::into);
    Err(NotFound { text, hint })
}

struct EnvironmentFilter;

impl ConfigFilter for EnvironmentFilter {
    fn value(&self, key: &str) -> Result<String, NotFound> {
        env::var(key).or_else(|_| {
            not_found(
                format!("the environment has no variable {key}"),
                Some("set it where the agent is started"),
            )
        })
    }
}

struct ExternalFilter {
    words: Vec<String>,
    charset: Charset,
    /// How long the program may take for one key.
    limit: Duration,
    /// It took longer. It is not run for further keys, which would take as long again.
    late: OnceCell<String>,
    access: Access,
}

impl ConfigFilter for ExternalFilter {
    fn value(&self, key: &str) -> Result<String, NotFound> {
        let Some((program, arguments)) = self.words.split_first() else {
            return not_found("its command is empty".into(), None);
        };
        if let Some(late) = self.late.get() {
            return not_found(
                format!("{late} for another key, and is not run again"),
                None,
            );
        }
        let path = if program.contains('/') {
            Some(PathBuf::from(program))
        } else {
            child::find(program)
        };
        let Some(path) = path else {
            return not_found(
                format!("there is no program `{program}`"),
                Some("write its full path in `command`"),
            );
        };
        let mut arguments = arguments.to_vec();
        arguments.push(key.into());
        // This program is there to know secrets, and it may need one for that, such as a token: it has all variables.
        let run = Program::new(path, &arguments)
            .environment(Environment::without(|_| false))
            .limit(self.limit);
        let ended = match self.access.run(program, run) {
            Ok(ended) => ended,
            Err(NotRun::Refused(why)) => return Err(why),
            Err(NotRun::Failed(error)) => {
                if let ChildError::Late { .. } = error {
                    let _ = self.late.set(error.to_string());
                }
                return not_found(error.to_string(), None);
            }
        };
        if !ended.ok() {
            let status = ended.status;
            let said = ended.err.lines().last().unwrap_or_default().trim();
            return not_found(
                format!("`{program}` failed for the key `{key}`: {status}: {said}"),
                Some("run the command by hand, as the user that the agent runs as"),
            );
        }
        let text = self.charset.decode_lossy(&ended.out_bytes);
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.into()),
            _ => not_found(
                format!("`{program}` printed nothing for the key `{key}`"),
                None,
            ),
        }
    }
}

struct HadoopFilter {
    stores: Vec<PathBuf>,
    password_file: Option<PathBuf>,
    access: Access,
}

/// The file of a provider. Hadoop's stores on HDFS, and in a user's token file, cannot be read.
fn store_path(provider: &str) -> Result<PathBuf, String> {
    let rest = ["jceks://", "localjceks://", "bcfks://", "localbcfks://"]
        .iter()
        .find_map(|scheme| provider.strip_prefix(scheme).map(|rest| (*scheme, rest)));
    match rest {
        Some((scheme, _)) if scheme.contains("bcfks") => Err(format!(
            "`{provider}`: key stores of Bouncy Castle cannot be read; `hadoop credential create` makes a jceks one"
        )),
        Some((_, path)) => match path.split_once('/') {
            Some(("file", path)) => Ok(Path::new("/").join(path)),
            _ => Err(format!(
                "`{provider}` is not on a local file system; copy the store and write jceks://file/PATH"
            )),
        },
        None => Err(format!(
            "`{provider}` is not a store that can be read; write jceks://file/PATH"
        )),
    }
}

impl HadoopFilter {
    /// As Hadoop: the variable, then the file, then the word that everybody knows.
    fn password(&self) -> Result<Secret, NotFound> {
        if let Ok(password) = env::var(PASSWORD_VARIABLE) {
            return Ok(Secret(password));
        }
        let Some(file) = &self.password_file else {
            return Ok(Secret(DEFAULT_PASSWORD.into()));
        };
        let bytes = self.access.read(file, MAX_PASSWORD_BYTES)?;
        Ok(Secret(String::from_utf8_lossy(&bytes).trim().into()))
    }

    fn read(&self, path: &Path, password: &Secret) -> Result<KeyStore, NotFound> {
        let shown = path.display();
        let bytes = self.access.read(path, MAX_STORE_BYTES)?;
        KeyStore::read(&bytes, Some(&password.0)).or_else(|error| {
            let hint = match error {
                KeyStoreError::Digest => Some("HADOOP_CREDSTORE_PASSWORD holds the password"),
                _ => None,
            };
            not_found(format!("{shown}: {error}"), hint)
        })
    }
}

impl ConfigFilter for HadoopFilter {
    fn value(&self, key: &str) -> Result<String, NotFound> {
        let password = self.password()?;
        let mut absent = None;
        for path in &self.stores {
            let store = self.read(path, &password)?;
            match store.secret(key, &password.0) {
                Ok(secret) => {
                    return String::from_utf8(secret.bytes.to_vec()).or_else(|_| {
                        not_found(format!("the credential `{key}` is not a text"), None)
                    });
                }
                Err(error @ KeyStoreError::Missing { .. }) => {
                    absent = Some(format!("{}: {error}", path.display()));
                }
                Err(error) => return not_found(format!("{}: {error}", path.display()), None),
            }
        }
        not_found(
            absent.unwrap_or_else(|| "it names no store".into()),
            Some("`hadoop credential create ALIAS -provider PATH` adds one"),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_that_is_late_once_is_not_run_again() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("slow");
        fs::write(&program, "echo $1 >>$0.keys; sleep 600\n").unwrap();
        let filter = ExternalFilter {
            words: vec!["/bin/sh".into(), program.display().to_string()],
            charset: Charset::Ascii,
            limit: Duration::from_secs(1),
            access: Access::default(),
            late: OnceCell::new(),
        };
        let first = filter.value("one").unwrap_err();
        assert!(
            first.text.contains("did not end within 1 s"),
            "{}",
            first.text
        );
        let second = filter.value("two").unwrap_err();
        assert!(second.text.contains("not run again"), "{}", second.text);
        let keys = fs::read_to_string(directory.path().join("slow.keys")).unwrap();
        assert_eq!(keys, "one\n");
    }
}
