//! A client that sends lines as fast as the agent takes them, and reads every acknowledgement.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// Characters of a line, its newline left out.
const LINE: usize = 500;
/// Lines sent at once.
const LINES: usize = 128;

/// Two threads that send and read until `stop`.
pub fn load(port: u16, stop: Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let Ok(mut writer) = TcpStream::connect(("127.0.0.1", port)) else {
        return vec![];
    };
    let Ok(mut reader) = writer.try_clone() else {
        return vec![];
    };
    let reading = thread::spawn(move || {
        let mut acknowledgements = vec![0; 64 << 10];
        while reader
            .read(&mut acknowledgements)
            .is_ok_and(|read| read > 0)
        {}
    });
    let writing = thread::spawn(move || {
        let line = ["x".repeat(LINE), "\n".into()].concat();
        let lines = line.repeat(LINES);
        while !stop.load(Relaxed) && writer.write_all(lines.as_bytes()).is_ok() {}
        let _ = writer.shutdown(Shutdown::Both);
    });
    vec![reading, writing]
}
