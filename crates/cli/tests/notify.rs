//! What the agent tells a service manager.

use std::{
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use flume_testkit::agent::flow;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next message that is no food for the watchdog.
fn next(socket: &UnixDatagram) -> String {
    loop {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a message in time");
        match String::from_utf8_lossy(&buffer[..length]).trim() {
            "WATCHDOG=1" => {}
            message => return message.into(),
        }
    }
}

#[test]
fn a_service_manager_is_told_of_start_reload_and_stop_and_the_watchdog_is_fed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let conf = dir.path().join("flume.conf");
    std::fs::write(&conf, flow("type = memory", "type = null")).unwrap();
    // As the package installs it: the agent begins anew with what the file leaves.
    std::fs::write(dir.path().join("flume-env.sh"), "A=1\n").unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(["agent", "-n", "a1", "--state-dir"])
        .args([dir.path(), "-f".as_ref(), &conf])
        .arg("--conf")
        .arg(dir.path())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .env_remove("WATCHDOG_PID")
        .stderr(Stdio::null())
        .spawn();
    let mut agent = Killed(child.unwrap());
    let signal = |name: &str| {
        Command::new("kill")
            .args([name, &agent.0.id().to_string()])
            .status()
            .unwrap()
    };
    assert_eq!(next(&socket), "READY=1");
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
    }
    signal("-HUP");
    let message = next(&socket);
    assert!(
        message.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{message}"
    );
    assert_eq!(next(&socket), "READY=1");
    signal("-TERM");
    assert_eq!(next(&socket), "STOPPING=1");
    assert!(agent.0.wait().unwrap().success());
}
