//! The engine on a model of a disk: every crash, failure and flipped byte that can be made up, against an oracle.

mod crashes;
mod damage;
mod edges;
mod failures;
mod flips;
mod model;
mod oracle;
mod quarantine;
mod storm;
mod takeover;
mod world;

/// A small generator of numbers: the same from the same seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// How much more than usual is tried: `FILE_CHANNEL_EFFORT=20` for a long run.
fn effort() -> u64 {
    std::env::var("FILE_CHANNEL_EFFORT")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}
