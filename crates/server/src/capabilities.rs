//! The real clock and the real randomness. All other crates get them as values, so that tests decide both.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;

/// The machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl storage::Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one clock that all others are given"
    )]
    fn now_ms(&self) -> u64 {
        // Before 1970 only a broken clock reads; then time stands still at 0 until it is set.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }
}

/// The operating system's randomness, by way of a generator that it seeds.
#[derive(Debug, Clone, Copy)]
pub struct SystemRandom;

impl storage::Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one randomness that all others are given"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
