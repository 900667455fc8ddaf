//! What a sliding client asks for, whichever codec it speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use storage::Position;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The `pos` of the answer that the client has; none: it begins anew.
    pub pos: Option<String>,
    /// Tells the connections of a device apart.
    pub conn_id: String,
    pub txn_id: Option<String>,
    pub timeout_ms: u64,
    pub lists: BTreeMap<String, List>,
    /// By room id.
    pub room_subscriptions: BTreeMap<String, RoomConfig>,
    pub extensions: Extensions,
}

impl Request {
    /// Equal for requests that ask for the same: such a one has news only where something changed.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.lists, &self.room_subscriptions, &self.extensions).hash(&mut hasher);
        hasher.finish()
    }
}

/// A list of the user's rooms by recency, of which the client sees some ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct List {
    /// Inclusive, counted from 0; none: no rooms, but the count.
    pub ranges: Vec<(u64, u64)>,
    pub config: RoomConfig,
    pub filters: Filters,
}

/// What is told of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RoomConfig {
    pub timeline_limit: u64,
    /// Types and state keys; `*`, `$LAZY` and `$ME` have meanings of their own.
    pub required_state: BTreeSet<(String, String)>,
}

impl RoomConfig {
    /// What both together ask for.
    pub(crate) fn merge(&mut self, other: &RoomConfig) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        self.required_state
            .extend(other.required_state.iter().cloned());
    }
}

/// Which rooms a list has. What is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filters {
    pub is_dm: Option<bool>,
    pub is_encrypted: Option<bool>,
    pub is_invite: Option<bool>,
    /// Room types, where none stands for rooms without one.
    pub room_types: Option<Vec<Option<String>>>,
    pub not_room_types: Vec<Option<String>>,
    pub room_name_like: Option<String>,
    pub tags: Option<Vec<String>>,
    pub not_tags: Vec<String>,
}

/// What is told beside rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Extensions {
    pub to_device: Option<ToDevice>,
    pub e2ee: bool,
    pub account_data: Option<Scope>,
    pub receipts: Option<Scope>,
    pub typing: Option<Scope>,
}

/// Messages to the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ToDevice {
    /// The client has those up to here; none: it has none.
    pub since: Option<Position>,
    pub limit: Option<u64>,
}

/// To which rooms an extension applies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The rooms of these lists; none: of all.
    pub lists: Option<Vec<String>>,
    /// These rooms; none: all that are subscribed.
    pub rooms: Option<Vec<String>>,
}

impl Scope {
    pub(crate) fn has_list(&self, name: &str) -> bool {
        self.lists
            .as_ref()
            .is_none_or(|lists| lists.iter().any(|list| list == "*" || list == name))
    }

    pub(crate) fn has_subscribed(&self, room_id: &str) -> bool {
        self.rooms
            .as_ref()
            .is_none_or(|rooms| rooms.iter().any(|room| room == "*" || room == room_id))
    }
}
