//! What a client has not seen yet: `/v3/sync`, sliding sync, and waiting for it.
//!
//! Reads alone: nothing here decides on events. An answer is read in one snapshot at its own head, so that it is whole up
//! to a position, and the client goes on from there.

use storage::Database;

/// What syncs remember between requests. Shared by all of a node's requests; all of it can be lost.
pub struct Sync {
    pub(crate) db: Database,
}

impl Sync {
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// The database that is read.
    pub fn database(&self) -> &Database {
        &self.db
    }
}
