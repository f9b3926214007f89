//! The step `check`: a flow that really runs, as the service would, and is gone afterwards.

mod agent;
mod hdfs;
mod local;

pub(crate) use agent::PREFIX as CHECK_PREFIX;

use std::{cell::OnceCell, path::Path, rc::Rc};

use flume_hadoop::{
    conf::{ClientSettings, Hadoop, HadoopError, Target},
    probe,
};

use crate::{
    Site,
    fault::Fault,
    files::{Rights, check_file, put, read_of_root},
    step::{Found, Task},
};

/// What was found to work. It lies in a directory of root's, because root reads it back.
const RECORD: &str = "/etc/flume/last-check";
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// What was found to work when the check last succeeded.
pub(crate) fn recorded() -> Result<Option<String>, Fault> {
    let bytes = read_of_root(Path::new(RECORD), MAX_RECORD_BYTES)?;
    let text = bytes.map(|bytes| {
        String::from_utf8_lossy(&bytes)
            .trim_end()
            .replace('\n', "; ")
    });
    Ok(text)
}

/// Hadoop's configuration, as an agent of this host finds it.
pub(crate) fn hadoop(site: &Site) -> Result<Hadoop, Fault> {
    let node = &site.node;
    let read = match node.hadoop_conf_dir() {
        Some(directory) => Hadoop::read(&[node.conf_dir().to_path_buf(), directory.to_path_buf()]),
        None => Hadoop::find(Some(node.conf_dir())),
    };
    read.map_err(|error| Fault::new(error.to_string(), "correct that file"))
}

/// The flow works, and that is recorded. It runs each time, once.
pub(crate) fn tasks(site: &Site) -> Result<Vec<Task<'_>>, Fault> {
    let ran: Rc<OnceCell<Result<Vec<String>, Fault>>> = Rc::default();
    let text = |found: &[String]| {
        let version = format!("Flume {}", env!("CARGO_PKG_VERSION"));
        found
            .iter()
            .chain([&version])
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let again = ran.clone();
    Ok(vec![Task {
        title: "a flow".into(),
        check: Box::new(move || {
            if site.dry_run {
                return Ok(Found::Otherwise(
                    "run an agent, send lines through it and read them back".into(),
                ));
            }
            let found = ran.get_or_init(|| run(site)).clone()?;
            let record = check_file(
                Path::new(RECORD),
                &Rights::root(0o644),
                Some(text(&found).as_bytes()),
            )?;
            Ok(match record {
                Found::AsWanted(_) => Found::AsWanted(Some(found.join("\n      "))),
                Found::Otherwise(_) => Found::Otherwise("record what works".into()),
            })
        }),
        act: Box::new(move || {
            let found = again.get().cloned().transpose()?.unwrap_or_default();
            put(
                Path::new(RECORD),
                &Rights::root(0o644),
                text(&found).as_bytes(),
            )
        }),
    }])
}

/// Runs what can be run here: what works.
fn run(site: &Site) -> Result<Vec<String>, Fault> {
    let hadoop = hadoop(site)?;
    if hadoop.files.is_empty() {
        return local::run(site);
    }
    let wrong =
        |error: HadoopError| Fault::new(error.to_string(), "correct Hadoop's configuration");
    let Target::Hdfs { url, namenodes, .. } = hadoop.target("/").map_err(wrong)? else {
        return local::run(site);
    };
    let client = ClientSettings::of(&hadoop).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Fault::new(errors.join("; "), "correct Hadoop's configuration")
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(Fault::io("start threads for", Path::new("HDFS")))?;
    probe::claim(site.node.user());
    hdfs::Cluster {
        site,
        hadoop,
        client,
        url,
        namenodes,
        runtime,
    }
    .run()
}
