//! The step `install`: the program, the user, the directories and the unit.

use std::path::{Path, PathBuf};

use crate::{
    Site,
    accounts::{add_group, add_user, group_id, user},
    fault::Fault,
    files::{Rights, check_file, give_file, look, put, read_of_root, remove},
    manager,
    payload::{Content, PAYLOAD, Payload},
    places,
    program::{Program, find},
    step::{Found, Task},
    unit::{environment_line, unit_user},
};

pub(crate) use crate::places::{LOG_DIR, STATE_DIR};

const PACKAGED_CONF_DIR: &str = "/etc/flume/conf";
/// Where an agent looks for `core-site.xml` by itself.
const PACKAGED_HADOOP_CONF_DIR: &str = "/etc/hadoop/conf";
const MAX_DROP_IN_BYTES: u64 = 64 << 10;
const DROP_IN: &str = "/etc/systemd/system/flume-agent@.service.d/10-provision.conf";

/// A package or the same files from this program; then what the settings say beyond the package. When a package's own
/// script runs this, the package is there already.
pub(crate) fn tasks(site: &Site) -> Result<Vec<Task<'_>>, Fault> {
    let mut tasks = vec![];
    if !site.from_self && !site.packaged {
        tasks.push(manager::task(site)?);
    }
    tasks.extend([group(site), account(site)]);
    tasks.extend(places::tasks(site));
    // The package has its own files; the configuration may be in another directory than the package's.
    let wanted =
        |payload: &&Payload| site.from_self || matches!(payload.content, Content::Configuration(_));
    let files = PAYLOAD.iter().filter(wanted);
    tasks.extend(files.map(|payload| file(site, payload)));
    tasks.push(drop_in(site));
    Ok(tasks)
}

fn group(site: &Site) -> Task<'_> {
    let name = site.node.group();
    Task {
        title: format!("group {name}"),
        check: Box::new(move || {
            Ok(group_id(name)?.map_or_else(
                || Found::Otherwise(format!("make group {name}")),
                |_| Found::PASS,
            ))
        }),
        act: Box::new(move || add_group(name)),
    }
}

fn account(site: &Site) -> Task<'_> {
    let name = site.node.user();
    let group = site.node.group();
    Task {
        title: format!("user {name}"),
        check: Box::new(move || match user(name)? {
            None => Ok(Found::Otherwise(format!("make user {name}"))),
            Some(user) if Some(user.group_id) == group_id(group)? => Ok(Found::PASS),
            Some(_) => {
                let note = format!(
                    "user {name} has another primary group than {group}, which does no harm"
                );
                Ok(Found::AsWanted(Some(note)))
            }
        }),
        act: Box::new(move || add_user(name, group, STATE_DIR)),
    }
}

fn file<'a>(site: &'a Site, payload: &'static Payload) -> Task<'a> {
    match payload.content {
        Content::Program => {
            let path = PathBuf::from(payload.path);
            let rights = Rights::root(payload.mode);
            let target = path.clone();
            let given = rights.clone();
            Task {
                title: format!("file {}", path.display()),
                check: Box::new(move || check_file(&path, &rights, Some(&program(site)?))),
                act: Box::new(move || {
                    manager::refuse_to_replace(&target)?;
                    put(&target, &given, &program(site)?)
                }),
            }
        }
        Content::Text(text) => text_file(PathBuf::from(payload.path), payload.mode, text.into()),
        Content::Configuration(text) => {
            let rights = Rights {
                user: "root".into(),
                group: site.node.group().into(),
                mode: payload.mode,
            };
            let path = site.node.conf_dir().join(payload.path);
            configuration_file(site, path, rights, text)
        }
    }
}

/// A file of root's with exactly this content.
fn text_file(path: PathBuf, mode: u32, text: String) -> Task<'static> {
    let rights = Rights::root(mode);
    let target = path.clone();
    let content = text.clone();
    let given = rights.clone();
    Task {
        title: format!("file {}", path.display()),
        check: Box::new(move || check_file(&path, &rights, Some(text.as_bytes()))),
        act: Box::new(move || put(&target, &given, content.as_bytes())),
    }
}

/// A file that is the site's once it is there: its content stays, and its rights if the service may read it.
fn configuration_file<'a>(
    site: &'a Site,
    path: PathBuf,
    rights: Rights,
    text: &'static str,
) -> Task<'a> {
    // Flume's own packages gave these files to the service.
    let owned = Rights {
        user: site.node.user().into(),
        ..rights.clone()
    };
    let target = path.clone();
    let before = owned.clone();
    let given = rights.clone();
    Task {
        title: format!("file {}", path.display()),
        check: Box::new(move || match look(&path, &owned)? {
            None => Ok(Found::Otherwise(format!("write {}", path.display()))),
            Some(found) if places::may_read(site, &found)? => Ok(Found::PASS),
            Some(_) => Ok(Found::Otherwise(rights.change(&path))),
        }),
        act: Box::new(move || match look(&target, &before)? {
            None => put(&target, &given, text.as_bytes()),
            Some(_) => give_file(&target, &given, site.node.user()),
        }),
    }
}

fn program(site: &Site) -> Result<Vec<u8>, Fault> {
    std::fs::read(&site.program).map_err(Fault::io("read", &site.program))
}

/// The user that an earlier run has written into the unit.
pub(crate) fn provisioned_user() -> Result<Option<String>, Fault> {
    let text = read_of_root(Path::new(DROP_IN), MAX_DROP_IN_BYTES)?;
    Ok(text.and_then(|text| unit_user(&String::from_utf8_lossy(&text))))
}

/// What the unit must say when the settings are not those of the package; empty when they are.
pub(crate) fn drop_in_text(site: &Site) -> String {
    let node = &site.node;
    let mut lines = String::new();
    let packaged = places::PACKAGED_ACCOUNT;
    if node.user() != packaged || node.group() != packaged {
        lines += &format!("User={}\nGroup={}\n", node.user(), node.group());
    }
    if node.conf_dir() != Path::new(PACKAGED_CONF_DIR) {
        lines += &environment_line("FLUME_CONF_DIR", &node.conf_dir().display().to_string());
    }
    if let Some(directory) = node.hadoop_conf_dir()
        && directory != Path::new(PACKAGED_HADOOP_CONF_DIR)
    {
        lines += &environment_line("HADOOP_CONF_DIR", &directory.display().to_string());
    }
    if let Some(files) = node.krb5_config() {
        lines += &environment_line("KRB5_CONFIG", files);
    }
    if lines.is_empty() {
        lines
    } else {
        format!("# Written by `flume-ng provision`.\n[Service]\n{lines}")
    }
}

fn drop_in(site: &Site) -> Task<'_> {
    let path = Path::new(DROP_IN);
    let rights = Rights::root(0o644);
    let text = drop_in_text(site);
    let content = text.clone();
    let given = rights.clone();
    Task {
        title: format!("file {DROP_IN}"),
        check: Box::new(move || match look(path, &rights)? {
            None if text.is_empty() => Ok(Found::PASS),
            Some(_) if text.is_empty() => Ok(Found::Otherwise(format!("remove {DROP_IN}"))),
            _ => check_file(path, &rights, Some(text.as_bytes())),
        }),
        act: Box::new(move || {
            if content.is_empty() {
                remove(path)?;
            } else {
                put(path, &given, content.as_bytes())?;
            }
            reload_units()
        }),
    }
}

/// Tells systemd about changed units, where it runs.
fn reload_units() -> Result<(), Fault> {
    if !Path::new("/run/systemd/system").is_dir() || find("systemctl").is_none() {
        return Ok(());
    }
    Program::new("systemctl", &["daemon-reload"])
        .succeed("systemctl daemon-reload")
        .map(drop)
}
