//! Events with everything that may be in one.

use flume_client::{Event, Headers, Str};

/// Bytes of a large body.
const LARGE_BODY_BYTES: usize = 1 << 20;

/// Makes events, the same ones for the same seed.
pub struct EventMill(fastrand::Rng);

impl EventMill {
    /// Mills of the same seed make the same events.
    pub fn new(seed: u64) -> Self {
        EventMill(fastrand::Rng::with_seed(seed))
    }

    /// The next events: bodies that are empty, binary, and now and then of a mebibyte; headers that are few, and now and
    /// then a thousand, in every script.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Event {
        let body_bytes = match self.0.u32(..1000) {
            0 => LARGE_BODY_BYTES,
            1..200 => 0,
            _ => self.0.usize(..2000),
        };
        let headers = match self.0.u32(..1000) {
            0 => 1000,
            1..300 => 0,
            _ => self.0.usize(..8),
        };
        let mut body = vec![0; body_bytes];
        self.0.fill(&mut body);
        let headers: Headers = (0..headers).map(|_| (self.text(), self.text())).collect();
        Event {
            headers,
            body: body.into(),
        }
    }

    fn text(&mut self) -> Str {
        let characters = self.0.usize(..12);
        let text: String = (0..characters)
            .map(|_| match self.0.u32(..4) {
                0 => self.0.char('\0'..='\u{10ffff}'),
                _ => self.0.char(' '..='~'),
            })
            .collect();
        text.into()
    }
}
