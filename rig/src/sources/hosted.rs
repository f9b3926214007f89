//! Flume's own classes in the JVM of this program, beside Java Flume: the same lanes once more.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{LANES, Lane, judge, observe, observe_running};
use crate::{
    agents::{Maker, Running, install_java, java_dir},
    report::Report,
};

/// Types of components, and the classes that Flume has for them.
#[rustfmt::skip]
const CLASSES: &[(&str, &str)] = &[
    ("netcat", "org.apache.flume.source.NetcatSource"),
    ("http", "org.apache.flume.source.http.HTTPSource"),
    ("exec", "org.apache.flume.source.ExecSource"),
    ("spooldir", "org.apache.flume.source.SpoolDirectorySource"),
    ("TAILDIR", "org.apache.flume.source.taildir.TaildirSource"),
    ("syslogtcp", "org.apache.flume.source.SyslogTcpSource"),
    ("multiport_syslogtcp", "org.apache.flume.source.MultiportSyslogTCPSource"),
    ("syslogudp", "org.apache.flume.source.SyslogUDPSource"),
    ("regex_filter", "org.apache.flume.interceptor.RegexFilteringInterceptor$Builder"),
    ("regex_extractor", "org.apache.flume.interceptor.RegexExtractorInterceptor$Builder"),
    ("search_replace", "org.apache.flume.interceptor.SearchAndReplaceInterceptor$Builder"),
    ("remove_header", "org.apache.flume.interceptor.RemoveHeaderInterceptor$Builder"),
    ("static", "org.apache.flume.interceptor.StaticInterceptor$Builder"),
    ("host", "org.apache.flume.interceptor.HostInterceptor$Builder"),
    ("timestamp", "org.apache.flume.interceptor.TimestampInterceptor$Builder"),
    ("file_roll", "org.apache.flume.sink.RollingFileSink"),
];

/// Every lane with all its sources, interceptors and sinks in the JVM.
pub fn show(report: &mut Report) -> Result<()> {
    install_java()?;
    for lane in LANES {
        let name = format!("{} in the JVM", lane.name);
        let both = observe(Maker::Java, lane)
            .context("Java Flume")
            .and_then(|java| Ok((java, observe_hosted(lane).context("hosted")?)));
        match both {
            Ok((java, hosted)) => judge(report, &name, &java, &hosted),
            Err(error) => report.row(&name, format!("{error:#}"), "to run", false),
        }
    }
    Ok(())
}

fn observe_hosted(lane: &Lane) -> Result<super::Seen> {
    let prepare = |dir: &Path| {
        fs::create_dir(dir.join("files2"))?;
        (lane.prepare)(dir)
    };
    let home = java_dir().canonicalize()?.display().to_string();
    let environment = [("FLUME_HOME".to_string(), home)];
    let text = hosted(&lane.configuration());
    let agent = Running::prepare_with(Maker::Ours, &text, prepare, &environment)?;
    observe_running(agent, lane)
}

/// The configuration with Flume's classes in the place of types; channels and selectors stay.
fn hosted(configuration: &str) -> String {
    let lines = configuration.lines().map(|line| {
        let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
        let class = CLASSES.iter().find(|(name, _)| *name == value);
        match class.filter(|_| key.ends_with(".type") && !key.contains(".channels.")) {
            Some((_, class)) => format!("{key} = java:{class}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}
