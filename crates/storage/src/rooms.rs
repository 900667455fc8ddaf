//! Rooms, their members and their heads, as rows. Who writes room events is [`crate::append`].

use std::collections::HashMap;

use crate::{Error, EventKey, RoomKey, Snapshot, StateNo, UserKey, Value, params};

/// A user's membership of a room (client-server API v1.19, "Room membership").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    Leave,
    Invite,
    Knock,
    Join,
    Ban,
}

impl Membership {
    pub fn from_int(value: i64) -> Self {
        match value {
            1 => Membership::Invite,
            2 => Membership::Knock,
            3 => Membership::Join,
            4 => Membership::Ban,
            _ => Membership::Leave,
        }
    }

    pub fn to_int(self) -> i64 {
        match self {
            Membership::Leave => 0,
            Membership::Invite => 1,
            Membership::Knock => 2,
            Membership::Join => 3,
            Membership::Ban => 4,
        }
    }

    /// The spec's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Membership::Leave => "leave",
            Membership::Invite => "invite",
            Membership::Knock => "knock",
            Membership::Join => "join",
            Membership::Ban => "ban",
        }
    }

    /// Reads the spec's word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Membership::Leave,
            Membership::Invite,
            Membership::Knock,
            Membership::Join,
            Membership::Ban,
        ]
        .into_iter()
        .find(|membership| membership.as_str() == word)
    }
}

impl From<Membership> for Value {
    fn from(membership: Membership) -> Value {
        Value::Int(membership.to_int())
    }
}

/// How much of a room this server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomStanding {
    /// A join is under way.
    Joining,
    /// Joined, not all members are known yet.
    Partial,
    Joined,
    /// No local user is joined: events no longer arrive.
    Left,
}

impl RoomStanding {
    pub fn from_int(value: i64) -> Self {
        match value {
            0 => RoomStanding::Joining,
            1 => RoomStanding::Partial,
            2 => RoomStanding::Joined,
            _ => RoomStanding::Left,
        }
    }

    pub fn to_int(self) -> i64 {
        match self {
            RoomStanding::Joining => 0,
            RoomStanding::Partial => 1,
            RoomStanding::Joined => 2,
            RoomStanding::Left => 3,
        }
    }
}

/// What an event counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStanding {
    Accepted,
    SoftFailed,
    Rejected,
    Outlier,
}

impl EventStanding {
    pub fn from_int(value: i64) -> Self {
        match value {
            0 => EventStanding::Accepted,
            1 => EventStanding::SoftFailed,
            2 => EventStanding::Rejected,
            _ => EventStanding::Outlier,
        }
    }

    pub fn to_int(self) -> i64 {
        match self {
            EventStanding::Accepted => 0,
            EventStanding::SoftFailed => 1,
            EventStanding::Rejected => 2,
            EventStanding::Outlier => 3,
        }
    }
}

/// A room's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRow {
    pub key: RoomKey,
    pub room_id: String,
    pub room_version: String,
    /// Counts changes: a change says on which one it was decided.
    pub version: i64,
    pub standing: RoomStanding,
    /// The current state; none before the first event.
    pub state: Option<i64>,
    /// Notifying events of the main timeline so far.
    pub tally: i64,
    /// The place of the newest live event.
    pub last_place: i64,
    /// The depth of the deepest extremity.
    pub depth: i64,
    pub joined_members: i64,
    pub invited_members: i64,
    /// JSON object of what lists and sync summaries show: see `homeserver::rooms::summary`.
    pub summary: Vec<u8>,
    pub published: bool,
    pub created_ms: i64,
}

const ROOM_COLUMNS: &str = "id, room_id, room_version, version, standing, state, tally, last_place, depth, \
     joined_members, invited_members, summary, published, created_ms";

fn read_room(row: &mut crate::Row) -> RoomRow {
    RoomRow {
        key: RoomKey(row.int(0)),
        room_id: row.text(1),
        room_version: row.text(2),
        version: row.int(3),
        standing: RoomStanding::from_int(row.int(4)),
        state: row.opt_int(5),
        tally: row.int(6),
        last_place: row.int(7),
        depth: row.int(8),
        joined_members: row.int(9),
        invited_members: row.int(10),
        summary: row.take_bytes(11),
        published: row.bool(12),
        created_ms: row.int(13),
    }
}

/// A room by its id.
pub fn find_room(snap: &mut Snapshot<'_>, room_id: &str) -> Result<Option<RoomRow>, Error> {
    let row = snap.query_one(
        &format!("SELECT {ROOM_COLUMNS} FROM rooms WHERE room_id = $1"),
        params![room_id],
    )?;
    Ok(row.map(|mut row| read_room(&mut row)))
}

/// Rooms by their keys, in no order; unknown ones are left out.
pub fn rooms_by_key(
    snap: &mut Snapshot<'_>,
    keys: &[RoomKey],
) -> Result<HashMap<RoomKey, RoomRow>, Error> {
    let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
    let rows = snap.query(
        &format!("SELECT {ROOM_COLUMNS} FROM rooms WHERE id IN ($1[])"),
        params![keys],
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| {
            let room = read_room(&mut row);
            (room.key, room)
        })
        .collect())
}

/// The forward extremities of a room, each with the state after it.
pub fn extremities(snap: &mut Snapshot<'_>, room: RoomKey) -> Result<Vec<(EventKey, i64)>, Error> {
    let rows = snap.query(
        "SELECT event, state_after FROM extremities WHERE room = $1 ORDER BY event",
        params![room],
    )?;
    Ok(rows
        .iter()
        .map(|row| (EventKey(row.int(0)), row.int(1)))
        .collect())
}

/// A user's row in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    pub room: RoomKey,
    pub user: UserKey,
    pub membership: Membership,
    pub event: EventKey,
    /// Where the membership became so.
    pub position: i64,
    pub sender: UserKey,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    pub forgotten: bool,
    /// For an invite or knock: the JSON array of stripped state that came with it.
    pub stripped: Option<Vec<u8>>,
}

const MEMBER_COLUMNS: &str = "room, user_key, membership, event, position, sender, displayname, avatar_url, forgotten, stripped";

fn read_member(row: &crate::Row) -> MemberRow {
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    MemberRow {
        room: RoomKey(row.int(0)),
        user: UserKey(row.int(1)),
        membership: Membership::from_int(row.int(2)),
        event: EventKey(row.int(3)),
        position: row.int(4),
        sender: UserKey(row.int(5)),
        displayname: row.opt_bytes(6).map(lossy),
        avatar_url: row.opt_bytes(7).map(lossy),
        forgotten: row.bool(8),
        stripped: row.opt_bytes(9),
    }
}

/// A user's membership of one room.
pub fn member(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    user: UserKey,
) -> Result<Option<MemberRow>, Error> {
    let row = snap.query_one(
        &format!("SELECT {MEMBER_COLUMNS} FROM members WHERE room = $1 AND user_key = $2"),
        params![room, user],
    )?;
    Ok(row.map(|row| read_member(&row)))
}

/// All of a room's member rows, in order of user key.
pub fn members(snap: &mut Snapshot<'_>, room: RoomKey) -> Result<Vec<MemberRow>, Error> {
    let rows = snap.query(
        &format!("SELECT {MEMBER_COLUMNS} FROM members WHERE room = $1 ORDER BY user_key"),
        params![room],
    )?;
    Ok(rows.iter().map(read_member).collect())
}

/// All of a user's member rows that changed after a position, oldest first.
pub fn memberships_after(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    after: i64,
) -> Result<Vec<MemberRow>, Error> {
    let rows = snap.query(
        &format!("SELECT {MEMBER_COLUMNS} FROM members WHERE user_key = $1 AND position > $2 ORDER BY position"),
        params![user, after],
    )?;
    Ok(rows.iter().map(read_member).collect())
}

/// The number of a (type, state_key) pair in a room, if it was ever used.
pub fn state_no(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    event_type: &str,
    state_key: &str,
) -> Result<Option<StateNo>, Error> {
    let row = snap.query_one(
        "SELECT state_no FROM state_keys WHERE room = $1 AND type = $2 AND state_key = $3",
        params![room, event_type.as_bytes(), state_key.as_bytes()],
    )?;
    Ok(row.map(|row| StateNo(row.int(0))))
}
