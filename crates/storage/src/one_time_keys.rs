//! One-time and fallback keys: client-server API v1.19, "One-time and fallback keys".
//!
//! A one-time key is given out once: the claim deletes it, and is durable before it is answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{DeviceKey, Error, Kind, Position, Snapshot, Topic, Tx, UserKey, params, row};

/// One-time keys that one device may keep here: clients keep 50 to 100 an algorithm.
pub const ONE_TIME_KEYS_MAX: usize = 1_000;

/// Fallback keys that one device may keep here, one an algorithm: clients use one algorithm.
pub const FALLBACK_KEYS_MAX: usize = 20;

/// How long it is remembered that a key was given out: far above the time in which a client repeats an upload.
const CLAIMED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// How often a claim looks again where another node took the key it was about to take.
const CLAIM_ROUNDS_MAX: usize = 16;

/// A key that a device uploads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewKey {
    /// Such as `signed_curve25519`.
    pub algorithm: String,
    /// What follows the algorithm and a colon in the key's name.
    pub key_id: String,
    /// The key: JSON of a string or an object.
    pub body: Vec<u8>,
}

/// Why keys were not taken.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error("another key {algorithm}:{key_id} is there already")]
    Conflict { algorithm: String, key_id: String },
    #[error(
        "a device may keep {ONE_TIME_KEYS_MAX} one-time keys here, and {FALLBACK_KEYS_MAX} fallback keys"
    )]
    TooMany,
    #[error(transparent)]
    Storage(#[from] Error),
}

/// Adds one-time keys. Keys that are here already, or were given out, stay as they are; `same` tells whether two bodies
/// are the same key.
pub fn add(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    keys: &[NewKey],
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<(), AddError> {
    if keys.is_empty() {
        return Ok(());
    }
    lock(tx, device)?;
    let ids: Vec<Vec<u8>> = keys.iter().map(|key| key.key_id.clone().into()).collect();
    let rows = tx.query(
        "SELECT algorithm, key_id, body FROM one_time_keys WHERE device = $1 AND key_id IN ($2[])",
        params![device, ids.clone()],
    )?;
    let mut known: HashMap<(Vec<u8>, Vec<u8>), Vec<u8>> = rows
        .into_iter()
        .map(|row| ((row.bytes(0), row.bytes(1)), row.bytes(2)))
        .collect();
    let rows = tx.query(
        "SELECT algorithm, key_id, body FROM claimed_keys WHERE device = $1 AND key_id IN ($2[])",
        params![device, ids],
    )?;
    let claimed: HashMap<(Vec<u8>, Vec<u8>), Vec<u8>> = rows
        .into_iter()
        .map(|row| ((row.bytes(0), row.bytes(1)), row.bytes(2)))
        .collect();
    let mut new = Vec::new();
    for key in keys {
        let name = (
            key.algorithm.clone().into_bytes(),
            key.key_id.clone().into_bytes(),
        );
        match known.get(&name) {
            Some(body) if same(body, &key.body) => continue,
            Some(_) => {
                return Err(AddError::Conflict {
                    algorithm: key.algorithm.clone(),
                    key_id: key.key_id.clone(),
                });
            }
            None if claimed.get(&name).is_some_and(|body| same(body, &key.body)) => continue,
            None => {
                known.insert(name, key.body.clone());
                new.push(key);
            }
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let kept = tx.query(
        "SELECT COUNT(*) FROM one_time_keys WHERE device = $1",
        params![device],
    )?[0]
        .int(0);
    if kept.unsigned_abs() as usize + new.len() > ONE_TIME_KEYS_MAX {
        return Err(AddError::TooMany);
    }
    let first = reserve(tx, "one_time_key", new.len())?;
    let rows: Vec<_> = new
        .iter()
        .zip(first..)
        .map(|(key, seq)| {
            row![
                device,
                key.algorithm.as_bytes(),
                seq,
                key.key_id.as_bytes(),
                &key.body
            ]
        })
        .collect();
    tx.execute_many(
        "INSERT INTO one_time_keys (device, algorithm, seq, key_id, body) VALUES ($1, $2, $3, $4, $5)",
        &rows,
    )?;
    publish_counts(tx, &[(user, device)]);
    Ok(())
}

/// Sets the fallback keys of some algorithms. A key that is there already keeps whether it was used.
pub fn set_fallback(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    keys: &[NewKey],
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<(), AddError> {
    if keys.is_empty() {
        return Ok(());
    }
    lock(tx, device)?;
    let rows = tx.query(
        "SELECT algorithm, key_id, body FROM fallback_keys WHERE device = $1",
        params![device],
    )?;
    let known: HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)> = rows
        .into_iter()
        .map(|row| (row.bytes(0), (row.bytes(1), row.bytes(2))))
        .collect();
    let mut algorithms: HashSet<&[u8]> = known.keys().map(Vec::as_slice).collect();
    algorithms.extend(keys.iter().map(|key| key.algorithm.as_bytes()));
    if algorithms.len() > FALLBACK_KEYS_MAX {
        return Err(AddError::TooMany);
    }
    let new: Vec<_> = keys
        .iter()
        .filter(|key| {
            known
                .get(key.algorithm.as_bytes())
                .is_none_or(|(id, body)| id != key.key_id.as_bytes() || !same(body, &key.body))
        })
        .map(|key| {
            row![
                device,
                key.algorithm.as_bytes(),
                key.key_id.as_bytes(),
                &key.body
            ]
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    tx.execute_many(
        "INSERT INTO fallback_keys (device, algorithm, key_id, body, used) VALUES ($1, $2, $3, $4, FALSE)
         ON CONFLICT (device, algorithm) DO UPDATE
         SET key_id = excluded.key_id, body = excluded.body, used = FALSE",
        &new,
    )?;
    publish_counts(tx, &[(user, device)]);
    Ok(())
}

/// A key of a device, given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub key_id: String,
    /// JSON of a string or an object.
    pub body: Vec<u8>,
}

/// Takes one key of `algorithm` from each of these devices: the oldest one-time key, else the fallback key.
/// What it returns must not be shown before the commit.
pub fn claim(
    tx: &mut Tx<'_>,
    algorithm: &str,
    devices: &[(UserKey, DeviceKey)],
) -> Result<HashMap<DeviceKey, Claimed>, Error> {
    let mut claimed = HashMap::new();
    let mut wanted: Vec<i64> = devices.iter().map(|(_, device)| device.0).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut given_out = Vec::new();
    for _ in 0..CLAIM_ROUNDS_MAX {
        // The oldest of each by one step in the primary key. Where another node is taking it, this waits, and finds none.
        let rows = tx.query(
            "DELETE FROM one_time_keys WHERE algorithm = $1 AND device IN ($2[]) AND (device, seq) IN (
                 SELECT c.device, (SELECT MIN(k.seq) FROM one_time_keys k
                                   WHERE k.device = c.device AND k.algorithm = $1)
                 FROM key_counts c WHERE c.device IN ($2[]))
             RETURNING device, key_id, body",
            params![algorithm.as_bytes(), wanted.clone()],
        )?;
        for row in &rows {
            given_out.push(row![
                row.int(0),
                algorithm.as_bytes(),
                row.bytes(1),
                row.bytes(2),
                tx.now_ms()
            ]);
            claimed.insert(DeviceKey(row.int(0)), read_claimed(row));
        }
        wanted.retain(|device| !claimed.contains_key(&DeviceKey(*device)));
        if wanted.is_empty() || !tx.is_shared() || !any_left(tx, algorithm, &wanted)? {
            break;
        }
    }
    tx.execute_many(
        "INSERT INTO claimed_keys (device, algorithm, key_id, body, at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (device, algorithm, key_id) DO UPDATE SET body = excluded.body, at_ms = excluded.at_ms",
        &given_out,
    )?;
    if !wanted.is_empty() {
        let rows = tx.query(
            "UPDATE fallback_keys SET used = TRUE WHERE device IN ($2[]) AND algorithm = $1
             RETURNING device, key_id, body",
            params![algorithm.as_bytes(), wanted],
        )?;
        for row in &rows {
            claimed.insert(DeviceKey(row.int(0)), read_claimed(row));
        }
    }
    let touched: Vec<_> = devices
        .iter()
        .filter(|(_, device)| claimed.contains_key(device))
        .copied()
        .collect();
    publish_counts(tx, &touched);
    Ok(claimed)
}

fn any_left(tx: &mut Tx<'_>, algorithm: &str, devices: &[i64]) -> Result<bool, Error> {
    tx.query_one(
        "SELECT 1 FROM one_time_keys WHERE algorithm = $1 AND device IN ($2[]) LIMIT 1",
        params![algorithm.as_bytes(), devices.to_vec()],
    )
    .map(|row| row.is_some())
}

fn read_claimed(row: &crate::Row) -> Claimed {
    Claimed {
        key_id: String::from_utf8_lossy(&row.bytes(1)).into_owned(),
        body: row.bytes(2),
    }
}

/// How many one-time keys of each algorithm a device has left. `signed_curve25519` is always told, as clients that
/// miss it do not upload new ones.
pub fn counts(snap: &mut Snapshot<'_>, device: DeviceKey) -> Result<BTreeMap<String, u64>, Error> {
    let rows = snap.query(
        "SELECT algorithm, COUNT(*) FROM one_time_keys WHERE device = $1 GROUP BY algorithm",
        params![device],
    )?;
    let mut counts = BTreeMap::from([("signed_curve25519".to_owned(), 0)]);
    for row in rows {
        let algorithm = String::from_utf8_lossy(&row.bytes(0)).into_owned();
        counts.insert(algorithm, row.int(1).unsigned_abs());
    }
    Ok(counts)
}

/// The algorithms for which a device has a fallback key that was never given out.
pub fn unused_fallback(snap: &mut Snapshot<'_>, device: DeviceKey) -> Result<Vec<String>, Error> {
    let rows = snap.query(
        "SELECT algorithm FROM fallback_keys WHERE device = $1 AND NOT used ORDER BY algorithm",
        params![device],
    )?;
    Ok(rows
        .iter()
        .map(|row| String::from_utf8_lossy(&row.bytes(0)).into_owned())
        .collect())
}

/// When the one-time or fallback keys of a device last changed; 0 where it never had any.
pub fn counts_changed(snap: &mut Snapshot<'_>, device: DeviceKey) -> Result<Position, Error> {
    let row = snap.query_one(
        "SELECT position FROM key_counts WHERE device = $1",
        params![device],
    )?;
    Ok(Position(row.map_or(0, |row| row.int(0))))
}

/// Forgets keys that were given out long ago, at most `limit` of them. How many went.
pub fn forget_claimed(tx: &mut Tx<'_>, now_ms: u64, limit: usize) -> Result<u64, Error> {
    let before_ms = now_ms.saturating_sub(CLAIMED_KEPT_MS);
    tx.execute(
        "DELETE FROM claimed_keys WHERE (device, algorithm, key_id) IN (
             SELECT device, algorithm, key_id FROM claimed_keys WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
        params![before_ms, limit],
    )
}

/// Takes the device's row, so that uploads of one device on two nodes follow each other.
fn lock(tx: &mut Tx<'_>, device: DeviceKey) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO key_counts (device, position) VALUES ($1, 0)
         ON CONFLICT (device) DO UPDATE SET position = key_counts.position",
        params![device],
    )
    .map(drop)
}

/// Tells these devices that their keys are more or fewer. Their rows in `key_counts` are there.
fn publish_counts(tx: &mut Tx<'_>, devices: &[(UserKey, DeviceKey)]) {
    let Some(((user, device), others)) = devices.split_last() else {
        return;
    };
    for (user, device) in others {
        tx.publish(Topic::User(*user), Kind::KeyCounts, device.0, 0);
    }
    let all: Vec<i64> = devices.iter().map(|(_, device)| device.0).collect();
    // The last row's position is that of all: they become visible together.
    tx.publish_with(
        Topic::User(*user),
        Kind::KeyCounts,
        device.0,
        0,
        move |snap, position| {
            snap.write(
                "UPDATE key_counts SET position = $1 WHERE device IN ($2[])",
                params![position, all.clone()],
            )
            .map(drop)
        },
    );
}

/// The first of `count` consecutive numbers, taken within the transaction that uses them.
pub(crate) fn reserve(tx: &mut Tx<'_>, counter: &'static str, count: usize) -> Result<i64, Error> {
    let rows = tx.query(
        "INSERT INTO counters (name, next) VALUES ($1, 1 + CAST($2 AS BIGINT))
         ON CONFLICT (name) DO UPDATE SET next = counters.next + $2 RETURNING next",
        params![counter, count],
    )?;
    Ok(rows[0].int(0) - count as i64)
}
