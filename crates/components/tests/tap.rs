//! A tap on a channel sees what is put and what is taken, as long as it is there.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flume_components::REGISTRY;
use flume_core::{Channel, ChannelHandle, ChannelTap, Context, Event, Want};
use flume_testkit::parts::{build, events};

/// What passed, in order.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl Noted {
    fn note(&self, verb: &str, events: &[Event]) {
        let bodies = events
            .iter()
            .map(|event| String::from_utf8_lossy(&event.body));
        let line = format!("{verb} {}", bodies.collect::<Vec<_>>().join(" "));
        self.0.lock().unwrap().push(line);
    }
}

impl ChannelTap for Noted {
    fn put(&self, events: &[Event]) {
        self.note("put", events);
    }

    fn taken(&self, events: &[Event]) {
        self.note("taken", events);
    }
}

#[tokio::test]
async fn a_tap_sees_every_put_and_take_until_it_is_removed() {
    let cx = Context::new("a1.channels.c1", &[]);
    let properties = "capacity = 4\ntransactionCapacity = 4\nkeep-alive = 0";
    let channel = build::<dyn Channel>(&REGISTRY, "memory", properties, &cx);
    let channel = ChannelHandle::new(channel, cx);
    channel.put(events("unseen")).await.unwrap();
    let noted = Noted::default();
    channel.set_tap(Some(Box::new(noted.clone())));
    channel.put(events("a b")).await.unwrap();
    assert!(channel.put(events("too many of them")).await.is_err());
    let take = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
    take.commit().await.unwrap();
    channel.set_tap(None);
    channel.put(events("c")).await.unwrap();
    assert_eq!(*noted.0.lock().unwrap(), ["put a b", "taken unseen a"]);
}
