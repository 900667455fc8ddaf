//! The one server-wide stream: what changed, in commit order.
//!
//! A row names a topic (a room, a user or a device), a kind and what it refers to. Position order is commit order;
//! a position once shown is durable and never used again. Rows live 7 days; the nouns' own tables carry positions
//! that live on.

use crate::{Error, RoomKey, Row, Snapshot, UserKey, Value, params};

/// A point of the stream: all changes up to and including it are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub i64);

impl From<Position> for Value {
    fn from(position: Position) -> Value {
        Value::Int(position.0)
    }
}

/// Whom a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Everybody joined to the room.
    Room(RoomKey),
    /// One local user, on all devices.
    User(UserKey),
    /// Everybody who shares a room with the user, and the user.
    Peers(UserKey),
    /// Nobody waits for it: followers alone (outgoing work, jobs).
    Server,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Events became visible in a room; `reference` is how many, at the positions up to this one.
    Events,
    /// A user's membership of room `reference` became `value` (see [`crate::rooms::Membership`]).
    Membership,
    /// A receipt of user `reference` in a room.
    Receipt,
    /// Who types in a room.
    Typing,
    /// Account data of a user; `reference` is the room, or 0.
    AccountData,
    /// A message waits for device `reference` of a user.
    ToDevice,
    /// A user's device keys or cross-signing keys changed.
    DeviceList,
    /// The one-time or fallback keys of device `reference` of a user changed.
    KeyCounts,
    /// A user's presence changed.
    Presence,
    /// Device `reference` of a user was signed out (0: all).
    SignedOut,
    /// A user's profile changed.
    Profile,
    /// A job waits.
    Job,
    /// Outgoing work waits.
    Outbox,
    /// A local account changed standing or tokens: what is held of its sessions is old.
    Account,
}

const KINDS: [Kind; 14] = [
    Kind::Events,
    Kind::Membership,
    Kind::Receipt,
    Kind::Typing,
    Kind::AccountData,
    Kind::ToDevice,
    Kind::DeviceList,
    Kind::KeyCounts,
    Kind::Presence,
    Kind::SignedOut,
    Kind::Profile,
    Kind::Job,
    Kind::Outbox,
    Kind::Account,
];

/// One change, as readers and followers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRow {
    pub position: Position,
    pub topic: Topic,
    pub kind: Kind,
    /// See [`Kind`].
    pub reference: i64,
    /// See [`Kind`].
    pub value: i64,
}

impl StreamRow {
    /// The first position that the row stands for.
    pub fn first(&self) -> Position {
        match self.kind {
            Kind::Events => Position(self.position.0 - self.reference + 1),
            _ => self.position,
        }
    }

    pub(crate) fn columns(&self, now_ms: u64) -> Vec<Value> {
        let (topic, id) = match self.topic {
            Topic::Room(room) => (0, room.0),
            Topic::User(user) => (1, user.0),
            Topic::Peers(user) => (2, user.0),
            Topic::Server => (3, 0),
        };
        // Invariant: a kind's number is its place in KINDS; kinds are only ever added at the end.
        let kind = KINDS
            .iter()
            .position(|kind| *kind == self.kind)
            .unwrap_or_default();
        crate::row![
            self.position,
            topic,
            id,
            kind,
            self.reference,
            self.value,
            now_ms
        ]
    }

    fn read(row: &Row) -> Option<Self> {
        let topic = match row.int(1) {
            0 => Topic::Room(RoomKey(row.int(2))),
            1 => Topic::User(UserKey(row.int(2))),
            2 => Topic::Peers(UserKey(row.int(2))),
            _ => Topic::Server,
        };
        // A kind that a newer node wrote is nothing that this one can show.
        let kind = *KINDS.get(usize::try_from(row.int(3)).ok()?)?;
        Some(Self {
            position: Position(row.int(0)),
            topic,
            kind,
            reference: row.int(4),
            value: row.int(5),
        })
    }
}

pub(crate) const INSERT: &str = "INSERT INTO stream (position, topic, topic_id, kind, reference, value, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// The rows after `after`, oldest first, at most `limit`.
pub fn rows_after(
    snap: &mut Snapshot<'_>,
    after: Position,
    limit: usize,
) -> Result<Vec<StreamRow>, Error> {
    let rows = snap.query(
        "SELECT position, topic, topic_id, kind, reference, value FROM stream
         WHERE position > $1 ORDER BY position LIMIT $2",
        params![after, limit],
    )?;
    Ok(rows.iter().filter_map(StreamRow::read).collect())
}
