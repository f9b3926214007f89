//! The page of the monitoring port in a real browser: what it says of a flow that stands, and whether it is accessible.
//! The pictures are left in `target/page` for whoever wants to look.

use std::{fmt::Write as _, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    agents::{Maker, Running, install, root, target},
    report::Report,
};

/// A flow, how the page is looked at, and what it must say.
struct Scene {
    name: &'static str,
    configuration: fn() -> String,
    size: (u32, u32),
    scheme: &'static str,
    steps: &'static [&'static str],
    says: &'static str,
}

const DESKTOP: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);

const SCENES: &[Scene] = &[
    scene("all well", well, "All is well."),
    scene(
        "a full channel, and its sink",
        full,
        "Channel c1 is full; source r1 stands still",
    ),
    Scene {
        size: PHONE,
        ..scene("phone", full, "Connection refused")
    },
    Scene {
        scheme: "dark",
        ..scene("dark", full, "What to do")
    },
    scene("Kerberos", kerberos, "Check the keytab"),
    // From the problem's button into the graph, one node on, and into the panel.
    Scene {
        steps: &[
            "key:Tab",
            "key:Tab",
            "key:Tab",
            "key:Tab",
            "key:Tab",
            "key:ArrowRight",
            "key:Enter",
            "wait:2",
        ],
        ..scene("by keyboard", full, "Channel c1 is full")
    },
    scene("two hundred components", many, "Sink k33 delivers nothing"),
];

const fn scene(name: &'static str, configuration: fn() -> String, says: &'static str) -> Scene {
    Scene {
        name,
        configuration,
        size: DESKTOP,
        scheme: "light",
        steps: &[],
        says,
    }
}

fn well() -> String {
    "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = exec\n\
     a1.sources.r1.shell = /bin/sh -c\na1.sources.r1.command = while true; do echo x; sleep 0.1; done\n\
     a1.sources.r1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n"
        .into()
}

fn full() -> String {
    "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
     a1.channels.c1.type = memory\na1.channels.c1.capacity = 1000\na1.sinks.k1.type = avro\n\
     a1.sinks.k1.hostname = localhost\na1.sinks.k1.port = 9\na1.sinks.k1.channel = c1\n"
        .into()
}

/// The keytab is no keytab.
fn kerberos() -> String {
    let sink = "hdfs\na1.sinks.k1.hdfs.path = hdfs://localhost:9/flume\n\
                a1.sinks.k1.hdfs.kerberosPrincipal = flume/host@EXAMPLE.COM\n\
                a1.sinks.k1.hdfs.kerberosKeytab = @DIR@/flume.conf\n";
    well().replace("null\n", sink)
}

fn many() -> String {
    let list = |letter: &str, count: usize| -> String {
        (0..count)
            .map(|number| format!(" {letter}{number}"))
            .collect()
    };
    let mut text = format!(
        "a1.sources ={}\na1.channels ={}\na1.sinks ={}\n",
        list("r", 60),
        list("c", 60),
        list("k", 80)
    );
    for number in 0..60 {
        let _ = write!(
            text,
            "a1.sources.r{number}.type = exec\na1.sources.r{number}.shell = /bin/sh -c\n\
             a1.sources.r{number}.command = while true; do echo x; sleep 3; done\n\
             a1.sources.r{number}.channels = c{number}\na1.channels.c{number}.type = memory\n"
        );
    }
    for number in 0..80 {
        let kind = if number == 33 {
            "avro\na1.sinks.k33.hostname = localhost\na1.sinks.k33.port = 9"
        } else {
            "null"
        };
        let channel = number % 60;
        let _ = write!(
            text,
            "a1.sinks.k{number}.type = {kind}\na1.sinks.k{number}.channel = c{channel}\n"
        );
    }
    text
}

fn pictures() -> PathBuf {
    target().join("page")
}

/// Every scene.
pub fn show(report: &mut Report) -> Result<()> {
    install("page", &[&pictures()])?;
    for scene in SCENES {
        let agent = Running::start(Maker::Ours, &(scene.configuration)())?;
        std::thread::sleep(Duration::from_secs(8));
        let seen = look(&agent, scene)?;
        judge(report, scene, &seen);
    }
    reload(report)
}

/// What the browser shows of the agent.
fn look(agent: &Running, scene: &Scene) -> Result<Value> {
    let picture = pictures().join(format!("{}.png", scene.name.replace([' ', ','], "-")));
    let (width, height) = scene.size;
    let output = Command::new("node")
        .arg(root().join("rig/page/drive.js"))
        .arg(agent.page())
        .arg(picture)
        .arg(pictures().join("package/axe.min.js"))
        .args([
            width.to_string(),
            height.to_string(),
            scene.scheme.to_string(),
        ])
        .args(scene.steps)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).with_context(|| format!("{}: {text} {error}", scene.name))
}

fn judge(report: &mut Report, scene: &Scene, seen: &Value) {
    let name = scene.name;
    let says = seen["problems"].as_str().unwrap_or_default();
    let said = says.contains(scene.says);
    if !said {
        println!("{name}: {says}");
    }
    let item = format!("{name}: says `{}`", scene.says);
    report.row(&item, said, "true", said);
    for (what, key) in [
        ("violations of WCAG AA", "violations"),
        ("errors of the script", "errors"),
        ("requests elsewhere", "foreign"),
    ] {
        let found = seen[key].as_array().map_or(usize::MAX, Vec::len);
        if found > 0 {
            println!("{name}: {}", seen[key]);
        }
        report.row(&format!("{name}: {what}"), found, "0", found == 0);
    }
    let fits = seen["wide"] == false;
    report.row(&format!("{name}: fits the screen"), fits, "true", fits);
    if scene.steps.len() > 1 {
        let panel = seen["panel"].as_str().unwrap_or_default();
        let opened = panel.contains("LAST ERRORS") && panel.contains("SETTINGS");
        report.row("by keyboard: a panel is open", opened, "true", opened);
    }
}

/// A reload shows on the page that is open: here, one opened right after it.
fn reload(report: &mut Report) -> Result<()> {
    let agent = Running::start(Maker::Ours, &well())?;
    std::thread::sleep(Duration::from_secs(4));
    let changed = well().replace("sinks = k1", "sinks = k1 k2")
        + "a1.sinks.k2.type = null\na1.sinks.k2.channel = c1\n";
    fs::write(agent.dir().join("flume.conf"), changed)?;
    let asked = Command::new(crate::agents::program())
        .args(["reload", "--state-dir", "state"])
        .current_dir(agent.dir())
        .output()?;
    ensure!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let seen = look(&agent, &scene("a reload", well, "All is well."))?;
    let nodes = seen["nodes"].as_u64().unwrap_or_default();
    report.row("a reload: components on the page", nodes, "4", nodes == 4);
    Ok(())
}
