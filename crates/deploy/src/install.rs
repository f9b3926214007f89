//! The step `install`: the program, the user, the directories and the unit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Site,
    accounts::{add_group, add_user, group_id, user},
    fault::Fault,
    files::{Rights, check_directory, check_file, make_directory, put},
    manager,
    payload::{Content, PAYLOAD, Payload},
    program::{Program, find},
    step::{Found, Task},
};

/// What agents keep between runs.
pub(crate) const STATE_DIR: &str = "/var/lib/flume";
/// Where they log.
const LOG_DIR: &str = "/var/log/flume";
/// The account that the unit, as it is packaged, names.
const PACKAGED_ACCOUNT: &str = "flume";
const PACKAGED_CONF_DIR: &str = "/etc/flume/conf";
const DROP_IN: &str = "/etc/systemd/system/flume-agent@.service.d/10-provision.conf";
const DIRECTORY_MODE: u32 = 0o750;

/// A package or the same files from this program; then what the settings say beyond the package.
pub(crate) fn tasks(site: &Site) -> Result<Vec<Task<'_>>, Fault> {
    let mut tasks = vec![];
    if !site.from_self {
        tasks.push(manager::task(site)?);
    }
    tasks.extend([group(site), account(site)]);
    tasks.extend(directories(site));
    if site.from_self {
        tasks.extend(PAYLOAD.iter().map(|payload| file(site, payload)));
    } else {
        // The package's own directory has its files; another one gets them here.
        let ours = |payload: &&Payload| matches!(payload.content, Content::Configuration(_));
        tasks.extend(
            PAYLOAD
                .iter()
                .filter(ours)
                .map(|payload| file(site, payload)),
        );
    }
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

/// The directories that shall be there, with their rights.
pub(crate) fn directories_wanted(site: &Site) -> Vec<(PathBuf, Rights)> {
    let service = Rights {
        user: site.node.user().into(),
        ..of_configuration(site, DIRECTORY_MODE)
    };
    vec![
        (
            site.node.conf_dir().into(),
            of_configuration(site, DIRECTORY_MODE),
        ),
        (STATE_DIR.into(), service.clone()),
        (LOG_DIR.into(), service),
    ]
}

fn directories(site: &Site) -> impl Iterator<Item = Task<'_>> {
    directories_wanted(site).into_iter().map(|(path, rights)| {
        let target = path.clone();
        let given = rights.clone();
        Task {
            title: format!("directory {}", path.display()),
            check: Box::new(move || check_directory(&path, &rights)),
            act: Box::new(move || make_directory(&target, &given)),
        }
    })
}

/// `root`'s, and for the service's group to read.
fn of_configuration(site: &Site, mode: u32) -> Rights {
    Rights {
        user: "root".into(),
        group: site.node.group().into(),
        mode,
    }
}

fn file<'a>(site: &'a Site, payload: &'static Payload) -> Task<'a> {
    let (path, rights) = match payload.content {
        Content::Configuration(_) => (
            site.node.conf_dir().join(payload.path),
            of_configuration(site, payload.mode),
        ),
        _ => (PathBuf::from(payload.path), Rights::root(payload.mode)),
    };
    let target = path.clone();
    let again = rights.clone();
    Task {
        title: format!("file {}", path.display()),
        check: Box::new(move || match payload.content {
            Content::Program => check_file(&path, &rights, Some(&program(site)?)),
            Content::Text(text) => check_file(&path, &rights, Some(text.as_bytes())),
            Content::Configuration(_) => check_file(&path, &rights, None),
        }),
        act: Box::new(move || match payload.content {
            Content::Program => {
                manager::refuse_to_replace(&target)?;
                put(&target, &again, &program(site)?)
            }
            Content::Text(text) => put(&target, &again, text.as_bytes()),
            // A file that the site has keeps its content.
            Content::Configuration(_) if target.exists() => again.give(&target),
            Content::Configuration(text) => put(&target, &again, text.as_bytes()),
        }),
    }
}

fn program(site: &Site) -> Result<Vec<u8>, Fault> {
    fs::read(&site.program).map_err(Fault::io("read", &site.program))
}

/// What the unit must say when the settings are not those of the package.
fn drop_in(site: &Site) -> Task<'_> {
    let user = site.node.user();
    let group = site.node.group();
    let conf_dir = site.node.conf_dir();
    let packaged = (user, group, conf_dir)
        == (
            PACKAGED_ACCOUNT,
            PACKAGED_ACCOUNT,
            Path::new(PACKAGED_CONF_DIR),
        );
    let text = format!(
        "# Written by `flume-ng provision`.\n[Service]\nUser={user}\nGroup={group}\nEnvironment=FLUME_CONF_DIR={}\n",
        conf_dir.display()
    );
    let path = Path::new(DROP_IN);
    let content = text.clone();
    Task {
        title: format!("file {DROP_IN}"),
        check: Box::new(move || match (packaged, path.exists()) {
            (true, true) => Ok(Found::Otherwise(format!("remove {DROP_IN}"))),
            (true, false) => Ok(Found::PASS),
            (false, _) => check_file(path, &Rights::root(0o644), Some(text.as_bytes())),
        }),
        act: Box::new(move || {
            if packaged {
                fs::remove_file(path).map_err(Fault::io("remove", path))?
            } else {
                put(path, &Rights::root(0o644), content.as_bytes())?
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
