//! Users and groups, wherever the host has them from: files, LDAP, SSSD.

use crate::{
    fault::Fault,
    program::{Program, find},
};

/// `getent`'s answer when there is no such entry.
const NOT_FOUND: i32 = 2;

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group_id: u32,
}

/// The user of that name.
pub(crate) fn user(name: &str) -> Result<Option<User>, Fault> {
    let fields = entry("passwd", name)?;
    let number = |at: usize| fields.as_ref()?.get(at)?.parse().ok();
    Ok(number(2)
        .zip(number(3))
        .map(|(id, group_id)| User { id, group_id }))
}

/// The id of a user; that of `root` needs no looking up.
pub(crate) fn user_id(name: &str) -> Result<Option<u32>, Fault> {
    if name == "root" {
        Ok(Some(0))
    } else {
        Ok(user(name)?.map(|user| user.id))
    }
}

/// The id of a group.
pub(crate) fn group_id(name: &str) -> Result<Option<u32>, Fault> {
    if name == "root" {
        return Ok(Some(0));
    }
    Ok(entry("group", name)?.and_then(|fields| fields.get(2)?.parse().ok()))
}

/// The ids of all groups that a user is in; none if there is no such user.
pub(crate) fn groups_of(name: &str) -> Result<Vec<u32>, Fault> {
    let ended = Program::new("id", &["-G", "--", name]).run()?;
    let words = ended.out.split_whitespace();
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}

fn entry(database: &str, name: &str) -> Result<Option<Vec<String>>, Fault> {
    let said = Program::new("getent", &["--", database, name]).run()?;
    match said.status.code() {
        Some(0) => Ok(said
            .out
            .lines()
            .next()
            .map(|line| line.split(':').map(String::from).collect())),
        Some(NOT_FOUND) => Ok(None),
        _ => Err(Fault::new(
            format!("getent: {}", said.last_line()),
            "look at /etc/nsswitch.conf",
        )),
    }
}

/// Makes a system group.
pub(crate) fn add_group(name: &str) -> Result<(), Fault> {
    let remedy = format!("run it as root, or make the group {name} yourself");
    Program::new("groupadd", &["--system", "--", name])
        .succeed(&remedy)
        .map(drop)
}

/// Makes a system user without a shell.
pub(crate) fn add_user(name: &str, group: &str, home: &str) -> Result<(), Fault> {
    let shell = find("nologin").map_or("/bin/false".into(), |path| path.display().to_string());
    let arguments = [
        "--system",
        "--gid",
        group,
        "--home-dir",
        home,
        "--no-create-home",
        "--shell",
        &shell,
        "--comment",
    ];
    let arguments = [&arguments[..], &["Flume agents", "--", name]].concat();
    let remedy = format!("run it as root, or make the user {name} yourself");
    Program::new("useradd", &arguments)
        .succeed(&remedy)
        .map(drop)
}
