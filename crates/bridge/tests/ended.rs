//! At the end of the agent its processes end, too.

use std::{fs, thread, time::Duration};

use flume_bridge::REGISTRY;
use flume_core::{Context, EventSerializer};
use flume_testkit::parts::{build, events};
use rustix::process::{Pid, test_kill_process};

#[test]
fn a_process_that_ignores_the_end_of_its_input_does_not_outlive_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = dir.path().join("script");
    let hello = r"\0\0\0\015\0\0\0\0\110\0\0\0\001\0\0\0\0";
    let text = format!(
        "printf '{hello}'\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n",
        pid.display()
    );
    fs::write(&script, text).unwrap();
    let waits = thread::spawn(move || {
        let cx = Context::new("a1.sinks.k1.serializer", &[]);
        let text = format!("command = /bin/sh {}", script.display());
        let mut serializer: Box<dyn EventSerializer> = build(&REGISTRY, "process", &text, &cx);
        serializer.prepare(&mut events("a").iter())
    });
    while !pid.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    flume_bridge::end_processes();
    assert!(waits.join().unwrap().is_err());
    let pid = fs::read_to_string(pid).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_err(), "it still runs");
}
