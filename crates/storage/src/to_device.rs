//! Messages that wait for a device: client-server API v1.19, "Send-to-Device messaging".

use std::collections::{BTreeMap, HashMap};

use crate::{DeviceKey, Error, Kind, Position, Snapshot, Topic, Tx, UserKey, params, row};

/// Messages that may wait for one device: a device that is away for a month in busy encrypted rooms has some thousand;
/// one that never comes back must not grow without end.
pub const WAITING_MAX: u64 = 10_000;

/// How long EDUs wait for a server that does not come back: keys that old are asked for again.
const OUTBOX_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// A message for one device of a user of this server.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub user: UserKey,
    pub device: DeviceKey,
    /// The event as the client gets it: `sender`, `type` and `content`.
    pub body: Vec<u8>,
}

/// A message that waits, and its place in the device's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub position: Position,
    /// The event as the client gets it: `sender`, `type` and `content`.
    pub body: Vec<u8>,
}

/// Puts messages into the queues of devices, at most one a device, all at one position.
/// Returns the devices whose queue is full: they get none, the others do.
pub fn send(tx: &mut Tx<'_>, mut messages: Vec<NewMessage>) -> Result<Vec<DeviceKey>, Error> {
    let devices: Vec<i64> = messages.iter().map(|message| message.device.0).collect();
    let rows = tx.query(
        "SELECT device, COUNT(*) FROM to_device WHERE device IN ($1[]) GROUP BY device",
        params![devices],
    )?;
    let waiting: HashMap<i64, u64> = rows
        .iter()
        .map(|row| (row.int(0), row.int(1).unsigned_abs()))
        .collect();
    let mut full = Vec::new();
    messages.retain(|message| {
        let fits = waiting
            .get(&message.device.0)
            .is_none_or(|count| *count < WAITING_MAX);
        if !fits {
            full.push(message.device);
        }
        fits
    });
    let Some((last, others)) = messages.split_last() else {
        return Ok(full);
    };
    for message in others {
        tx.publish(
            Topic::User(message.user),
            Kind::ToDevice,
            message.device.0,
            0,
        );
    }
    let (user, device) = (last.user, last.device);
    // The last row's position is that of all: they become visible together.
    tx.publish_with(
        Topic::User(user),
        Kind::ToDevice,
        device.0,
        0,
        move |snap, position| {
            let rows: Vec<_> = messages
                .into_iter()
                .map(|message| row![message.device, position, message.body])
                .collect();
            snap.write_many(
                "INSERT INTO to_device (device, position, body) VALUES ($1, $2, $3)",
                &rows,
            )
            .map(drop)
        },
    );
    Ok(full)
}

/// The messages that wait for a device after `after` and up to `up_to`, oldest first, at most `limit`.
pub fn messages(
    snap: &mut Snapshot<'_>,
    device: DeviceKey,
    after: Position,
    up_to: Position,
    limit: usize,
) -> Result<Vec<Message>, Error> {
    let rows = snap.query(
        "SELECT position, body FROM to_device WHERE device = $1 AND position > $2 AND position <= $3
         ORDER BY position LIMIT $4",
        params![device, after, up_to, limit],
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| Message {
            position: Position(row.int(0)),
            body: row.take_bytes(1),
        })
        .collect())
}

/// Removes what a device has acknowledged: all up to `position`. How many messages went.
pub fn delete_up_to(tx: &mut Tx<'_>, device: DeviceKey, position: Position) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM to_device WHERE device = $1 AND position <= $2",
        params![device, position],
    )
}

/// Leaves EDUs for other servers, one per destination: `contents` are their `content`, by server name.
pub fn leave_for_servers(
    tx: &mut Tx<'_>,
    kind: &str,
    contents: &BTreeMap<String, Vec<u8>>,
) -> Result<(), Error> {
    if contents.is_empty() {
        return Ok(());
    }
    let first = crate::one_time_keys::reserve(tx, "outbox", contents.len())?;
    let now_ms = tx.now_ms();
    let rows: Vec<_> = contents
        .iter()
        .zip(first..)
        .map(|((destination, content), id)| row![id, destination, kind, content, now_ms])
        .collect();
    tx.execute_many(
        "INSERT INTO outbox (id, destination, kind, content, at_ms) VALUES ($1, $2, $3, $4, $5)",
        &rows,
    )?;
    tx.publish(Topic::Server, Kind::Outbox, 0, 0);
    Ok(())
}

/// Deletes EDUs that have waited too long, at most `limit` of them. How many went.
pub fn forget_unsent(tx: &mut Tx<'_>, now_ms: u64, limit: usize) -> Result<u64, Error> {
    tx.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
        params![now_ms.saturating_sub(OUTBOX_MS), limit],
    )
}
