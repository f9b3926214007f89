//! Start scripts in the style of distributions of Flume, run unchanged: each starts an agent that takes events, stops
//! on SIGTERM, and says what it must.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");
const WAIT: Duration = Duration::from_secs(60);

/// A fake host below a directory.
struct FakeHost {
    root: tempfile::TempDir,
    output: PathBuf,
}

impl FakeHost {
    fn new(output: &str) -> FakeHost {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join(output);
        FakeHost { root, output }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file; `@` in it stands for the root.
    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let root = self.root.path().display().to_string();
        fs::write(path, text.replace('@', &root)).unwrap();
    }

    /// A configuration of one flow, with a free port.
    fn configuration(&self, name: &str, agent: &str, more: &str) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!(
            "{agent}.sources = r1\n{agent}.channels = c1\n{agent}.sinks = k1\n{agent}.sources.r1.type = netcat\n\
             {agent}.sources.r1.bind = 127.0.0.1\n{agent}.sources.r1.port = {port}\n\
             {agent}.sources.r1.channels = c1\n{agent}.channels.c1.type = memory\n\
             {agent}.sinks.k1.type = file_roll\n{agent}.sinks.k1.channel = c1\n\
             {agent}.sinks.k1.sink.directory = {more}\n"
        );
        self.file(name, &text);
        port
    }

    /// The launcher as the packages have it, a shell script.
    fn launcher_script(&self, home: &str) {
        let text = include_str!("../../../packaging/bin/flume-ng");
        let path = self.path(home).join("bin/flume-ng");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program itself, by a link.
    fn launcher_link(&self, home: &str) {
        fs::create_dir_all(self.path(home).join("bin")).unwrap();
        symlink(PROGRAM, self.path(home).join("bin/flume-ng")).unwrap();
    }

    fn run(&self, script: &str, environment: &[(&str, &str)]) -> Child {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/start_scripts")
            .join(script);
        let shell = fs::read_to_string(&path).unwrap();
        let shell = shell
            .lines()
            .next()
            .unwrap()
            .trim_start_matches("#!")
            .to_string();
        let home = self.path("home");
        fs::create_dir_all(&home).unwrap();
        Command::new(shell)
            .arg(path)
            .env("ROOT", self.root.path())
            .env("HOME", home)
            .env("FLUME_NG_PROGRAM", PROGRAM)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Sends a line, stops the agent, and looks at what it said and wrote.
    fn prove(&self, mut child: Child, port: u16, written: &str, said: &[&str]) {
        let deadline = Instant::now() + WAIT;
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.said());
            assert!(Instant::now() < deadline, "nobody listens: {}", self.said());
        };
        stream.write_all(b"hello\n").unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"OK");
        let terminated = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(terminated.success());
        let status = child.wait().unwrap();
        let log = self.said();
        assert!(status.success(), "{status}: {log}");
        for part in said {
            assert!(log.contains(part), "`{part}` is missing: {log}");
        }
        let files = fs::read_dir(self.path(written)).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        assert_eq!(texts.collect::<String>(), "hello\n", "{log}");
    }
}

#[test]
fn cdh_5() {
    let host = FakeHost::new("var/log/flume.out");
    fs::create_dir_all(host.path("data")).unwrap();
    host.launcher_script("usr/lib/flume-ng");
    let port = host.configuration("etc/flume-ng/conf/flume.conf", "agent", "${sys:site.data}");
    host.file(
        "etc/default/flume-ng-agent",
        "FLUME_AGENT_NAME=agent\nFLUME_CONF_DIR=@/etc/flume-ng/conf\nFLUME_CONF_FILE=@/etc/flume-ng/conf/flume.conf\n\
         FLUME_LOG_DIR=@/var/log\nFLUME_RUN_DIR=@/var/run\n\
         FLUME_AGENT_OPTS=\"-Dsite.data=@/data -Dflume.root.logger=INFO,console\"\n",
    );
    host.file(
        "etc/flume-ng/conf/flume-env.sh",
        "JAVA_OPTS=\"-Xms100m -Xmx200m -Dcom.sun.management.jmxremote\"\nFLUME_CLASSPATH=\"\"\n",
    );
    let child = host.run("cdh5.sh", &[]);
    host.prove(child, port, "data", &["flume-env.sh", "-Xms100m -Xmx200m"]);
}

#[test]
fn hdp_2_6() {
    let host = FakeHost::new("out");
    fs::create_dir_all(host.path("data")).unwrap();
    host.launcher_link("usr/hdp/current/flume-server");
    let port = host.configuration("etc/flume/conf/a1/flume.conf", "a1", "${env:SITE_DATA}");
    host.file(
        "etc/flume/conf/a1/flume-env.sh",
        "export JAVA_HOME=@/usr/jdk64/jdk1.8.0_112\nexport SITE_DATA=@/data\n\
         export JAVA_OPTS=\"-XX:OnOutOfMemoryError='kill -9 %p' -XX:+UseConcMarkSweepGC -d64\"\n\
         if [ -d /nowhere ]; then\n  export FLUME_CLASSPATH=$FLUME_CLASSPATH:/nowhere/*\nfi\n",
    );
    let child = host.run("hdp26.sh", &[("AGENT", "a1")]);
    let said = [
        "there is no monitoring",
        "-XX:OnOutOfMemoryError=kill -9 %p",
    ];
    host.prove(child, port, "data", &said);
}

#[test]
fn bigtop() {
    let host = FakeHost::new("out");
    fs::create_dir_all(host.path("data")).unwrap();
    host.launcher_script("usr/lib/flume");
    let port = host.configuration("etc/flume/conf/flume.conf", "agent", "${SITE_DATA}");
    host.file(
        "etc/default/flume-agent",
        "FLUME_AGENT_NAME=agent\nFLUME_CONF_DIR=@/etc/flume/conf\nFLUME_LOG_DIR=@/var/log/flume\n",
    );
    host.file("etc/default/hadoop", "export SITE_DATA=@/data\n");
    host.file(
        "etc/flume/conf/flume-env.sh",
        "JAVA_OPTS=\"$JAVA_OPTS -DpropertiesImplementation=org.apache.flume.node.EnvVarResolverProperties\"\n",
    );
    let child = host.run("bigtop.sh", &[]);
    host.prove(child, port, "data", &["flume-env.sh"]);
    let log = fs::read_to_string(host.path("var/log/flume/flume.log")).unwrap();
    assert!(log.contains("starts agent agent"), "{log}");
}

#[test]
fn a_container() {
    let host = FakeHost::new("out");
    fs::create_dir_all(host.path("data")).unwrap();
    host.launcher_link("opt/flume");
    let port = host.configuration(
        "opt/flume-config/flume.conf",
        "docker",
        "${env:SITE_DATA:-.}",
    );
    let data = host.path("data").display().to_string();
    let child = host.run(
        "container.sh",
        &[("SITE_DATA", &data), ("LOG_LEVEL", "DEBUG")],
    );
    let said = [
        "monitoring listens",
        "--add-opens=java.base/java.lang=ALL-UNNAMED -ea",
    ];
    host.prove(child, port, "data", &said);
}

/// The program takes the options from `flume-env.sh` itself; on a command line everybody could read them.
#[test]
fn the_unit_puts_no_options_on_the_command_line() {
    let unit = include_str!("../../../packaging/systemd/flume-agent@.service");
    let command = unit.lines().find(|line| line.starts_with("ExecStart="));
    let command = command.unwrap();
    assert!(!command.contains("JAVA_OPTS"), "{command}");
    assert!(!command.contains("flume-env.sh"), "{command}");
    assert!(command.contains("--conf \"$$FLUME_CONF_DIR\""), "{command}");
}
