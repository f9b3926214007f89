//! The examples in the manual are right: configurations validate, and commands are ones of this program.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flume-ng");

fn documents() -> Vec<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut found = vec![docs.join("../README.md")];
    for directory in [docs.clone(), docs.join("guide")] {
        let files = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        found.extend(files.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    found.sort();
    found
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = text.split("\n```").skip(1).step_by(2);
    let fence = format!("{language}\n");
    let mut found = vec![];
    for block in &mut blocks {
        found.extend(block.strip_prefix(&fence).map(String::from));
    }
    found
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn configurations_of_the_guide_validate() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flume.conf");
    let mut tried = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let whole = |block: &String| block.contains(".sinks =");
        for block in blocks(&text, "properties").into_iter().filter(whole) {
            fs::write(&file, &block).unwrap();
            let output = Command::new(PROGRAM)
                .args(["validate", "-f"])
                .arg(&file)
                .envs([("KEYSTORE_PASSWORD", "x"), ("STORE_PASSWORD", "x")])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let name = document.display();
            assert!(output.status.success(), "{name}:\n{block}\n{said}");
            tried += 1;
        }
    }
    assert!(tried >= 3, "{tried}");
}

/// Every command of the page, in its order, in an empty directory.
#[test]
fn the_first_flow_runs_as_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/start.md");
    let port = flume_testkit::agent::free_port().to_string();
    let text = fs::read_to_string(page).unwrap().replace("4141", &port);
    let directory = tempfile::tempdir().unwrap();
    let configuration = &blocks(&text, "properties")[0];
    fs::write(directory.path().join("flume.conf"), configuration).unwrap();
    // A reader sees on the terminal that the agent runs, and that the sink has delivered.
    let wait = "until flume-ng status --state-dir state | grep -q '^source .*running'; do sleep 0.1; done\n";
    let delivered = "until grep -q world out/*; do sleep 0.1; done\n";
    let script: String = blocks(&text, "sh")
        .iter()
        .map(|block| match block {
            block if block.contains("flume-ng agent") => format!("{block}\n{wait}"),
            block if block.contains("avro-client") => format!("{block}\n{delivered}"),
            block => format!("{block}\n"),
        })
        .collect();
    let directories = Path::new(PROGRAM).parent().unwrap().display();
    let output = Command::new("timeout")
        .args(["120", "sh", "-euxc", &script])
        .env("PATH", format!("{directories}:/usr/bin:/bin"))
        .current_dir(directory.path())
        .output()
        .unwrap();
    let [said, log] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{said}\n{log}");
    for expected in ["accepted: agent a1", "hello\nworld\n", "k1"] {
        assert!(said.contains(expected), "{expected}: {said}\n{log}");
    }
}

/// `flume-ng COMMAND --option` in a fenced block or between backquotes.
#[test]
fn commands_of_the_guide_exist() {
    let all = help(&["help"]);
    let commands: Vec<_> = all
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut tried = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let name = document.display();
        let fenced = text.lines().filter(|line| line.starts_with("flume-ng "));
        let inline = text.split('`').skip(1).step_by(2);
        let inline = inline.filter(|part| part.starts_with("flume-ng ") && !part.contains('\n'));
        for line in fenced.chain(inline) {
            let line = line.split(" #").next().unwrap_or_default();
            let mut words = line.split_whitespace().skip(1);
            let Some(command) = words.next() else {
                continue;
            };
            assert!(commands.contains(&command), "{name}: {line}");
            let known = options
                .entry(command.into())
                .or_insert_with(|| help(&["help", command]) + &help(&[command, "--help"]));
            for option in words.filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap_or_default();
                assert!(known.contains(option), "{name}: {line}: {option}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}

/// The book has no page for a document that its summary lacks, so a link to it would lead nowhere.
#[test]
fn the_book_has_every_page_that_it_links_to() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let links = |file: &Path| -> Vec<PathBuf> {
        let text = fs::read_to_string(file).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let targets = targets.filter_map(|target| target.split('#').next());
        let pages = targets.filter(|target| target.ends_with(".md") && !target.contains("://"));
        let found = pages.map(|target| file.parent().unwrap().join(target).canonicalize());
        found.map(|path| path.unwrap()).collect()
    };
    let pages = links(&docs.join("SUMMARY.md"));
    for page in &pages {
        for target in links(page) {
            assert!(pages.contains(&target), "{page:?}: {target:?}");
        }
    }
}
