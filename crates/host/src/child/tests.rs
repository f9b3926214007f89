use super::*;

fn shell(line: &str) -> Program {
    Program::new("/bin/sh", &["-c", line])
}

#[test]
fn a_program_gets_its_input_and_says_how_it_ended() {
    let ended = Program::new("/bin/cat", &["-"])
        .input("words")
        .run()
        .unwrap();
    assert_eq!(ended.out, "words");
    assert!(ended.ok());
    let ended = shell("echo no >&2; exit 3").run().unwrap();
    assert_eq!(ended.last_line(), "no");
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(shell("exit 4").run().unwrap().last_line(), "exit status: 4");
}

#[test]
fn it_has_the_environment_that_was_built_and_nothing_else() {
    let ended = shell("env").env("ADDED", "yes").run().unwrap();
    let mut names: Vec<_> = ended
        .out
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["ADDED", "LC_ALL", "PATH"]);
}

#[test]
fn in_a_session_of_its_own_it_has_no_terminal_and_is_killed_like_others() {
    // The sixth field of the status is the session, the first the process.
    let line = "cut -d' ' -f1,6 /proc/$$/stat";
    let ended = shell(line).in_own_session().unwrap().run().unwrap();
    let ids: Vec<_> = ended.out.split_whitespace().collect();
    assert_eq!(ids[0], ids[1], "{}", ended.out);
    let ended = shell("true </dev/tty").in_own_session().unwrap().run();
    assert!(!ended.unwrap().ok(), "there is no terminal");
    let late = shell("sleep 600 & wait")
        .in_own_session()
        .unwrap()
        .limit(Duration::from_millis(300));
    assert!(matches!(late.run(), Err(ChildError::Late { .. })));
}

#[test]
fn at_its_limit_it_is_killed_with_everything_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let line = format!("sleep 600 & echo $! >{}; wait", pid.display());
    let late = shell(&line)
        .limit(Duration::from_secs(2))
        .run()
        .unwrap_err();
    assert!(
        late.to_string().contains("did not end within 2 s"),
        "{late}"
    );
    let grandchild = std::fs::read_to_string(&pid).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", grandchild.trim()));
    let deadline = Instant::now() + Duration::from_secs(60);
    // Gone, or dead and not yet collected.
    while state().is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "the grandchild still runs");
        thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn its_limit_holds_for_what_it_leaves_in_the_background() {
    let begin = Instant::now();
    let line = "echo out; echo err >&2; sleep 600 & exit 3";
    let ended = shell(line).limit(Duration::from_secs(1)).run().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("out\n", "err\n"));
    assert_eq!(ended.status.code(), Some(3));
}

#[test]
fn a_program_beside_this_one_is_ended_and_killed() {
    let directory = tempfile::tempdir().unwrap();
    let output = tempfile::tempfile().unwrap();
    let start = || {
        shell("exec sleep 600")
            .start(directory.path(), &output)
            .unwrap()
    };
    let mut polite = start();
    assert!(polite.ended().unwrap().is_none());
    polite.terminate();
    assert!(polite.wait(Duration::from_secs(60)).unwrap().is_some());
    let dropped = start();
    let pid = dropped.child.id();
    drop(dropped);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn what_is_not_there_cannot_be_started() {
    let absent = Program::new("/no/such/program", &["x"]).run().unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("failed to start /no/such/program")
    );
    assert!(find("sh").is_some());
    assert_eq!(find("no-such-program"), None);
}
