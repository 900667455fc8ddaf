//! Who is typing, until when (client-server API v1.19, "Typing Notifications").

use std::collections::HashMap;

use crate::{Error, Kind, RoomKey, Snapshot, Topic, Tx, UserKey, params};

/// The rooms, of these, in which the set of typing users changed in (after, up_to].
pub fn changed(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    after: i64,
    up_to: i64,
) -> Result<Vec<RoomKey>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        "SELECT room FROM typing_rooms WHERE room IN ($1[]) AND position > $2 AND position <= $3",
        params![rooms, after, up_to],
    )?;
    Ok(rows.iter().map(|row| RoomKey(row.int(0))).collect())
}

/// The ids of the users that type in a room at this time, in order.
pub fn in_room(snap: &mut Snapshot<'_>, room: RoomKey, now_ms: u64) -> Result<Vec<String>, Error> {
    Ok(in_rooms(snap, &[room], now_ms)?
        .remove(&room)
        .unwrap_or_default())
}

/// The ids of the users that type in these rooms at this time, in order; rooms where nobody does are left out.
pub fn in_rooms(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    now_ms: u64,
) -> Result<HashMap<RoomKey, Vec<String>>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        "SELECT t.room, u.user_id FROM typing t JOIN users u ON u.id = t.user_key
         WHERE t.room IN ($1[]) AND t.until_ms > $2 ORDER BY t.room, u.user_id",
        params![rooms, now_ms],
    )?;
    let mut typing: HashMap<RoomKey, Vec<String>> = HashMap::new();
    for row in rows {
        typing
            .entry(RoomKey(row.int(0)))
            .or_default()
            .push(row.text(1));
    }
    Ok(typing)
}

/// A user types in a room until then. Clients learn of it when the user did not type there before.
pub fn start(tx: &mut Tx<'_>, room: RoomKey, user: UserKey, until_ms: u64) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    let typed = tx.query_one(
        "SELECT 1 FROM typing WHERE room = $1 AND user_key = $2 AND until_ms > $3",
        params![room, user, now_ms],
    )?;
    tx.execute(
        "INSERT INTO typing (room, user_key, until_ms) VALUES ($1, $2, $3)
         ON CONFLICT (room, user_key) DO UPDATE SET until_ms = excluded.until_ms",
        params![room, user, until_ms],
    )?;
    if typed.is_none() {
        publish(tx, room);
    }
    Ok(())
}

/// A user stops typing in a room. Clients learn of it when the user typed.
pub fn stop(tx: &mut Tx<'_>, room: RoomKey, user: UserKey) -> Result<(), Error> {
    let ended = tx.execute(
        "DELETE FROM typing WHERE room = $1 AND user_key = $2",
        params![room, user],
    )?;
    if ended > 0 {
        publish(tx, room);
    }
    Ok(())
}

/// Ends what is past its time. Clients of each room learn of it.
pub fn end_expired(tx: &mut Tx<'_>, now_ms: u64) -> Result<(), Error> {
    let rows = tx.query(
        "DELETE FROM typing WHERE until_ms <= $1 RETURNING room",
        params![now_ms],
    )?;
    let mut rooms: Vec<i64> = rows.iter().map(|row| row.int(0)).collect();
    rooms.sort_unstable();
    rooms.dedup();
    for room in rooms {
        publish(tx, RoomKey(room));
    }
    Ok(())
}

/// When the next typing ends, in milliseconds since the Unix epoch.
pub fn next_end_ms(snap: &mut Snapshot<'_>) -> Result<Option<u64>, Error> {
    let row = snap.query_one(
        "SELECT until_ms FROM typing ORDER BY until_ms LIMIT 1",
        params![],
    )?;
    Ok(row.map(|row| row.int(0).unsigned_abs()))
}

fn publish(tx: &mut Tx<'_>, room: RoomKey) {
    tx.publish_with(
        Topic::Room(room),
        Kind::Typing,
        0,
        0,
        move |snap, position| {
            snap.write(
                "INSERT INTO typing_rooms (room, position) VALUES ($1, $2)
                 ON CONFLICT (room) DO UPDATE SET position = excluded.position",
                params![room, position],
            )
            .map(drop)
        },
    );
}
