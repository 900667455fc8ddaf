//! What a node is given from outside: time and randomness. The real ones live in the `server` crate, tests pass their own.

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// Gives unpredictable bytes.
pub trait Random: Send + Sync {
    /// Fills the whole slice with bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}
