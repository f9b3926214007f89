//! Configurations of logging as users have them, and files that roll.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use flume_logging::{
    LogSettings,
    plan::{AppenderTarget, FilePlan, LogPlan, Numbers},
    rolling::RollingFile,
};
use jiff::{ToSpan, Zoned};

/// What Flume 1.10 and later ship.
const SHIPPED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Properties>
    <Property name="LOG_DIR">.</Property>
  </Properties>
  <Appenders>
    <Console name="Console" target="SYSTEM_ERR">
      <PatternLayout pattern="%d (%t) [%p - %l] %m%n" />
    </Console>
    <RollingFile name="LogFile" fileName="${LOG_DIR}/flume.log" filePattern="${LOG_DIR}/archive/flume.log.%d{yyyyMMdd}-%i">
      <PatternLayout pattern="%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] (%C.%M:%L) %equals{%x}{[]}{} - %m%n" />
      <Policies>
        <SizeBasedTriggeringPolicy size="100 MB"/>
        <CronTriggeringPolicy schedule="0 0 0 * * ?"/>
      </Policies>
      <DefaultRolloverStrategy min="1" max="20">
        <Delete basePath="${LOG_DIR}/archive">
          <IfFileName glob="flume.log.*">
            <IfAccumulatedFileSize exceeds="1 GB"/>
          </IfFileName>
        </Delete>
      </DefaultRolloverStrategy>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.flume.lifecycle" level="info"/>
    <Logger name="org.jboss" level="WARN"/>
    <Logger name="org.apache.hadoop" level="INFO"/>
    <Root level="INFO">
      <AppenderRef ref="LogFile"/>
    </Root>
  </Loggers>
</Configuration>"#;

fn shown(plan: &LogPlan) -> String {
    let mut lines = vec![];
    for logger in &plan.loggers {
        let level = logger.level.map_or("-".into(), |level| level.to_string());
        lines.push(format!(
            "{}={level} {}",
            logger.name,
            logger.appenders.join("+")
        ));
    }
    for appender in &plan.appenders {
        lines.push(match &appender.target {
            AppenderTarget::Console { error } => format!("{}: console {error}", appender.name),
            AppenderTarget::Null => format!("{}: null", appender.name),
            AppenderTarget::File(file) => format!(
                "{}: {} {:?} {:?} {:?} {} {}..{} {} cleanups",
                appender.name,
                file.path.display(),
                file.rolled,
                file.max_bytes,
                file.interval,
                file.schedule.is_some(),
                file.numbers.min,
                file.numbers.max,
                file.cleanups.len()
            ),
        });
    }
    lines.extend(plan.notes.iter().map(|note| format!("! {note}")));
    lines.join("\n")
}

fn plan(files: &[(&str, &str)], properties: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let properties = properties
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    let settings = LogSettings {
        properties: properties.collect::<BTreeMap<_, _>>(),
        conf_dir: Some(directory.path().into()),
    };
    let shown = shown(&settings.plan());
    shown.replace(&directory.path().display().to_string(), "CONF")
}

#[test]
fn flumes_own_file() {
    let expected = "=info LogFile\norg.apache.flume.lifecycle=info \norg.jboss=warn \norg.apache.hadoop=info \n\
                    Console: console true\n\
                    LogFile: ./flume.log Some(\"./archive/flume.log.%d{yyyyMMdd}-%i\") Some(104857600) None true 1..20 \
                    1 cleanups";
    assert_eq!(plan(&[("log4j2.xml", SHIPPED)], &[]), expected);
    let with_root = plan(
        &[("log4j2.xml", SHIPPED)],
        &[("flume.root.logger", "DEBUG,console")],
    );
    assert!(with_root.starts_with("=debug Console\n"), "{with_root}");
    let with_file = plan(
        &[("log4j2.xml", SHIPPED)],
        &[("flume.root.logger", "WARN,LOGFILE")],
    );
    assert!(with_file.starts_with("=warn LogFile\n"), "{with_file}");
}

#[test]
fn a_file_of_log4j_1() {
    let text = "flume.root.logger=INFO,LOGFILE\nflume.log.dir=/var/log\nlog4j.rootLogger=${flume.root.logger}\n\
                log4j.logger.org.apache.hadoop = ERROR, audit\nlog4j.additivity.org.apache.hadoop = false\n\
                log4j.appender.LOGFILE=org.apache.log4j.RollingFileAppender\n\
                log4j.appender.LOGFILE.MaxFileSize=5MB\nlog4j.appender.LOGFILE.MaxBackupIndex=3\n\
                log4j.appender.LOGFILE.File=${flume.log.dir}/x.log\n\
                log4j.appender.LOGFILE.layout.ConversionPattern=%m%n\n\
                log4j.appender.audit=org.apache.log4j.DailyRollingFileAppender\nlog4j.appender.audit.File=a.log\n\
                log4j.appender.other=org.apache.log4j.net.SocketAppender\n";
    let expected = "=info LOGFILE\norg.apache.hadoop=error audit\n\
                    LOGFILE: /var/log/x.log Some(\"/var/log/x.log.%i\") Some(5242880) None false 1..3 0 cleanups\n\
                    audit: a.log Some(\"a.log%d{'.'yyyy-MM-dd}\") None Some(1) false 1..7 0 cleanups";
    assert_eq!(plan(&[("log4j.properties", text)], &[]), expected);
    let changed = plan(&[("log4j.properties", text)], &[("flume.log.dir", "/x")]);
    assert!(changed.contains("LOGFILE: /x/x.log"), "{changed}");
    let socket = plan(
        &[("log4j.properties", text)],
        &[("flume.root.logger", "INFO,other")],
    );
    assert!(socket.contains("other: console true"), "{socket}");
}

#[test]
fn without_a_file_flumes_old_defaults_count() {
    let of = |properties: &[(&str, &str)]| plan(&[], properties);
    assert_eq!(of(&[]), "=info console\nconsole: console true");
    assert_eq!(
        of(&[("flume.root.logger", "DEBUG")]),
        "=debug console\nconsole: console true"
    );
    let file = of(&[("flume.log.dir", "/l"), ("flume.log.file", "x.log")]);
    let rolled =
        "LOGFILE: /l/x.log Some(\"/l/x.log.%i\") Some(104857600) None false 1..10 0 cleanups";
    assert_eq!(file, format!("=info LOGFILE\n{rolled}"));
    let absolute = of(&[("flume.log.dir", "/l"), ("flume.log.file", "/abs/x.log")]);
    assert!(absolute.contains("LOGFILE: /abs/x.log "), "{absolute}");
    let both = of(&[
        ("flume.root.logger", "WARN,console,DAILY"),
        ("flume.log.dir", "/l"),
    ]);
    assert!(both.starts_with("=warn console+DAILY\n"), "{both}");
    assert!(
        both.contains("DAILY: /l/flume.log Some(\"/l/flume.log.%d{yyyy-MM-dd}\")"),
        "{both}"
    );
}

#[test]
fn what_is_not_understood_is_told() {
    let check = |files: &[(&str, &str)], properties: &[(&str, &str)], expected: &str| {
        let seen = plan(files, properties);
        assert!(seen.contains(expected), "{seen}");
    };
    let wrap = |inner: &str| format!("<Configuration>{inner}</Configuration>");
    check(
        &[("log4j2.xml", "<x/>")],
        &[],
        "! CONF/log4j2.xml: its outermost element is `x`",
    );
    check(&[("log4j2.xml", "<")], &[], "! CONF/log4j2.xml: ");
    check(
        &[("log4j2.yaml", "x")],
        &[],
        "! CONF/log4j2.yaml is not read",
    );
    check(
        &[],
        &[("log4j2.configurationFile", "/no/such")],
        "there is no such file",
    );
    let appender = "<Appenders><Kafka name='k'/></Appenders><Loggers><Root><AppenderRef ref='k'/></Root></Loggers>";
    check(
        &[("log4j2.xml", &wrap(appender))],
        &[],
        "! appenders of type `Kafka` are not built in",
    );
    let missing = "<Loggers><Root level='info'><AppenderRef ref='k'/></Root></Loggers>";
    check(
        &[("log4j2.xml", &wrap(missing))],
        &[],
        "! there is no appender `k`",
    );
    let level = "<Loggers><Root level='loud'/></Loggers>";
    check(
        &[("log4j2.xml", &wrap(level))],
        &[],
        "! `loud` is not a level",
    );
    check(
        &[("log4j.properties", "a=b\n")],
        &[],
        "it has no `log4j.rootLogger`",
    );
    let delete = "<Appenders><RollingFile name='f' fileName='x' filePattern='x.%i'><DefaultRolloverStrategy><Delete \
                  basePath='/'/></DefaultRolloverStrategy></RollingFile></Appenders>";
    check(
        &[("log4j2.xml", &wrap(delete))],
        &[],
        "! a `Delete` without a condition has no effect",
    );
}

fn names(directory: &Path) -> Vec<String> {
    let mut names = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            names.extend(
                self::names(&path)
                    .into_iter()
                    .map(|inner| format!("{name}/{inner}")),
            );
        } else {
            names.push(format!(
                "{name}={}",
                fs::read_to_string(&path)
                    .unwrap_or("(packed)".into())
                    .trim()
            ));
        }
    }
    names.sort();
    names
}

struct Rolling {
    directory: tempfile::TempDir,
    file: RollingFile,
    now: Zoned,
}

impl Rolling {
    fn new(change: impl FnOnce(&mut FilePlan, &Path)) -> Rolling {
        let directory = tempfile::tempdir().unwrap();
        let now: Zoned = "2026-02-27T23:00:00[UTC]".parse().unwrap();
        let mut plan = FilePlan {
            path: directory.path().join("x.log"),
            append: true,
            ..FilePlan::default()
        };
        change(&mut plan, directory.path());
        let file = RollingFile::open(plan, &now).unwrap();
        Rolling {
            directory,
            file,
            now,
        }
    }

    fn write(&mut self, text: &str, hours: i64) {
        self.now = self.now.checked_add(hours.hours()).unwrap();
        self.file.write(&format!("{text}\n"), &self.now).unwrap();
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(names(self.directory.path()), expected);
    }
}

fn named(directory: &Path, name: &str) -> Option<String> {
    Some(directory.join(name).display().to_string())
}

#[test]
fn a_file_rolls_by_size_with_the_newest_last_or_first() {
    let mut last = Rolling::new(|plan, directory| {
        plan.max_bytes = Some(2);
        plan.rolled = named(directory, "old/x.%i");
        plan.numbers.max = 2;
    });
    for text in ["a", "b", "c", "d"] {
        last.write(text, 0);
    }
    last.check(&["old/x.1=b", "old/x.2=c", "x.log=d"]);
    let mut first = Rolling::new(|plan, directory| {
        plan.max_bytes = Some(2);
        plan.rolled = named(directory, "x.log.%i");
        plan.numbers = Numbers {
            min: 1,
            max: 2,
            newest_first: true,
        };
    });
    for text in ["a", "b", "c", "d"] {
        first.write(text, 0);
    }
    first.check(&["x.log.1=c", "x.log.2=b", "x.log=d"]);
}

#[test]
fn a_file_rolls_by_time_and_is_named_by_when_it_was_begun() {
    let mut daily = Rolling::new(|plan, directory| {
        plan.interval = Some(1);
        plan.rolled = named(directory, "x.%d{yyyyMMdd}");
    });
    for hours in [0, 2, 24, 1] {
        daily.write("a", hours);
    }
    daily.check(&["x.20260227=a", "x.20260228=a", "x.log=a\na"]);
    let mut nightly = Rolling::new(|plan, directory| {
        plan.schedule = flume_logging::cron::Cron::parse("0 0 0 * * ?");
        plan.rolled = named(directory, "x.%d{yyyyMMdd}-%i.gz");
    });
    nightly.write("a", 0);
    nightly.write("b", 2);
    nightly.check(&["x.20260227-1.gz=(packed)", "x.log=b"]);
}

#[test]
fn full_files_are_removed_by_conditions() {
    let mut rolling = Rolling::new(|plan, directory| {
        plan.max_bytes = Some(2);
        plan.rolled = named(directory, "old/x.%i");
        plan.numbers.max = 100;
        plan.cleanups = vec![flume_logging::plan::Cleanup {
            directory: directory.join("old"),
            depth: 1,
            names: Some(regex::Regex::new("^x.*$").unwrap()),
            bytes: Some(5),
            ..Default::default()
        }];
    });
    fs::create_dir(rolling.directory.path().join("old")).unwrap();
    fs::write(rolling.directory.path().join("old/keep"), "much text here").unwrap();
    for text in ["a", "b", "c", "d", "e"] {
        rolling.write(text, 0);
        std::thread::sleep(std::time::Duration::from_millis(15));
    }
    let left: Vec<_> = names(rolling.directory.path());
    assert_eq!(
        left.iter().filter(|name| name.starts_with("old/x")).count(),
        2,
        "{left:?}"
    );
    assert!(
        left.contains(&"old/keep=much text here".to_string()),
        "{left:?}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let plan = FilePlan {
        path: PathBuf::from(directory.path()),
        ..FilePlan::default()
    };
    assert!(RollingFile::open(plan, &Zoned::now()).is_err());
}
