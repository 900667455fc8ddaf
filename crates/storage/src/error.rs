//! What can go wrong below a storage verb, in terms that a caller can act on.

/// A storage operation that did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The disk (or the database's quota) is full: nothing was written, reads go on, a later write may succeed.
    #[error("the disk is full")]
    DiskFull,
    /// Another transaction won a race that a repeat can win; the group commit retries these itself.
    #[error("the transaction must be repeated: {0}")]
    Conflict(String),
    /// A unique key already exists.
    #[error("a row with this key exists already: {0}")]
    Duplicate(String),
    /// The database file or page is damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The database cannot be reached, or the connection broke before the outcome was known.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// A sync or commit failed in a way that leaves the disk's content unknown: the process must stop and recover.
    #[error("a write could not be made durable: {0}")]
    Fatal(String),
    /// The server is stopping, or its writer has stopped after a fatal error.
    #[error("the database is closed")]
    Closed,
    /// More writes wait than may wait.
    #[error("too many writes are waiting")]
    Overloaded,
    /// Anything else the engine said: a defect of ours.
    #[error("the database refused a statement: {0}")]
    Engine(String),
}
