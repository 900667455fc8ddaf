//! What syncs read of rooms by set: which rooms changed for a user, and states of many rooms at once.
//!
//! All of it is read in one snapshot at its own head: rows are then exactly as they were at that position, and memory,
//! once it has applied the stream up to there, knows every room that changed.

use std::collections::HashMap;

use crate::events::Place;
use crate::memory::Memory;
use crate::rooms::Membership;
use crate::{Error, EventKey, Position, RoomKey, Row, Snapshot, StateNo, UserKey, params};

/// The head of a snapshot, with everything up to it applied to memory: an answer read in the snapshot is complete for
/// all positions up to it.
pub fn applied_head(memory: &Memory, snap: &mut Snapshot<'_>) -> Result<Position, Error> {
    memory.catch_up(snap)?;
    snap.head()
}

/// A user's membership, with what syncs need of the room's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoom {
    pub room: RoomKey,
    pub room_id: String,
    pub room_version: String,
    pub membership: Membership,
    /// The user's membership event.
    pub event: EventKey,
    /// Where the membership became so; a change of the profile counts too.
    pub position: i64,
    /// Where the present membership began, whatever the profile did since.
    pub began: i64,
    pub sender: UserKey,
    pub forgotten: bool,
    /// For an invite or knock: the JSON array of stripped state that came with it.
    pub stripped: Option<Vec<u8>>,
    /// The place of the room's newest live event.
    pub last_place: i64,
    pub joined_members: i64,
    pub invited_members: i64,
    /// JSON object of what lists and summaries show.
    pub summary: Vec<u8>,
}

const USER_ROOM_COLUMNS: &str = "m.room, r.room_id, r.room_version, m.membership, m.event, m.position, m.began, \
     m.sender, m.forgotten, m.stripped, r.last_place, r.joined_members, r.invited_members, r.summary";

fn read_user_room(row: &mut Row) -> UserRoom {
    UserRoom {
        room: RoomKey(row.int(0)),
        room_id: row.text(1),
        room_version: row.text(2),
        membership: Membership::from_int(row.int(3)),
        event: EventKey(row.int(4)),
        position: row.int(5),
        began: row.int(6),
        sender: UserKey(row.int(7)),
        forgotten: row.bool(8),
        stripped: row.opt_bytes(9),
        last_place: row.int(10),
        joined_members: row.int(11),
        invited_members: row.int(12),
        summary: row.take_bytes(13),
    }
}

/// All rooms of a user that changed membership after a position, oldest change first; 0: all rooms.
pub fn user_rooms_after(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    after: i64,
) -> Result<Vec<UserRoom>, Error> {
    let mut rows = snap.query(
        &format!(
            "SELECT {USER_ROOM_COLUMNS} FROM members m JOIN rooms r ON r.id = m.room
             WHERE m.user_key = $1 AND m.position > $2 ORDER BY m.position"
        ),
        params![user, after],
    )?;
    Ok(rows.iter_mut().map(read_user_room).collect())
}

/// Some rooms of a user; those that it never had a membership of are left out.
pub fn user_rooms(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<UserRoom>, Error> {
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = snap.query(
        &format!(
            "SELECT {USER_ROOM_COLUMNS} FROM members m JOIN rooms r ON r.id = m.room
             WHERE m.room IN ($2[]) AND m.user_key = $1 ORDER BY m.position"
        ),
        params![user, keys(rooms)],
    )?;
    Ok(rows.iter_mut().map(read_user_room).collect())
}

/// One entry of a room's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    pub room: RoomKey,
    pub no: StateNo,
    pub event_type: String,
    pub state_key: String,
    /// None: the key left the state.
    pub event: Option<EventKey>,
}

fn read_entry(row: &Row) -> StateEntry {
    let text = |column| String::from_utf8_lossy(&row.bytes(column)).into_owned();
    StateEntry {
        room: RoomKey(row.int(0)),
        no: StateNo(row.int(1)),
        event_type: text(2),
        state_key: text(3),
        event: row.opt_int(4).map(EventKey),
    }
}

const CURRENT: &str = "SELECT k.room, k.state_no, k.type, k.state_key, c.event FROM state_keys k
     JOIN current_state c ON c.room = k.room AND c.state_no = k.state_no WHERE k.room IN ($1[])";

/// The current state of these rooms, by room and number.
pub fn current_states(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
) -> Result<Vec<StateEntry>, Error> {
    let rows = snap.query(
        &format!("{CURRENT} ORDER BY k.room, k.state_no"),
        params![keys(rooms)],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// The current state of these rooms but for members, by room and number.
pub fn current_states_without_members(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
) -> Result<Vec<StateEntry>, Error> {
    // Two ranges of the index on names: a room's thousands of members are not walked through.
    let rows = snap.query(
        &format!("{CURRENT} AND k.type < $2 UNION ALL {CURRENT} AND k.type > $2 ORDER BY 1, 2"),
        params![keys(rooms), "m.room.member".as_bytes()],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// The current state of these rooms of these types, by room and number.
pub fn current_states_of_types(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    types: &[&str],
) -> Result<Vec<StateEntry>, Error> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let types: Vec<Vec<u8>> = types.iter().map(|name| name.as_bytes().to_vec()).collect();
    let rows = snap.query(
        &format!("{CURRENT} AND k.type IN ($2[]) ORDER BY k.room, k.state_no"),
        params![keys(rooms), types],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// The current entries of these state keys of one type in these rooms, by room and number.
pub fn current_states_of_keys(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    event_type: &str,
    state_keys: &[&str],
) -> Result<Vec<StateEntry>, Error> {
    if state_keys.is_empty() {
        return Ok(Vec::new());
    }
    let state_keys: Vec<Vec<u8>> = state_keys
        .iter()
        .map(|key| key.as_bytes().to_vec())
        .collect();
    let rows = snap.query(
        &format!("{CURRENT} AND k.type = $2 AND k.state_key IN ($3[]) ORDER BY k.room, k.state_no"),
        params![keys(rooms), event_type.as_bytes(), state_keys],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// How the current state of a room changed in (after, up_to], by number: each key that did, with its entry at `up_to`.
pub fn state_changes(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<StateEntry>, Error> {
    let rows = snap.query(
        "SELECT k.room, k.state_no, k.type, k.state_key, changes.event FROM (
             SELECT state_no, event, ROW_NUMBER() OVER (PARTITION BY state_no ORDER BY position DESC) AS age
             FROM state_log WHERE room = $1 AND position > $2 AND position <= $3
         ) AS changes JOIN state_keys k ON k.room = $1 AND k.state_no = changes.state_no
         WHERE changes.age = 1 ORDER BY k.state_no",
        params![room, after, up_to],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// The events that were current for one key of a room in (after, up_to], oldest first; none where it had left.
pub fn log_of_key(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    no: StateNo,
    after: i64,
    up_to: i64,
) -> Result<Vec<Option<EventKey>>, Error> {
    let rows = snap.query(
        "SELECT event FROM state_log WHERE room = $1 AND position > $2 AND position <= $3 AND state_no = $4
         ORDER BY position",
        params![room, after, up_to, no],
    )?;
    Ok(rows
        .iter()
        .map(|row| row.opt_int(0).map(EventKey))
        .collect())
}

/// The newest hole in a room's graph whose place lies after one position and up to another.
pub fn newest_gap(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    after: i64,
    up_to: i64,
) -> Result<Option<Place>, Error> {
    let row = snap.query_one(
        "SELECT place, seq FROM gaps WHERE room = $1 AND place > $2 AND place <= $3
         ORDER BY place DESC, seq DESC LIMIT 1",
        params![room, after, up_to],
    )?;
    Ok(row.map(|row| Place {
        place: row.int(0),
        seq: row.int(1),
    }))
}

/// The names of numbers of a room's state, in order of number, without events.
pub fn state_names(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    numbers: &[StateNo],
) -> Result<Vec<StateEntry>, Error> {
    let numbers: Vec<i64> = numbers.iter().map(|no| no.0).collect();
    let rows = snap.query(
        "SELECT room, state_no, type, state_key, CAST(NULL AS BIGINT) FROM state_keys
         WHERE room = $1 AND state_no IN ($2[]) ORDER BY state_no",
        params![room, numbers],
    )?;
    Ok(rows.iter().map(read_entry).collect())
}

/// The first members of a room but one, in order of their keys: those joined or invited, or else those who left.
pub fn heroes(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    but: UserKey,
    present: bool,
    limit: usize,
) -> Result<Vec<Hero>, Error> {
    let memberships: Vec<i64> = if present {
        vec![Membership::Join.to_int(), Membership::Invite.to_int()]
    } else {
        vec![Membership::Leave.to_int(), Membership::Ban.to_int()]
    };
    let rows = snap.query(
        "SELECT m.user_key, u.user_id, m.event, m.displayname, m.avatar_url
         FROM members m JOIN users u ON u.id = m.user_key
         WHERE m.room = $1 AND m.user_key <> $2 AND m.membership IN ($3[]) ORDER BY m.user_key LIMIT $4",
        params![room, but, memberships, limit],
    )?;
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows
        .iter()
        .map(|row| Hero {
            user: UserKey(row.int(0)),
            user_id: row.text(1),
            event: EventKey(row.int(2)),
            displayname: row.opt_bytes(3).map(lossy),
            avatar_url: row.opt_bytes(4).map(lossy),
        })
        .collect())
}

/// A member by whom a room without a name is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hero {
    pub user: UserKey,
    pub user_id: String,
    pub event: EventKey,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
}

/// The members of a room: (user, its membership event), for these memberships.
pub fn membership_of_users(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    users: &[UserKey],
) -> Result<HashMap<UserKey, Membership>, Error> {
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = snap.query(
        "SELECT user_key, membership FROM members WHERE room = $1 AND user_key IN ($2[])",
        params![room, users],
    )?;
    Ok(rows
        .iter()
        .map(|row| (UserKey(row.int(0)), Membership::from_int(row.int(1))))
        .collect())
}

/// The place of the newest event of these types in a room after a place, among its newest `looked_at` events.
pub fn newest_place_of_types(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    types: &[&str],
    after: i64,
    looked_at: usize,
) -> Result<Option<i64>, Error> {
    let rows = snap.query(
        "SELECT place, type FROM events WHERE room = $1 AND place IS NOT NULL AND place > $2
         ORDER BY place DESC, seq DESC LIMIT $3",
        params![room, after, looked_at],
    )?;
    Ok(rows
        .iter()
        .find(|row| {
            types
                .iter()
                .any(|name| name.as_bytes() == row.bytes(1).as_slice())
        })
        .map(|row| row.int(0)))
}

pub(crate) fn keys(rooms: &[RoomKey]) -> Vec<i64> {
    rooms.iter().map(|room| room.0).collect()
}
