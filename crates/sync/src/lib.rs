//! What a client has not seen yet: `/v3/sync`, sliding sync, and waiting for it.
//!
//! Reads alone: nothing here decides on events. An answer is read in one snapshot at its own head, so that it is whole up
//! to a position, and the client goes on from there.

mod bumps;
mod encryption;
mod ephemeral;
mod filters;
mod json;
mod members_given;
mod rooms;
pub mod sliding;
mod sources;
mod state;
mod summary;
mod timeline;
mod token;
mod unread;
pub mod v3;
mod wait;

use storage::{Database, DeviceKey, UserKey};

pub use filters::{FilterProblem, filter};
pub use token::Token;

use crate::bumps::Bumps;
use crate::encryption::KeyCounts;
use crate::filters::StoredFilters;
use crate::members_given::MembersGiven;
use crate::sliding::Connections;

/// What syncs remember between requests. Shared by all of a node's requests; all of it can be lost.
pub struct Sync {
    pub(crate) db: Database,
    pub(crate) members_given: MembersGiven,
    pub(crate) key_counts: KeyCounts,
    pub(crate) connections: Connections,
    pub(crate) bumps: Bumps,
    pub(crate) filters: StoredFilters,
}

impl Sync {
    pub fn new(db: Database) -> Self {
        Self {
            db,
            members_given: MembersGiven::default(),
            key_counts: KeyCounts::default(),
            connections: Connections::default(),
            bumps: Bumps::default(),
            filters: StoredFilters::default(),
        }
    }

    /// The database that is read.
    pub fn database(&self) -> &Database {
        &self.db
    }
}

/// Who syncs: a device of a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub user: UserKey,
    pub user_id: String,
    pub device: DeviceKey,
}

/// Why a sync has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    /// The device was signed out while it waited.
    #[error("this device was signed out")]
    SignedOut,
    /// The connection, or its state at this point, is not known: begin anew.
    #[error("this connection is not known any more")]
    UnknownPos,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}
