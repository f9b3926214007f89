//! A network that misbehaves: a proxy that cuts, stalls and half-closes the connections through it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

/// How often a pump looks whether anything was asked of it.
const POLL: Duration = Duration::from_millis(20);

/// Passes connections on to a port, until it is dropped.
pub struct FaultyProxy {
    /// Where it listens.
    pub port: u16,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    ended: AtomicBool,
    stalled: AtomicBool,
    /// Connections that began before so many cuts are closed.
    cuts: AtomicUsize,
    /// The same for the direction from client to server alone.
    half_closes: AtomicUsize,
}

impl FaultyProxy {
    /// In front of a port.
    pub fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let faults = Arc::new(Faults::default());
        let shared = faults.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.ended.load(Relaxed) {
                    return;
                }
                // Nobody listens behind the proxy: the client sees its connection closed.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    let _ = join(client, server, &shared);
                }
            }
        });
        Ok(FaultyProxy { port, faults })
    }

    /// Closes all connections, whatever is on its way.
    pub fn cut(&self) {
        self.faults.cuts.fetch_add(1, Relaxed);
    }

    /// Tells servers that their clients have finished; the clients' later bytes are thrown away.
    pub fn half_close(&self) {
        self.faults.half_closes.fetch_add(1, Relaxed);
    }

    /// Lets nothing through for a while.
    pub fn stall(&self, duration: Duration) {
        self.faults.stalled.store(true, Relaxed);
        thread::sleep(duration);
        self.faults.stalled.store(false, Relaxed);
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.faults.ended.store(true, Relaxed);
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn join(client: TcpStream, server: TcpStream, faults: &Arc<Faults>) -> std::io::Result<()> {
    for (from, to, is_request) in [
        (client.try_clone()?, server.try_clone()?, true),
        (server, client, false),
    ] {
        from.set_read_timeout(Some(POLL))?;
        let faults = faults.clone();
        thread::spawn(move || pump(from, to, is_request, &faults));
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream, is_request: bool, faults: &Faults) {
    let cuts = faults.cuts.load(Relaxed);
    let half_closes = faults.half_closes.load(Relaxed);
    let mut discards = false;
    let mut buffer = vec![0; 16 << 10];
    loop {
        while faults.stalled.load(Relaxed) && !faults.ended.load(Relaxed) {
            thread::sleep(POLL);
        }
        if faults.cuts.load(Relaxed) != cuts {
            break;
        }
        if is_request && !discards && faults.half_closes.load(Relaxed) != half_closes {
            discards = true;
            let _ = to.shutdown(Shutdown::Write);
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if discards => {}
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
