//! Presence: whether a user is there (client-server API v1.19, "Presence").

use crate::{Error, Kind, Row, Snapshot, Topic, Tx, UserKey, params};

/// Whether a user is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceState {
    Offline,
    Unavailable,
    Online,
}

impl PresenceState {
    /// The spec's word.
    pub fn as_str(self) -> &'static str {
        match self {
            PresenceState::Offline => "offline",
            PresenceState::Unavailable => "unavailable",
            PresenceState::Online => "online",
        }
    }

    /// Reads the spec's word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            PresenceState::Offline,
            PresenceState::Unavailable,
            PresenceState::Online,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }

    fn to_int(self) -> i64 {
        match self {
            PresenceState::Offline => 0,
            PresenceState::Unavailable => 1,
            PresenceState::Online => 2,
        }
    }

    fn from_int(value: i64) -> Self {
        match value {
            1 => PresenceState::Unavailable,
            2 => PresenceState::Online,
            _ => PresenceState::Offline,
        }
    }
}

/// A user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub user: UserKey,
    pub user_id: String,
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// When the user last did something, in milliseconds since the Unix epoch.
    pub active_ms: u64,
    /// When a client of the user was last seen, in milliseconds since the Unix epoch.
    pub seen_ms: u64,
}

const COLUMNS: &str = "p.user_key, u.user_id, p.presence, p.status_msg, p.active_ms, p.seen_ms";

fn read(row: &Row) -> Presence {
    Presence {
        user: UserKey(row.int(0)),
        user_id: row.text(1),
        state: PresenceState::from_int(row.int(2)),
        status_msg: row
            .opt_bytes(3)
            .map(|text| String::from_utf8_lossy(&text).into_owned()),
        active_ms: row.int(4).unsigned_abs(),
        seen_ms: row.int(5).unsigned_abs(),
    }
}

/// A user's presence; none where it was never set.
pub fn get(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Option<Presence>, Error> {
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} FROM presence p JOIN users u ON u.id = p.user_key WHERE p.user_key = $1"),
        params![user],
    )?;
    Ok(row.as_ref().map(read))
}

/// The presence that changed in (after, up_to] of the viewer and of everybody who shares a room with the viewer.
pub fn changed(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<Presence>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM presence p JOIN users u ON u.id = p.user_key
             WHERE p.position > $2 AND p.position <= $3 AND (p.user_key = $1 OR EXISTS (
                 SELECT 1 FROM members mine JOIN members theirs ON theirs.room = mine.room
                 WHERE mine.user_key = $1 AND mine.membership = 3
                   AND theirs.user_key = p.user_key AND theirs.membership = 3
             )) ORDER BY p.position"
        ),
        params![viewer, after, up_to],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// Whether two users are joined to one room, so that each sees the other's presence.
pub fn share_a_room(snap: &mut Snapshot<'_>, a: UserKey, b: UserKey) -> Result<bool, Error> {
    let row = snap.query_one(
        "SELECT 1 FROM members mine JOIN members theirs ON theirs.room = mine.room
         WHERE mine.user_key = $1 AND mine.membership = 3 AND theirs.user_key = $2 AND theirs.membership = 3 LIMIT 1",
        params![a, b],
    )?;
    Ok(row.is_some())
}

/// Sets a user's presence and tells those who share a room.
pub fn put(
    tx: &mut Tx<'_>,
    user: UserKey,
    state: PresenceState,
    status_msg: Option<&str>,
    active_ms: u64,
    seen_ms: u64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO presence (user_key, presence, status_msg, active_ms, seen_ms, position)
         VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT (user_key) DO UPDATE SET presence = excluded.presence, status_msg = excluded.status_msg,
             active_ms = excluded.active_ms, seen_ms = excluded.seen_ms",
        params![
            user,
            state.to_int(),
            status_msg.map(str::as_bytes),
            active_ms,
            seen_ms
        ],
    )?;
    publish(tx, user);
    Ok(())
}

/// Notes that a client of the user is there, without telling anybody.
pub fn seen(tx: &mut Tx<'_>, user: UserKey, seen_ms: u64) -> Result<(), Error> {
    tx.execute(
        "UPDATE presence SET seen_ms = $2 WHERE user_key = $1 AND seen_ms < $2",
        params![user, seen_ms],
    )
    .map(drop)
}

/// Makes offline who was last seen before then, and tells those who share a room.
pub fn end_unseen(tx: &mut Tx<'_>, before_ms: u64) -> Result<(), Error> {
    let rows = tx.query(
        "UPDATE presence SET presence = 0 WHERE presence > 0 AND seen_ms < $1 RETURNING user_key",
        params![before_ms],
    )?;
    for row in rows {
        publish(tx, UserKey(row.int(0)));
    }
    Ok(())
}

/// When the user who was seen longest ago, and is not offline, was seen; in milliseconds since the Unix epoch.
pub fn longest_unseen_ms(snap: &mut Snapshot<'_>) -> Result<Option<u64>, Error> {
    let row = snap.query_one(
        "SELECT seen_ms FROM presence WHERE presence > 0 ORDER BY seen_ms LIMIT 1",
        params![],
    )?;
    Ok(row.map(|row| row.int(0).unsigned_abs()))
}

fn publish(tx: &mut Tx<'_>, user: UserKey) {
    tx.publish_with(
        Topic::Peers(user),
        Kind::Presence,
        0,
        0,
        move |snap, position| {
            snap.write(
                "UPDATE presence SET position = $2 WHERE user_key = $1",
                params![user, position],
            )
            .map(drop)
        },
    );
}
