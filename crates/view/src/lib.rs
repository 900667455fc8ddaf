//! How a stored event looks to a viewer: what it may see, and the client format with `unsigned`.
//!
//! Loads what a page of events needs in a few set queries and calls `room`'s pure rules. Knows no HTTP, writes nothing.
//! The usual walk: [`visible`] (and the caller's own filter and ignored senders), then [`present`].

mod bundle;
pub mod filter;
mod ignored;
mod present;
mod sight;
mod stay;
mod stripped;
pub mod token;

pub use ignored::ignored_users;
pub use present::{Options, blank, present};
pub use sight::{Sight, is_world_readable, membership, sights, visible};
pub use stay::{Stay, stay};
pub use stripped::{STRIPPED_TYPES, stripped_state};

use storage::{DeviceKey, UserKey};

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Viewer {
    pub user: UserKey,
    pub user_id: String,
    /// The device that asks: it alone is told its transaction ids.
    pub device: Option<DeviceKey>,
}
