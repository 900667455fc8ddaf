//! Events that a user may have been notified of (client-server API v1.19, "Listing Notifications").

use std::collections::HashSet;

use crate::events::{EventRow, by_key};
use crate::{Error, EventKey, RoomKey, Snapshot, UserKey, params};

/// The newest live events before a place of each of these rooms, at most `each` of a room, not sent by the user; the
/// newest of all first.
pub fn recent_events(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
    before: i64,
    each: usize,
) -> Result<Vec<EventRow>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        "SELECT e.id FROM rooms r JOIN events e ON e.room = r.id AND e.place < $2 AND e.place >= COALESCE((
             SELECT x.place FROM events x WHERE x.room = r.id AND x.place < $2 AND x.place IS NOT NULL
             ORDER BY x.place DESC, x.seq DESC LIMIT 1 OFFSET $3
         ), 0)
         WHERE r.id IN ($1[]) AND e.place IS NOT NULL AND e.seq = 0 AND e.sender <> $4",
        params![rooms, before, each, user],
    )?;
    let keys: Vec<EventKey> = rows.iter().map(|row| EventKey(row.int(0))).collect();
    let mut events: Vec<EventRow> = by_key(snap, &keys)?.into_values().collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.place));
    Ok(events)
}

/// Those events of these rooms that highlighted for a user when they came.
pub fn highlighted(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<HashSet<EventKey>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        "SELECT event FROM exceptions WHERE user_key = $1 AND room IN ($2[]) AND highlight = 1",
        params![user, rooms],
    )?;
    Ok(rows.iter().map(|row| EventKey(row.int(0))).collect())
}
