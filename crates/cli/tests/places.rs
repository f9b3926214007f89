//! Where an agent's configuration comes from: several files, a web server, a copy of the last one; and what is seen of
//! a configuration that cannot be read or is wrong.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use flume_monitor::ControlRequest;
use flume_testkit::agent::Agent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");
const FLOW: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = netcat\n\
                    a1.sources.r1.bind = localhost\na1.sources.r1.port = 0\na1.sources.r1.channels = c1\n\
                    a1.channels.c1.type = memory\na1.channels.c1.capacity = 1000\na1.sinks.k1.type = null\n\
                    a1.sinks.k1.channel = c1\n";

fn flume(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// A web server with one document, which checks a login and knows what a client has already.
#[derive(Clone)]
struct WebServer(Arc<Mutex<Served>>);

struct Served {
    body: String,
    /// Answers with this status instead.
    fails: Option<&'static str>,
    /// The answers given, by status.
    answers: Vec<u16>,
}

impl WebServer {
    fn start(body: &str) -> (WebServer, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!(
            "http://{}/a/flume.properties",
            listener.local_addr().unwrap()
        );
        let server = WebServer(Arc::new(Mutex::new(Served {
            body: body.into(),
            fails: None,
            answers: vec![],
        })));
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client may go away.
                let _ = serving.answer(stream.unwrap());
            }
        });
        (server, uri)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut known = String::new();
        let mut login = String::new();
        for line in BufReader::new(&stream).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "if-none-match" => known = value.into(),
                "authorization" => login = value.into(),
                _ => {}
            }
        }
        let mut served = self.0.lock().unwrap();
        let tag = format!("\"{}\"", served.body.len());
        let (status, body) = match served.fails {
            Some(status) => (status.to_string(), String::new()),
            // user:secret
            None if login != "Basic dXNlcjpzZWNyZXQ=" => ("401 Unauthorized".into(), String::new()),
            None if known == tag => ("304 Not Modified".into(), String::new()),
            None => ("200 OK".into(), served.body.clone()),
        };
        served.answers.push(status[..3].parse().unwrap());
        write!(
            stream,
            "HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn set(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.0.lock().unwrap());
    }

    fn answers(&self) -> Vec<u16> {
        self.0.lock().unwrap().answers.clone()
    }
}

/// Starts an agent that reads `uri` and looks again each second.
fn start(uri: &str, more: &[&str]) -> Agent {
    let mut arguments = vec![
        "--conf-uri",
        uri,
        "--conf-user",
        "user",
        "--conf-password=secret",
    ];
    arguments.extend([
        "-i",
        "1",
        "-Dflume.monitoring.type=http",
        "-Dflume.monitoring.port=0",
    ]);
    arguments.extend(more);
    // The file that the harness names besides counts no longer.
    Agent::start(Path::new(PROGRAM), "broken", &arguments).unwrap()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

fn capacity(agent: &Agent) -> usize {
    let status = agent.status().unwrap();
    let channels = status
        .components
        .iter()
        .filter_map(|component| component.channel.as_ref());
    channels.map(|channel| channel.capacity).sum()
}

/// The metrics of an agent, from the port that its log names.
fn metrics(agent: &Agent) -> String {
    let log = agent.log();
    let (_, rest) = log.split_once("monitoring listens at ").unwrap();
    let port = rest
        .split_whitespace()
        .next()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "GET /metrics/prometheus HTTP/1.0\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}

#[test]
fn a_web_server_is_polled_and_may_fail() {
    let (server, uri) = WebServer::start(FLOW);
    let mut agent = start(&uri, &[]);
    agent.address("r1");
    assert_eq!(capacity(&agent), 1000);
    wait("a second question", || server.answers().contains(&304));
    server.set(|served| served.body = FLOW.replace("= 1000", "= 2000") + "# longer\n");
    wait("a reload", || capacity(&agent) == 2000);

    server.set(|served| served.fails = Some("503 Service Unavailable"));
    wait("a problem", || agent.status().unwrap().unreadable.is_some());
    let problem = agent.status().unwrap().unreadable.unwrap().error;
    assert!(problem.contains("the server answered 503"), "{problem}");
    assert!(problem.contains(&uri), "{problem}");
    assert!(metrics(&agent).contains("flume_configuration_readable{agent=\"a1\"} 0"));
    assert_eq!(capacity(&agent), 2000);

    server.set(|served| served.fails = None);
    wait("a recovery", || {
        agent.status().unwrap().unreadable.is_none()
    });
    let log = agent.log();
    assert!(!log.contains("secret"), "{log}");
    let lines = log
        .lines()
        .filter(|line| line.contains("failed to look for a new configuration"));
    assert_eq!(lines.count(), 1, "{log}");
    assert_eq!(agent.stop().unwrap().0.code(), Some(0));
}

#[test]
fn a_wrong_configuration_on_a_web_server_changes_nothing() {
    let (server, uri) = WebServer::start(FLOW);
    let mut agent = start(&uri, &[]);
    agent.address("r1");
    server.set(|served| served.body = FLOW.replace("type = memory", "type = memroy") + "# other\n");
    wait("a refusal", || {
        let reload = agent.status().unwrap().last_reload;
        reload.is_some_and(|reload| reload.error.is_some_and(|error| error.contains("memroy")))
    });
    let metrics = metrics(&agent);
    assert!(metrics.contains("flume_configuration_last_reload_successful{agent=\"a1\"} 0"));
    assert!(metrics.contains("flume_configuration_failed_reloads_total{agent=\"a1\"} 1"));
    assert_eq!(capacity(&agent), 1000);
    agent.stop().unwrap();
}

/// A service manager starts the agent again after 1, and not after 2.
#[test]
fn a_server_that_refuses_or_is_away_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, uri) = WebServer::start(FLOW);
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let mut all = vec!["agent", "-n", "a1", "--state-dir", "state", "-u"];
        all.extend(arguments);
        let output = flume(&all, directory.path());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    };
    check(&[&uri], 1, "the server wants another login (401)");
    check(&["http://127.0.0.1:1/x"], 1, "http://127.0.0.1:1/x: ");
    check(
        &["ftp://x/y"],
        2,
        "the scheme must be file, http, https or classpath",
    );
    check(
        &["classpath:x"],
        2,
        "copy the file and name it with --conf-file",
    );
    check(
        &[&uri, "--conf-user", "u"],
        2,
        "--conf-user and --conf-password (or --password-file) belong together",
    );
    fs::write(directory.path().join("password"), "secret\n").unwrap();
    let user = |more: &'static [&'static str]| {
        let mut all = vec!["validate", "-u", &uri, "--conf-user", "user"];
        all.extend(more);
        let output = flume(&all, directory.path());
        (output.status.code(), said(&output))
    };
    let (code, text) = user(&["--password-file", "password"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("list of processes"), "{text}");
    let (code, text) = user(&["--conf-password", "secret"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("list of processes").count(), 1, "{text}");
    let (code, text) = user(&["--password-file", "nothing"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nothing cannot be read"), "{text}");
    check(&["http://h/x.json"], 2, "only properties can be read");
}

#[test]
fn later_files_win_and_validate_reads_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("one", FLOW);
    write("two", "a1.channels.c1.capacity = x${dir}\ndir = y\n");
    write("three", "a1.channels.c1.capacity = ${size}\nsize = 700\n");
    let accepted = flume(
        &["validate", "-f", "one", "-f", "two", "-f", "three"],
        directory.path(),
    );
    assert_eq!(accepted.status.code(), Some(0), "{}", said(&accepted));
    assert!(
        said(&accepted).contains("0 errors, 1 warning"),
        "{}",
        said(&accepted)
    );
    let uri = format!("file://{}", directory.path().join("two").display());
    let one = format!("file://{}", directory.path().join("one").display());
    let both = flume(
        &["validate", "--conf-uri", &one, "-u", &uri],
        directory.path(),
    );
    assert!(said(&both).contains("found `xy`"), "{}", said(&both));
}

#[test]
fn a_copy_of_the_last_configuration_starts_an_agent() {
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup").display().to_string();
    let (server, uri) = WebServer::start(FLOW);
    let mut agent = start(&uri, &["-b", &backup]);
    agent.address("r1");
    agent.stop().unwrap();
    let copy = fs::read_to_string(directory.path().join("backup/.a1.properties")).unwrap();
    assert!(copy.contains("a1.channels.c1.capacity = 1000"), "{copy}");
    server.set(|served| served.fails = Some("500 Oops"));
    let mut agent = start(&uri, &["-b", &backup]);
    agent.address("r1");
    assert!(
        agent.log().contains("the last configuration read"),
        "{}",
        agent.log()
    );
    server.set(|served| {
        served.fails = None;
        served.body = FLOW.replace("= 1000", "= 3000") + "# longer still\n";
    });
    wait("a reload", || capacity(&agent) == 3000);
    agent.stop().unwrap();
}

#[test]
fn a_file_of_options_is_read() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("flume.conf"), FLOW).unwrap();
    let options =
        "n = a1\nconf-file = flume.conf\nstate-dir = state\nstrict = yes\ndryrun = true\n";
    fs::write(directory.path().join("flume.opts"), options).unwrap();
    let output = flume(
        &["agent", "--conf", ".", "-Dx.password=hush"],
        directory.path(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let line = said(&output);
    let expected = "agent --conf=. --conf-file=flume.conf --name=a1 --state-dir=state --strict -Dx.password=***";
    assert!(line.contains(expected), "{line}");
}

/// `-d` of Flume's launcher has no value: what follows it is an option of its own.
#[test]
fn a_dry_run_of_the_launcher_prints_the_command_and_runs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for dry_run in ["-d", "--dryrun"] {
        let arguments = ["agent", dry_run, "-n", "a1", "-f", "flume.conf"];
        let output = flume(&arguments, directory.path());
        let line = said(&output);
        assert_eq!(output.status.code(), Some(0), "{line}");
        let expected = "flume-ng agent --conf-file=flume.conf --name=a1\n";
        assert!(line.ends_with(expected), "{dry_run}: {line}");
        let made = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(made, 0, "no file is read, and none is made");
    }
}

/// As configurations come from images and by `cp -p` or `rsync -t`: every version has the same time.
#[test]
fn a_link_that_points_to_another_configuration_of_the_same_time_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    // The second is as long as the first, the third is not.
    for (name, capacity) in [("v1", 1500), ("v2", 2500), ("v3", 10_000)] {
        let mut file = fs::File::create(path(name)).unwrap();
        let text = FLOW.replace("= 1000", &format!("= {capacity}"));
        file.write_all(text.as_bytes()).unwrap();
        file.set_modified(time).unwrap();
    }
    let point_to = |version: &str| {
        std::os::unix::fs::symlink(path(version), path("next")).unwrap();
        fs::rename(path("next"), path("flume.conf")).unwrap();
    };
    point_to("v1");
    let uri = format!("file://{}", path("flume.conf").display());
    let mut agent = start(&uri, &[]);
    agent.address("r1");
    assert_eq!(capacity(&agent), 1500);
    for (version, expected) in [("v2", 2500), ("v3", 10_000), ("v1", 1500)] {
        point_to(version);
        wait("a reload", || capacity(&agent) == expected);
    }
    agent.stop().unwrap();
}

/// What another user can change must not run as root when root only looks at it.
#[test]
fn root_runs_nothing_for_the_configuration_of_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("ran");
    let conf = directory.path().join("flume.conf");
    let text = format!(
        "a1.configfilters = f\na1.configfilters.f.type = external\n\
         a1.configfilters.f.command = /usr/bin/touch {}\n{}a1.sources.r1.bind = ${{f['k']}}\n",
        trace.display(),
        FLOW.replace("a1.sources.r1.bind = localhost\n", ""),
    );
    fs::write(&conf, text).unwrap();
    let env = directory.path().join("flume-env.sh");
    fs::write(&env, format!("touch {}\n", trace.display())).unwrap();
    for file in [&conf, &env] {
        std::os::unix::fs::chown(file, Some(65534), None).unwrap();
    }
    let conf_dir = directory.path().display().to_string();
    for command in ["validate", "graph"] {
        let output = flume(
            &[command, "-f", "flume.conf", "--conf", &conf_dir],
            directory.path(),
        );
        let said = said(&output);
        assert!(said.contains("is not sourced"), "{said}");
        if command == "validate" {
            assert!(said.contains("another user can change"), "{said}");
        }
        assert!(!trace.exists(), "{command} ran it");
    }
}

/// Another user puts a FIFO, or a link, where root reads a configuration.
#[test]
fn root_waits_for_no_fifo_and_follows_no_link_of_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("secret"), "hunter2 = x\n").unwrap();
    std::os::unix::fs::symlink(at("secret"), at("link.conf")).unwrap();
    for fifo in ["fifo.conf", "flume-env.sh"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mkfifoat(rustix::fs::CWD, at(fifo), mode).unwrap();
    }
    std::os::unix::fs::chown(directory.path(), Some(65534), None).unwrap();
    for (file, why) in [
        ("fifo.conf", "fifo.conf is a FIFO"),
        ("link.conf", "link.conf is a symbolic link"),
    ] {
        let test = format!(
            "config = \"{file}\"\n[[test]]\nname = \"t\"\nevents = [{{ body = \"1\" }}]\n\
                 nothing_elsewhere = true\n"
        );
        fs::write(at("flow.test.toml"), test).unwrap();
        for arguments in [
            &["validate", "-f", file, "--conf", "."][..],
            &["graph", "-f", file, "--conf", "."],
            &["test", "flow.test.toml"],
        ] {
            let said = said(&flume(arguments, directory.path()));
            let named = format!("{file} is not read with root's rights");
            assert!(said.contains(&named) && said.contains(why), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    // The doctor looks for a file of this name in the directory of the node.
    fs::rename(at("fifo.conf"), at("flume.conf")).unwrap();
    let node = tempfile::NamedTempFile::new().unwrap();
    let hdp = serde_json::json!({ "flume_conf_dir": directory.path() });
    fs::write(node.path(), serde_json::json!({ "hdp": hdp }).to_string()).unwrap();
    let node = node.path().display().to_string();
    let output = flume(&["doctor", "--config", &node], directory.path());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("flume.conf is a FIFO"), "{shown}");
}

#[test]
fn a_change_beside_a_part_that_is_away_is_read_when_that_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("more.properties");
    fs::write(&file, "a1.channels.c1.capacity = 1500\n").unwrap();
    let (server, uri) = WebServer::start(FLOW);
    let mut agent = start(&uri, &["--conf-uri", &format!("file://{}", file.display())]);
    agent.address("r1");
    assert_eq!(capacity(&agent), 1500);
    server.set(|served| served.fails = Some("503 Service Unavailable"));
    wait("a problem", || agent.status().unwrap().unreadable.is_some());
    fs::write(&file, "# another\na1.channels.c1.capacity = 2500\n").unwrap();
    wait("a refusal", || {
        let reload = agent.status().unwrap().last_reload;
        reload.is_some_and(|reload| reload.error.is_some())
    });
    assert_eq!(capacity(&agent), 1500);
    server.set(|served| served.fails = None);
    wait("a reload", || capacity(&agent) == 2500);
    agent.stop().unwrap();
}

#[test]
fn a_dry_run_does_not_keep_the_agent_from_reading_a_change_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("more.properties");
    fs::write(&file, "a1.channels.c1.capacity = 1500\n").unwrap();
    let (_server, uri) = WebServer::start(FLOW);
    let mut agent = start(&uri, &["--conf-uri", &format!("file://{}", file.display())]);
    agent.address("r1");
    assert_eq!(capacity(&agent), 1500);
    // Within a second of the change the agent may have read it already, so more than one try is made.
    for larger in 1501..1505 {
        fs::write(
            &file,
            format!("# more\na1.channels.c1.capacity = {larger}\n"),
        )
        .unwrap();
        agent
            .ask(&ControlRequest::Reload { dry_run: true })
            .unwrap();
        wait("a reload", || capacity(&agent) == larger);
    }
    agent.stop().unwrap();
}

/// Far below the 120 s that the first answer may take, and the 30 s of a filter's program.
const AT_ONCE: Duration = Duration::from_secs(20);

#[test]
fn a_stop_does_not_wait_for_a_server_that_hangs_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/x", listener.local_addr().unwrap());
    let arguments = [
        "agent",
        "-n",
        "a1",
        "--state-dir",
        "state",
        "--conf-uri",
        &uri,
    ];
    let said = directory.path().join("said");
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory.path());
    command.stderr(fs::File::create(&said).unwrap());
    let mut agent = command.spawn().unwrap();
    let (_hanging, _) = listener.accept().unwrap();
    // The signals are listened for by now or within a moment; before that one would end it, too.
    thread::sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
    wait("a dump", || {
        fs::read_to_string(&said)
            .unwrap()
            .contains("end of the dump")
    });
    let begin = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait("an end", || agent.try_wait().unwrap().is_some());
    assert!(begin.elapsed() < AT_ONCE);
    assert_eq!(agent.wait().unwrap().code(), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_a_filter_that_hangs_in_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let program = path("program");
    let slow = path("slow");
    let running = path("running");
    let line = format!("if [ -e {slow} ]; then echo >{running}; exec sleep 100; fi; echo 1000\n");
    fs::write(&program, line).unwrap();
    let filter = format!(
        "a1.configfilters = f\na1.configfilters.f.type = external\n\
         a1.configfilters.f.command = /bin/sh {program}\n"
    );
    let flow = FLOW.replace("= 1000", "= ${f['x']}") + &filter;
    let mut agent = Agent::start(Path::new(PROGRAM), &flow, &[]).unwrap();
    agent.address("r1");
    fs::write(&slow, "").unwrap();
    agent.signal("HUP").unwrap();
    wait("a reload", || Path::new(&running).exists());
    let begin = Instant::now();
    let (status, log) = agent.stop().unwrap();
    assert!(begin.elapsed() < AT_ONCE);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped, nothing remained"), "{log}");
}
