//! Sliding connections as they are saved: what each was told, so that it goes on after a restart or on another node.

use crate::sync_rooms::keys;
use crate::{DeviceKey, Error, Position, RoomKey, Snapshot, Tx, params};

/// A connection at one of its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The client's name for it.
    pub conn_id: String,
    /// Ours: another one each time that it begins anew.
    pub id: String,
    /// Counts its answers.
    pub number: u64,
    /// Up to where it was told.
    pub position: Position,
    /// What it was told: bytes of the caller's.
    pub state: Vec<u8>,
}

/// A device's connection of a name.
pub fn load(
    snap: &mut Snapshot<'_>,
    device: DeviceKey,
    conn_id: &str,
) -> Result<Option<Saved>, Error> {
    let row = snap.query_one(
        "SELECT id, number, position, state FROM connections WHERE device = $1 AND conn_id = $2",
        params![device, conn_id.as_bytes()],
    )?;
    Ok(row.map(|mut row| Saved {
        conn_id: conn_id.to_owned(),
        id: row.text(0),
        number: row.int(1).unsigned_abs(),
        position: Position(row.int(2)),
        state: row.take_bytes(3),
    }))
}

/// Saves a connection, and forgets those of the device that were saved longest ago, beyond `connections_max`.
pub fn save(
    tx: &mut Tx<'_>,
    device: DeviceKey,
    saved: &Saved,
    connections_max: usize,
) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO connections (device, conn_id, id, number, position, state, saved_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (device, conn_id) DO UPDATE SET id = excluded.id, number = excluded.number,
             position = excluded.position, state = excluded.state, saved_ms = excluded.saved_ms",
        params![
            device,
            saved.conn_id.as_bytes(),
            &saved.id,
            saved.number,
            saved.position,
            &saved.state,
            now_ms
        ],
    )?;
    tx.execute(
        "DELETE FROM connections WHERE device = $1 AND conn_id <> $2 AND conn_id NOT IN (
             SELECT conn_id FROM connections WHERE device = $1 AND conn_id <> $2
             ORDER BY saved_ms DESC, conn_id LIMIT $3)",
        params![
            device,
            saved.conn_id.as_bytes(),
            connections_max.saturating_sub(1)
        ],
    )
    .map(drop)
}

/// Forgets connections that were last saved before then, at most `limit`. How many went.
pub fn delete_unused(tx: &mut Tx<'_>, before_ms: u64, limit: usize) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM connections WHERE (device, conn_id) IN (
             SELECT device, conn_id FROM connections WHERE saved_ms < $1 ORDER BY saved_ms LIMIT $2)",
        params![before_ms, limit],
    )
}

/// The rooms, of these, in which events became visible or the current state changed after a position.
pub fn rooms_changed_after(
    snap: &mut Snapshot<'_>,
    rooms: &[RoomKey],
    after: Position,
) -> Result<Vec<RoomKey>, Error> {
    let rows = snap.query(
        "SELECT r.id FROM rooms r WHERE r.id IN ($1[]) AND (r.last_place > $2 OR EXISTS (
             SELECT 1 FROM state_log l WHERE l.room = r.id AND l.position > $2))",
        params![keys(rooms), after],
    )?;
    Ok(rows.iter().map(|row| RoomKey(row.int(0))).collect())
}
