//! From where a user's unread counts start: tallies of timelines, and what differs from them for one user.
//!
//! A live event knows the tally of its timeline (main or thread): how many notifying events it has up to and with it.
//! Unread is the timeline's tally minus the tally where the user has read up to. Tallies of historic events say nothing,
//! so only live ones (seq 0) are asked.

use std::collections::HashMap;

use crate::sync_rooms::keys;
use crate::{Error, EventKey, RoomKey, Snapshot, UserKey, params};

/// The tallies of the main timelines of rooms.
pub fn room_tallies(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
) -> Result<HashMap<RoomKey, i64>, Error> {
    let rows = snap.query(
        "SELECT id, tally FROM rooms WHERE id IN ($1[])",
        params![keys(rooms)],
    )?;
    Ok(rows
        .iter()
        .map(|row| (RoomKey(row.int(0)), row.int(1)))
        .collect())
}

/// Where the user itself last spoke in the main timeline of each room: the place of its newest live event there.
pub fn own_places(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<HashMap<RoomKey, i64>, Error> {
    let rows = snap.query(
        "SELECT r.id, (SELECT e.place FROM events e WHERE e.sender = $1 AND e.room = r.id AND e.place IS NOT NULL
             AND e.seq = 0 AND e.thread IS NULL ORDER BY e.place DESC LIMIT 1)
         FROM rooms r WHERE r.id IN ($2[])",
        params![user, keys(rooms)],
    )?;
    Ok(rows
        .iter()
        .filter_map(|row| Some((RoomKey(row.int(0)), row.opt_int(1)?)))
        .collect())
}

/// The tally of a room's main timeline at a place: that of its newest live event up to there, 0 before the first.
pub fn tally_at(snap: &mut Snapshot<'_>, room: RoomKey, place: i64) -> Result<i64, Error> {
    let row = snap.query_one(
        "SELECT tally FROM events WHERE room = $1 AND place IS NOT NULL AND place <= $2 AND seq = 0 AND thread IS NULL
         ORDER BY place DESC LIMIT 1",
        params![room, place],
    )?;
    Ok(row.map_or(0, |row| row.int(0)))
}

/// The tally of a thread at a place.
pub fn thread_tally_at(snap: &mut Snapshot<'_>, root: EventKey, place: i64) -> Result<i64, Error> {
    let row = snap.query_one(
        "SELECT tally FROM events WHERE thread = $1 AND place <= $2 AND seq = 0 ORDER BY place DESC LIMIT 1",
        params![root, place],
    )?;
    Ok(row.map_or(0, |row| row.int(0)))
}

/// A thread that has live events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub room: RoomKey,
    pub root: EventKey,
    /// The event id of its root.
    pub root_id: String,
    pub tally: i64,
    pub last_place: i64,
    /// Where the user itself last spoke in it.
    pub own_place: Option<i64>,
}

/// The threads of these rooms with live events since the user joined, by room and root.
pub fn threads(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<Thread>, Error> {
    let rows = snap.query(
        "SELECT t.room, t.root, e.event_id, t.tally, t.last_place,
             (SELECT o.place FROM events o WHERE o.thread = t.root AND o.seq = 0 AND o.sender = $1
              ORDER BY o.place DESC LIMIT 1)
         FROM members m JOIN threads t ON t.room = m.room AND t.last_place > m.began JOIN events e ON e.id = t.root
         WHERE m.user_key = $1 AND m.room IN ($2[]) ORDER BY t.room, t.root",
        params![user, keys(rooms)],
    )?;
    Ok(rows
        .iter()
        .map(|row| Thread {
            room: RoomKey(row.int(0)),
            root: EventKey(row.int(1)),
            root_id: crate::append::decode_event_id(&row.bytes(2)),
            tally: row.int(3),
            last_place: row.int(4),
            own_place: row.opt_int(5),
        })
        .collect())
}

/// What differs from a timeline's tally for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    pub room: RoomKey,
    /// None: the main timeline.
    pub thread: Option<EventKey>,
    pub place: i64,
    /// +1: only this user is notified; −1: all but this user are.
    pub notify: i64,
    pub highlight: bool,
}

/// A user's exceptions in these rooms.
pub fn exceptions(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<Exception>, Error> {
    let rows = snap.query(
        "SELECT room, thread, place, notify, highlight FROM exceptions WHERE user_key = $1 AND room IN ($2[])",
        params![user, keys(rooms)],
    )?;
    Ok(rows
        .iter()
        .map(|row| Exception {
            room: RoomKey(row.int(0)),
            thread: Some(EventKey(row.int(1))).filter(|root| root.0 != 0),
            place: row.int(2),
            notify: row.int(3),
            highlight: row.bool(4),
        })
        .collect())
}

/// The rooms that a user is joined to in which any receipt of its own moved in (after, up_to].
pub fn rooms_read(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<RoomKey>, Error> {
    let rows = snap.query(
        "SELECT DISTINCT r.room FROM members m JOIN receipts r ON r.room = m.room AND r.user_key = m.user_key
         WHERE m.user_key = $1 AND m.membership = 3 AND r.position > $2 AND r.position <= $3",
        params![user, after, up_to],
    )?;
    Ok(rows.iter().map(|row| RoomKey(row.int(0))).collect())
}

/// The rooms that a user is joined to in which its private receipt moved in (after, up_to].
pub fn rooms_read_privately(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<RoomKey>, Error> {
    let rows = snap.query(
        "SELECT DISTINCT r.room FROM members m
         JOIN receipts r ON r.room = m.room AND r.user_key = m.user_key AND r.kind = 1
         WHERE m.user_key = $1 AND m.membership = 3 AND r.position > $2 AND r.position <= $3",
        params![user, after, up_to],
    )?;
    Ok(rows.iter().map(|row| RoomKey(row.int(0))).collect())
}
