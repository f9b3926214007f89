use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::*;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn me() -> u32 {
    geteuid().as_raw()
}

fn mine(mode: u32) -> Ownership {
    Ownership {
        user: me(),
        group: rustix::process::getegid().as_raw(),
        mode,
    }
}

/// A directory below `/tmp`, by its path without links.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.expect_err("a refusal").to_string()
}

#[test]
fn a_file_is_written_read_given_and_removed() {
    let scratch = scratch();
    let directory = SafeDirectory::make(&scratch.path().join("a/b")).unwrap();
    assert_eq!(directory.ownership().mode, 0o755);
    assert_eq!(directory.read(name("f"), &[me()], 10).unwrap(), None);
    directory
        .replace(name("f"), b"one", &[me()], mine(0o640))
        .unwrap();
    directory
        .replace(name("f"), b"two", &[me()], mine(0o600))
        .unwrap();
    assert_eq!(
        directory.read(name("f"), &[me()], 10).unwrap().as_deref(),
        Some(&b"two"[..])
    );
    assert!(refusal(directory.read(name("f"), &[me()], 2)).ends_with("is larger than 2 bytes"));
    assert_eq!(
        directory.look(name("f"), &[me()]).unwrap(),
        Some(mine(0o600))
    );
    directory
        .give_file(name("f"), &[me()], mine(0o644))
        .unwrap();
    assert_eq!(
        directory.look(name("f"), &[me()]).unwrap(),
        Some(mine(0o644))
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    directory.remove_file(name("f")).unwrap();
    directory.remove_file(name("f")).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_file_is_moved_into_its_place_with_its_owner() {
    let scratch = scratch();
    let directory = SafeDirectory::open(scratch.path()).unwrap();
    let beside = directory.make_directory(name("beside")).unwrap();
    beside
        .create_file(name("new"))
        .unwrap()
        .write_all(b"key")
        .unwrap();
    let to = (&directory, name("keytab"));
    beside
        .move_file(name("new"), to, &[me()], mine(0o640))
        .unwrap();
    assert_eq!(fs::read(scratch.path().join("keytab")).unwrap(), b"key");
    assert_eq!(
        directory.look(name("keytab"), &[me()]).unwrap(),
        Some(mine(0o640))
    );
    symlink("/etc/hostname", scratch.path().join("trap")).unwrap();
    beside.create_file(name("new")).unwrap();
    let to = (&directory, name("trap"));
    let said = refusal(beside.move_file(name("new"), to, &[me()], mine(0o640)));
    assert!(said.ends_with("trap is a symbolic link"), "{said}");
}

#[test]
fn a_private_directory_goes_with_everything_in_it() {
    let made = PrivateDirectory::make("flume-test-").unwrap();
    let path = made.path();
    assert_eq!(made.open().unwrap().ownership(), mine(0o700));
    fs::create_dir(path.join("below")).unwrap();
    fs::write(path.join("below/ticket"), "").unwrap();
    drop(made);
    assert!(!path.exists());
}

/// Whoever could write to a file and holds it open does not write into what it has become.
#[test]
fn a_file_that_others_could_write_to_becomes_a_new_one() {
    let scratch = scratch();
    let directory = SafeDirectory::open(scratch.path()).unwrap();
    let path = scratch.path().join("f");
    let mut earlier: Vec<_> = [0o660, 0o602].map(|mode| (mode, me())).into();
    if geteuid().is_root() {
        earlier.push((0o600, 65534));
    }
    for (mode, user) in earlier {
        fs::write(&path, "key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(user), None).unwrap();
        let mut held = fs::OpenOptions::new().append(true).open(&path).unwrap();
        directory
            .give_file(name("f"), &[user], mine(0o640))
            .unwrap();
        held.write_all(b"forged").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "key", "{mode:o}");
        assert_eq!(
            directory.look(name("f"), &[me()]).unwrap(),
            Some(mine(0o640))
        );
    }
    // Of a file that nobody else could write to, only the owner and the mode change.
    let before = fs::metadata(&path).unwrap().ino();
    directory
        .give_file(name("f"), &[me()], mine(0o600))
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

/// As root: what the earlier user has in a directory goes to the next one, and nothing else does.
#[test]
fn a_tree_is_handed_over_and_what_is_others_stays() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = scratch();
    let at = |path: &str| scratch.path().join(path);
    let earlier = 65_533;
    let next = 65_532;
    let stranger = 65_531;
    fs::create_dir_all(at("state/a1/channel")).unwrap();
    fs::create_dir_all(at("state/of-root/of-earlier")).unwrap();
    fs::write(at("victim"), "").unwrap();
    for file in ["a1/segment", "a1/channel/log", "dropped"] {
        fs::write(at("state").join(file), "").unwrap();
    }
    std::os::unix::net::UnixListener::bind(at("state/a1/control.sock")).unwrap();
    let give = |path: &str, user: u32| {
        std::os::unix::fs::lchown(at(path), Some(user), Some(user)).unwrap();
    };
    let of_earlier = [
        "state",
        "state/a1",
        "state/a1/channel",
        "state/a1/segment",
        "state/a1/channel/log",
        "state/a1/control.sock",
        "state/of-root/of-earlier",
    ];
    of_earlier.iter().for_each(|path| give(path, earlier));
    give("state/dropped", stranger);
    let owner = |path: &str| fs::symlink_metadata(at(path)).unwrap().uid();
    let open = || SafeDirectory::open(&at("state")).unwrap();
    let wanted = Ownership {
        user: next,
        group: next,
        mode: 0o750,
    };
    // Directories and files to which the earlier user, or its group, could still write as others.
    let open_to_others = [
        ("state/a1", 0o777),
        ("state/a1/channel", 0o2770),
        ("state/a1/segment", 0o4666),
    ];
    for (path, mode) in open_to_others {
        fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(open().first_owned_by(&[earlier]).unwrap().is_some());
    open().give_tree(&[earlier], wanted).unwrap();
    for (path, before) in open_to_others {
        let mode = fs::metadata(at(path)).unwrap().mode() & 0o7777;
        assert_eq!(mode, before & 0o755, "{path}");
    }
    assert_eq!(open().ownership(), wanted);
    for path in of_earlier {
        assert_eq!(owner(path), next, "{path}");
    }
    assert_eq!(owner("victim"), 0);
    assert_eq!(owner("state/of-root"), 0);
    assert_eq!(owner("state/dropped"), stranger);
    assert_eq!(open().first_owned_by(&[earlier]).unwrap(), None);
    // A second name is a trap, and so is a link.
    fs::hard_link(at("state/a1/segment"), at("second")).unwrap();
    let said = refusal(open().give_tree(&[next], wanted));
    assert!(said.contains("2 names (hard links)"), "{said}");
    fs::remove_file(at("second")).unwrap();
    symlink(at("victim"), at("state/a1/link")).unwrap();
    give("state/a1/link", next);
    let said = refusal(open().give_tree(&[next], wanted));
    assert!(
        said.ends_with("link is a symbolic link of user 65532"),
        "{said}"
    );
    assert_eq!(owner("state/a1/link"), next);
}

/// As root: whoever still runs may have a file open, and would write into what the next user has.
#[test]
fn a_tree_is_not_handed_over_while_its_earlier_user_runs() {
    use std::os::unix::process::CommandExt;

    if !geteuid().is_root() {
        return;
    }
    let scratch = scratch();
    let state = scratch.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("log"), "").unwrap();
    let earlier = 65_530;
    std::os::unix::fs::chown(state.join("log"), Some(earlier), None).unwrap();
    let mut running = std::process::Command::new("sleep")
        .arg("600")
        .uid(earlier)
        .spawn()
        .unwrap();
    let owner = || fs::metadata(state.join("log")).unwrap().uid();
    let wanted = mine(0o750);
    let open = || SafeDirectory::open(&state).unwrap();
    let said = refusal(open().give_tree(&[earlier], wanted));
    running.kill().unwrap();
    assert!(
        said.contains(&format!("process {} (", running.id())),
        "{said}"
    );
    assert_eq!(owner(), earlier);
    running.wait().unwrap();
    open().give_tree(&[earlier], wanted).unwrap();
    assert_eq!(owner(), me());
}

/// Each of them is refused by name, whatever is asked for.
#[test]
fn links_fifos_devices_and_strangers_are_refused() {
    let scratch = scratch();
    let victim = scratch.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let at = scratch.path().join("d");
    fs::create_dir(&at).unwrap();
    symlink(&victim, at.join("link")).unwrap();
    symlink("/nowhere", at.join("dangling")).unwrap();
    fs::hard_link(&victim, at.join("hard")).unwrap();
    fs::create_dir(at.join("directory")).unwrap();
    let fifo = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, at.join("fifo"), FileType::Fifo, fifo, 0).unwrap();
    std::os::unix::net::UnixListener::bind(at.join("socket")).unwrap();
    fs::write(at.join("strange"), "").unwrap();
    let directory = SafeDirectory::open(&at).unwrap();
    let stranger = me() + 1;
    for (file, owner, expected) in [
        ("link", me(), "link is a symbolic link"),
        ("dangling", me(), "dangling is a symbolic link"),
        ("hard", me(), "hard is a file with 2 names (hard links)"),
        ("directory", me(), "directory is a directory"),
        ("fifo", me(), "fifo is a FIFO"),
        ("socket", me(), "socket is a socket"),
        ("strange", stranger, "strange is owned by user"),
    ] {
        let file = name(file);
        for said in [
            refusal(directory.look(file, &[owner])),
            refusal(directory.open_file(file, &[owner])),
            refusal(directory.read(file, &[owner], 10)),
            refusal(directory.give_file(file, &[owner], mine(0o777))),
            refusal(directory.replace(file, b"x", &[owner], mine(0o777))),
        ] {
            assert!(said.contains(expected), "{said}");
        }
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
    assert!(refusal(directory.directory(name("link"))).ends_with("is a symbolic link"));
}

#[test]
fn the_way_to_a_directory_must_be_root_s_or_ones_own() {
    let scratch = scratch();
    let open = scratch.path().join("open");
    fs::create_dir_all(open.join("below/it")).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let said = refusal(SafeDirectory::open(&open.join("below/it")));
    assert!(
        said.ends_with("open is writable by others (mode 0777)"),
        "{said}"
    );
    // It can be looked at, but nothing is written into it.
    let directory = SafeDirectory::open(&open).unwrap();
    assert!(!directory.is_ours());
    let said = refusal(directory.replace(name("f"), b"x", &[me()], mine(0o600)));
    assert!(said.contains("writable by others"), "{said}");
    refusal(directory.create_file(name("f")));
    refusal(directory.make_directory(name("d")));
    refusal(directory.remove_file(name("below")));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    SafeDirectory::open(&open.join("below/it")).unwrap();
    assert!(refusal(SafeDirectory::open(Path::new("etc"))).contains("not an absolute path"));
    assert!(refusal(SafeDirectory::open(Path::new("/etc/../tmp"))).contains("`..`"));
}

#[test]
fn an_administrators_link_leads_on() {
    let scratch = scratch();
    fs::create_dir_all(scratch.path().join("real/conf")).unwrap();
    symlink("real", scratch.path().join("relative")).unwrap();
    symlink(
        scratch.path().join("relative/../real"),
        scratch.path().join("absolute"),
    )
    .unwrap();
    symlink("loop", scratch.path().join("loop")).unwrap();
    for link in ["relative", "absolute"] {
        let path = scratch.path().join(link).join("conf");
        assert_eq!(SafeDirectory::open(&path).unwrap().path(), path);
    }
    let said = refusal(SafeDirectory::open(&scratch.path().join("loop")));
    assert!(
        said.ends_with("a symbolic link that leads to itself"),
        "{said}"
    );
}

/// A watcher swaps a directory for a link to another one as fast as it can. What is written through the descriptor
/// stays where the directory was.
#[test]
fn a_watcher_wins_nothing() {
    let scratch = scratch();
    let prey = scratch.path().join("prey");
    let trap = scratch.path().join("trap");
    fs::create_dir(&prey).unwrap();
    fs::create_dir(&trap).unwrap();
    fs::write(trap.join("f"), "untouched").unwrap();
    fs::set_permissions(trap.join("f"), fs::Permissions::from_mode(0o600)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let stop = stop.clone();
        let file = prey.join("f");
        let target = trap.join("f");
        std::thread::spawn(move || {
            let mut swaps = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::remove_file(&file);
                if symlink(&target, &file).is_ok() {
                    swaps += 1;
                }
            }
            swaps
        })
    };
    let directory = SafeDirectory::open(&prey).unwrap();
    for _ in 0..2000 {
        // Any of these may fail; none may reach the trap.
        let _ = directory.replace(name("f"), b"x", &[me()], mine(0o666));
        let _ = directory.give_file(name("f"), &[me()], mine(0o666));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(watcher.join().unwrap() > 0);
    assert_eq!(fs::read_to_string(trap.join("f")).unwrap(), "untouched");
    assert_eq!(fs::metadata(trap.join("f")).unwrap().mode() & 0o777, 0o600);
}
