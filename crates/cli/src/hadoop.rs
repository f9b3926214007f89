//! `flume-ng describe hadoop`: the settings of Hadoop that are in force, each with the file and line it comes from.

use std::path::Path;

use flume_hadoop::conf::{ClientSettings, Hadoop, HadoopSetting, KNOWN_KEYS};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
};

/// Endings of keys whose values are nobody's business, as Hadoop's own list has them.
const SECRET: &[&str] = &[
    "secret",
    "password",
    "pass",
    "credential",
    "token",
    "secret.key",
    "sas.key",
];

/// Runs the command: exit code 0 if a client could work with the settings, else 2.
pub(crate) fn describe(args: &Args) -> Result<ExitCode, Failure> {
    let hadoop = Hadoop::find(args.get("conf").map(Path::new))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let mut problems = ClientSettings::of(&hadoop).err().unwrap_or_default();
    let default = hadoop
        .get("fs.defaultFS")
        .filter(|_| hadoop.setting("fs.defaultFS").is_some());
    let nameservices = hadoop
        .get("dfs.nameservices")
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let clusters = nameservices
        .filter(|name| !name.is_empty())
        .map(|name| format!("hdfs://{name}/"));
    let targets = clusters
        .chain(default.map(String::from))
        .map(|url| hadoop.target(&url));
    problems.extend(
        targets
            .filter_map(Result::err)
            .filter(|problem| problem.position.is_some()),
    );
    problems.dedup();
    print(&page(
        &hadoop,
        &problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    ))?;
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::WRONG
    })
}

fn page(hadoop: &Hadoop, problems: &[String]) -> String {
    let paths = |paths: &[std::path::PathBuf]| -> String {
        paths
            .iter()
            .map(|path| format!("  {}\n", path.display()))
            .collect()
    };
    let mut text = format!(
        "looked into\n{}read\n{}",
        paths(&hadoop.searched),
        paths(&hadoop.files)
    );
    if hadoop.files.is_empty() {
        text += "  nothing: there is no core-site.xml and no hdfs-site.xml\n";
    }
    for (title, lines) in [("problems", problems), ("warnings", &hadoop.warnings[..])] {
        if !lines.is_empty() {
            text += &format!(
                "{title}\n{}",
                lines
                    .iter()
                    .map(|line| format!("  {line}\n"))
                    .collect::<String>()
            );
        }
    }
    text += "in force\n";
    for known in KNOWN_KEYS {
        let value = hadoop.get(known.key).unwrap_or_default();
        let from = hadoop
            .setting(known.key)
            .map_or_else(|| "default".into(), origin);
        text += &format!("  {} = {value}\n      {from}; {}\n", known.key, known.doc);
    }
    text += "also set\n";
    for (key, setting) in hadoop
        .settings()
        .filter(|(key, _)| KNOWN_KEYS.iter().all(|known| known.key != *key))
    {
        let secret = SECRET
            .iter()
            .any(|end| key.to_ascii_lowercase().ends_with(end));
        let value = if secret {
            "(not shown)"
        } else {
            &setting.value
        };
        text += &format!("  {key} = {value}\n      {}\n", origin(setting));
    }
    text
}

fn origin(setting: &HadoopSetting) -> String {
    let former = setting
        .written_as
        .as_ref()
        .map(|former| format!(", as `{former}`"));
    format!("{}{}", setting.position, former.unwrap_or_default())
}
