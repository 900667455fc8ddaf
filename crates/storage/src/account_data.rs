//! Account data: JSON that clients keep per user, global or for one room (client-server API v1.19, "Client Config").
//!
//! Push rules (`m.push_rules`), ignored users (`m.ignored_user_list`), tags (`m.tag`) and the fully-read marker
//! (`m.fully_read`) are kept here too: clients see them as account data.

use crate::{Error, Kind, RoomKey, Row, Snapshot, Topic, Tx, UserKey, params};

/// One type's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountData {
    /// None: global.
    pub room: Option<RoomKey>,
    pub event_type: String,
    /// A JSON object; `{}` where it was deleted.
    pub content: Vec<u8>,
    /// It was there and is not any more: shown to clients that follow, never to those that start.
    pub deleted: bool,
}

const COLUMNS: &str = "room, type, content, deleted";

fn read(mut row: Row) -> AccountData {
    AccountData {
        room: Some(RoomKey(row.int(0))).filter(|room| room.0 != 0),
        event_type: String::from_utf8_lossy(&row.bytes(1)).into_owned(),
        content: row.take_bytes(2),
        deleted: row.bool(3),
    }
}

fn room_column(room: Option<RoomKey>) -> i64 {
    room.map_or(0, |room| room.0)
}

/// What changed for a user in (after, up_to], in order of change; deleted types too.
pub fn changed(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<AccountData>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM account_data WHERE user_key = $1 AND position > $2 AND position <= $3
             ORDER BY position"
        ),
        params![user, after, up_to],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// Everything a user has, global and of all rooms, but for what was deleted.
pub fn all(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Vec<AccountData>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM account_data WHERE user_key = $1 AND NOT deleted ORDER BY room, type"
        ),
        params![user],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// What a user has of these rooms, but for what was deleted.
pub fn of_rooms(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    rooms: &[RoomKey],
) -> Result<Vec<AccountData>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| room.0).collect();
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM account_data WHERE user_key = $1 AND room IN ($2[]) AND NOT deleted
             ORDER BY room, type"
        ),
        params![user, rooms],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// One type's content, if it is there.
pub fn get(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    room: Option<RoomKey>,
    event_type: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let row = snap.query_one(
        "SELECT content FROM account_data WHERE user_key = $1 AND room = $2 AND type = $3 AND NOT deleted",
        params![user, room_column(room), event_type.as_bytes()],
    )?;
    Ok(row.map(|mut row| row.take_bytes(0)))
}

/// How many types a user has, and how many bytes their contents have in sum.
pub fn usage(snap: &mut Snapshot<'_>, user: UserKey) -> Result<(i64, i64), Error> {
    let row = snap.query_one(
        "SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(content)), 0) AS BIGINT) FROM account_data
         WHERE user_key = $1 AND NOT deleted",
        params![user],
    )?;
    Ok(row.map_or((0, 0), |row| (row.int(0), row.int(1))))
}

/// Sets a type's content (a JSON object). The user's clients learn of it.
pub fn put(
    tx: &mut Tx<'_>,
    user: UserKey,
    room: Option<RoomKey>,
    event_type: &str,
    content: &[u8],
) -> Result<(), Error> {
    store(tx, user, room, event_type, content, false)
}

/// Deletes a type. The user's clients learn of it, if it was there. Whether it was.
pub fn delete(
    tx: &mut Tx<'_>,
    user: UserKey,
    room: Option<RoomKey>,
    event_type: &str,
) -> Result<bool, Error> {
    let was_there = get(tx, user, room, event_type)?.is_some();
    if was_there {
        store(tx, user, room, event_type, b"{}", true)?;
    }
    Ok(was_there)
}

fn store(
    tx: &mut Tx<'_>,
    user: UserKey,
    room: Option<RoomKey>,
    event_type: &str,
    content: &[u8],
    deleted: bool,
) -> Result<(), Error> {
    let room = room_column(room);
    // The content at once, so that the group's next change builds on it; the position when it is known.
    tx.execute(
        "INSERT INTO account_data (user_key, room, type, content, deleted, position)
         VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT (user_key, room, type) DO UPDATE SET content = excluded.content, deleted = excluded.deleted",
        params![user, room, event_type.as_bytes(), content, deleted],
    )?;
    let event_type = event_type.as_bytes().to_vec();
    tx.publish_with(
        Topic::User(user),
        Kind::AccountData,
        room,
        0,
        move |snap, position| {
            snap.write(
                "UPDATE account_data SET position = $4 WHERE user_key = $1 AND room = $2 AND type = $3",
                params![user, room, event_type, position],
            )
            .map(drop)
        },
    );
    Ok(())
}

/// Removes all that a user has, without telling clients: for an account that is erased.
pub fn erase(tx: &mut Tx<'_>, user: UserKey) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM account_data WHERE user_key = $1",
        params![user],
    )
    .map(drop)
}
