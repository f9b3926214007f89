//! The declared configuration, the table row and the sink, through their public faces only.

mod common;

use std::{path::Path, time::Duration};

use common::{build, events};
use flume_core::{Context, Sink};

#[tokio::test(start_paused = true)]
async fn writes_and_rolls() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "type = file_roll\nsink.directory = {}\nsink.serializer.appendNewline = false",
        dir.path().display()
    );
    let mut sink: Box<dyn Sink> = build("file_roll", &text, &Context::new("a1.sinks.k1", &["c1"]));
    sink.deliver(&events("a b")).await.unwrap();
    sink.tick().await.unwrap();
    sink.deliver(&events("c")).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    sink.tick().await.unwrap();
    sink.deliver(&events("d")).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(contents(dir.path()), ["abc", "d"]);
}

fn contents(dir: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}
