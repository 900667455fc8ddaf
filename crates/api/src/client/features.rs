//! Unstable features that work, as `/versions` lists them. Whoever serves one adds it here, in the same change.
//!
//! Clients read this as "the server can do it": a name stands here only while its endpoints answer and its tests run.

/// Names of features under their unstable prefixes.
pub(crate) const UNSTABLE: &[&str] = &[
    // Sliding sync in the shape that today's clients speak (`sliding_sync.rs`).
    "org.matrix.simplified_msc3575",
    // `state_after` in `/sync` (`sync.rs`).
    "org.matrix.msc4222",
];
