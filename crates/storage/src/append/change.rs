//! What one decision changes in a room, as data.

use std::sync::Arc;

use crate::rooms::{EventStanding, Membership, RoomStanding};
use crate::states::{NodeRow, StateRow};
use crate::{DeviceKey, EventKey, RoomKey, StateNo, UserKey};

/// All that one decision changes in a room. Written whole or not at all.
#[derive(Debug, Clone)]
pub struct RoomChange {
    pub room: RoomKey,
    /// The version of the room on which the change was decided; it becomes `base + 1`. A new room has base 0.
    pub base: i64,
    /// The room's row, where the change makes it.
    pub create: Option<NewRoom>,
    /// In the order in which clients shall see them.
    pub events: Vec<NewEvent>,
    pub state_keys: Vec<NewStateKey>,
    pub states: Vec<StateRow>,
    pub nodes: Vec<NodeRow>,
    /// Chained states that got a root: (state, root, height).
    pub rooted: Vec<(i64, i64, i64)>,
    /// How the current state changes.
    pub current: Vec<CurrentChange>,
    pub members: Vec<NewMember>,
    /// The room's extremities after the change, each with the state after it: all of them.
    pub extremities: Vec<(EventKey, i64)>,
    /// The current state after the change.
    pub state: Option<i64>,
    /// The depth of the deepest extremity.
    pub depth: i64,
    pub joined_members: i64,
    pub invited_members: i64,
    pub standing: RoomStanding,
    /// The room's summary after the change.
    pub summary: Arc<[u8]>,
    /// Events that `prev_events` name and that are not here.
    pub gaps: Vec<NewGap>,
}

#[derive(Debug, Clone)]
pub struct NewRoom {
    pub room_id: String,
    pub room_version: String,
    pub published: bool,
    pub created_ms: i64,
}

#[derive(Debug, Clone)]
pub struct NewEvent {
    pub key: EventKey,
    /// As [`crate::event_ids::encode_event_id`] makes it.
    pub event_id: Vec<u8>,
    pub event_type: String,
    pub sender: UserKey,
    pub state_no: Option<StateNo>,
    /// `origin_server_ts`.
    pub ts: i64,
    pub depth: i64,
    pub standing: EventStanding,
    pub placement: Placement,
    pub state_before: Option<i64>,
    /// The events that authorise it: for state events only.
    pub auth: Vec<EventKey>,
    pub relation: Option<NewRelation>,
    /// The thread whose timeline the event is on.
    pub thread: Option<EventKey>,
    /// The event that it edits, where it is a valid edit of one that is here.
    pub replaces: Option<EventKey>,
    /// The id of the event that it redacts, and the event itself where it is here and the redaction takes effect.
    pub redacts: Option<(Vec<u8>, Option<EventKey>)>,
    /// Whether the default push rules notify members of it.
    pub notifies: bool,
    /// For whom the count differs from the timeline's tally.
    pub exceptions: Vec<NewException>,
    /// The client transaction that sent it.
    pub transaction: Option<NewTransaction>,
    /// The PDU as it is sent to servers: canonical JSON.
    pub body: Arc<[u8]>,
}

/// Where an event stands in the order that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At its own position.
    Live,
    /// Before or between events that are here already.
    At { place: i64, seq: i64 },
    /// Clients do not see it.
    Nowhere,
}

#[derive(Debug, Clone)]
pub struct NewRelation {
    /// The related event's id, as [`crate::event_ids::encode_event_id`] makes it: it may not be here yet.
    pub parent: Vec<u8>,
    pub rel_type: String,
    /// The key of an annotation.
    pub key: Option<String>,
}

#[derive(Debug, Clone)]
pub struct NewException {
    pub user: UserKey,
    /// +1: the user is notified though the default is not; −1: the other way round; 0: as the default.
    pub notify: i64,
    pub highlight: bool,
}

#[derive(Debug, Clone)]
pub struct NewTransaction {
    pub device: DeviceKey,
    /// Method and path with its parameters.
    pub endpoint: Vec<u8>,
    pub transaction_id: Vec<u8>,
    /// The answer's body.
    pub answer: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct NewStateKey {
    pub no: StateNo,
    pub event_type: String,
    pub state_key: String,
}

#[derive(Debug, Clone)]
pub struct CurrentChange {
    pub no: StateNo,
    /// None: the key leaves the state.
    pub event: Option<EventKey>,
    /// The event, by its index in `events`, whose position logs the change.
    pub at: usize,
    /// The current state after it.
    pub state: i64,
}

#[derive(Debug, Clone)]
pub struct NewMember {
    pub user: UserKey,
    /// Whether the user lives here: then it is woken.
    pub local: bool,
    pub membership: Membership,
    /// The event, by its index in `events`.
    pub at: usize,
    pub sender: UserKey,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    pub stripped: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct NewGap {
    /// The event, by its index in `events`, before whose place the gap lies.
    pub at: usize,
    /// The missing event's id, as [`crate::event_ids::encode_event_id`] makes it.
    pub missing: Vec<u8>,
}
