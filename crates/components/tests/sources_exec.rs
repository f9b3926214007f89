//! `exec`: what becomes of a command's lines, and of the command.

use flume_components::REGISTRY;
use flume_testkit::source::{RunningSource, within};

/// Runs `command` in a shell.
fn sh(command: &str, properties: &str) -> RunningSource {
    let text = format!("command = {command}\nshell = /bin/sh -c\n{properties}");
    RunningSource::start(&REGISTRY, "exec", &text)
}

/// The bodies that `command` leads to.
async fn check(command: &str, properties: &str, bodies: &[&[u8]]) {
    let source = sh(command, properties);
    let seen: Vec<_> = source
        .take(bodies.len())
        .await
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert_eq!(seen, bodies, "{command}");
    let channel = source.channel.clone();
    source.ended().await.unwrap();
    assert_eq!(channel.stats().events, 0, "{command}: nothing more");
}

#[tokio::test]
async fn each_line_is_an_event() {
    check(
        r"printf 'a\nb\rc\r\n\nlast'",
        "",
        &[b"a", b"b", b"c", b"", b"last"],
    )
    .await;
    check("true", "", &[]).await;
    check("echo one; echo two", "batchSize = 1", &[b"one", b"two"]).await;
    check("echo one; echo two", "batchSize = 0", &[b"one", b"two"]).await;
    check(
        "echo abcdefghij",
        "maxLineLength = 4",
        &[b"abcd", b"efgh", b"ij"],
    )
    .await;
}

#[tokio::test]
async fn bodies_are_in_the_character_set_of_the_output() {
    check(
        r"printf 'caf\303\251 \377\n'",
        "",
        &["caf\u{e9} \u{fffd}".as_bytes()],
    )
    .await;
    check(
        r"printf 'caf\351 \200\n'",
        "charset = ISO-8859-1",
        &[b"caf\xe9 \x80"],
    )
    .await;
    check(r"printf 'caf\351\n'", "charset = US-ASCII", &[b"caf?"]).await;
    check(
        r"printf '\000a\000\n'",
        "charset = UTF-16",
        &[b"\xfe\xff\0a"],
    )
    .await;
}

#[tokio::test]
async fn without_a_shell_quotes_mean_nothing() {
    let source = RunningSource::start(&REGISTRY, "exec", "command = echo  'a   b'  $HOME");
    assert_eq!(source.bodies(1).await, ["'a b' $HOME"]);
    source.ended().await.unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let source = RunningSource::start(
        &REGISTRY,
        "exec",
        "command = no-such-command -x\nrestart = true",
    );
    let error = source.ended().await.unwrap_err();
    assert_eq!(error.to_string(), "failed to start `no-such-command`");
}

#[tokio::test]
async fn it_is_started_again() {
    let source = sh("echo again; exit 3", "restart = true\nrestartThrottle = 1");
    assert_eq!(source.bodies(3).await, ["again"; 3]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_throttle() {
    let source = sh("echo once", "restart = true\nrestartThrottle = 3600000");
    assert_eq!(source.bodies(1).await, ["once"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_there_does_not_wait_for_a_full_batch() {
    // `cat` reads an input that stays open.
    let source = sh("echo a; echo b; cat", "batchSize = 1000\nbatchTimeout = 20");
    assert_eq!(source.bodies(2).await, ["a", "b"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn standard_error_does_not_block_the_command() {
    for log in [false, true] {
        let command = "head -c 1000000 /dev/zero >&2; echo done";
        check(command, &format!("logStdErr = {log}"), &[b"done"]).await;
    }
}

#[tokio::test]
async fn a_stop_takes_the_last_lines_and_ends_the_whole_group() {
    let command = r#"trap 'echo last; exit' TERM; cat < /dev/zero > /dev/null & echo $$ $!; wait"#;
    let source = sh(command, "batchSize = 1");
    let pids = source.bodies(1).await.remove(0);
    let channel = source.channel.clone();
    source.stop().await.unwrap();
    assert_eq!(
        channel.stats().events,
        1,
        "the line written after the request"
    );
    let (shell, background) = pids.split_once(' ').unwrap();
    assert_eq!(state(shell), None, "reaped");
    // The background process is not ours to reap; a dead one may be left as a zombie.
    within(async {
        while !matches!(state(background), None | Some('Z' | 'X')) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_command_that_will_not_end_is_killed() {
    let source = sh(
        "trap '' TERM; echo $$; while true; do read line; done",
        "batchSize = 1",
    );
    let pid = source.bodies(1).await.remove(0);
    source.stop().await.unwrap();
    assert_eq!(state(&pid), None);
}

/// The state letter of a process, if there is one.
fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
