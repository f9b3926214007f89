//! What every sink must do. `flume_testkit::sink_contract!(sink)` makes a test of each, with
//! `fn sink() -> SinkUnderTest` giving a new one.

#![expect(missing_docs, reason = "the names of the tests say what they demand")]

use flume_core::{Context, Event, Sink};

use crate::parts::events;

/// A sink and a way to see what it delivered.
pub struct SinkUnderTest {
    /// The sink, built and not yet open.
    pub sink: Box<dyn Sink>,
    /// What it was built with.
    pub cx: Context,
    /// The bodies delivered so far, in order; none for a sink whose deliveries leave no trace.
    pub delivered: Option<Box<dyn Fn() -> Vec<String>>>,
    /// Held until the end of the test: a directory, a server.
    pub holds: Box<dyn std::any::Any>,
}

/// Emits the tests.
#[macro_export]
macro_rules! sink_contract {
    ($sink:path) => {
        $crate::sink_contract!($sink:
            a_batch_is_delivered_in_order
            an_idle_sink_may_tick_for_ever
            a_closed_sink_can_be_closed_and_opened_again
            it_wants_at_least_one_event
        );
    };
    ($sink:path: $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::sink_contract::$name($sink()).await
        }
    )*};
}

impl SinkUnderTest {
    async fn deliver(&mut self, words: &str) {
        let batch: Vec<Event> = events(words);
        self.sink.tick().await.expect("a tick");
        let delivered = self.sink.deliver(&batch).await.expect("a delivery");
        assert!(delivered.rejected.is_empty(), "{:?}", delivered.rejected);
    }

    fn check(&self, expected: &str) {
        if let Some(delivered) = &self.delivered {
            assert_eq!(delivered().join(" "), expected);
        }
    }
}

pub async fn a_batch_is_delivered_in_order(mut test: SinkUnderTest) {
    test.sink.open().await.expect("open");
    test.deliver("a b c").await;
    test.check("a b c");
    test.deliver("d").await;
    test.sink.close().await.expect("closed");
    test.check("a b c d");
}

pub async fn an_idle_sink_may_tick_for_ever(mut test: SinkUnderTest) {
    test.sink.open().await.expect("open");
    for _ in 0..3 {
        test.sink.tick().await.expect("a tick");
    }
    test.deliver("a").await;
    test.sink.close().await.expect("closed");
    test.check("a");
}

pub async fn a_closed_sink_can_be_closed_and_opened_again(mut test: SinkUnderTest) {
    test.sink.open().await.expect("open");
    test.deliver("a").await;
    test.sink.close().await.expect("closed");
    test.sink.close().await.expect("closed again");
    test.sink.open().await.expect("open again");
    test.deliver("b").await;
    test.sink.close().await.expect("closed");
    test.check("a b");
}

pub async fn it_wants_at_least_one_event(test: SinkUnderTest) {
    assert!(test.sink.want().events >= 1);
}
