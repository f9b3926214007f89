//! Events with everything that may be in one.

use flume_client::{Event, Headers, Str};

/// Bytes of a large body.
const LARGE_BODY_BYTES: usize = 1 << 20;
/// Headers of an event that has many.
const MANY_HEADERS: usize = 10_000;
/// One event in so many is large, and one has many headers.
const RARE: usize = 3000;

/// Makes events, the same ones for the same seed.
pub struct EventMill {
    random: fastrand::Rng,
    made: usize,
}

impl EventMill {
    /// Mills of the same seed make the same events.
    pub fn new(seed: u64) -> Self {
        EventMill {
            random: fastrand::Rng::with_seed(seed),
            made: 0,
        }
    }

    /// The next events: bodies that are empty, binary, and now and then of a mebibyte; headers that are few, and now and
    /// then ten thousand, in every script. The first events have one of each.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Event {
        let lot = self.random.usize(..RARE);
        let kind = if self.made < 6 { self.made } else { lot };
        self.made += 1;
        let body_bytes = match kind {
            0 => LARGE_BODY_BYTES,
            1 => 0,
            lot if lot % 5 == 0 => 0,
            _ => self.random.usize(..2000),
        };
        let headers = match kind {
            1 | 2 => 0,
            3 => MANY_HEADERS,
            lot if lot % 3 == 0 => 0,
            _ => self.random.usize(..8),
        };
        let mut body = vec![0; body_bytes];
        self.random.fill(&mut body);
        let headers: Headers = (0..headers).map(|_| (self.text(), self.text())).collect();
        Event {
            headers,
            body: body.into(),
        }
    }

    fn text(&mut self) -> Str {
        let characters = self.random.usize(..12);
        let text: String = (0..characters)
            .map(|_| match self.random.u32(..4) {
                0 => self.random.char('\0'..='\u{10ffff}'),
                _ => self.random.char(' '..='~'),
            })
            .collect();
        text.into()
    }
}
