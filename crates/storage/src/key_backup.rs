//! Key backups: client-server API v1.19, "Server-side key backups".
//!
//! The sessions of a version lie in a store. To delete all of them gives the version another store; the old one is
//! waste, seen by nobody, and swept in slices by the janitor.

use crate::one_time_keys::reserve;
use crate::{Error, Snapshot, Tx, UserKey, params, row};

/// Versions that a user may have: clients keep one, and delete it when they make another.
pub const VERSIONS_MAX: i64 = 100;

/// Sessions that one backup may hold: the largest known accounts have some 300,000.
pub const SESSIONS_MAX: i64 = 2_000_000;

/// A version of a user's backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub version: i64,
    pub algorithm: String,
    /// A JSON object.
    pub auth_data: Vec<u8>,
    /// Changes whenever a session of it does.
    pub etag: i64,
    /// How many sessions it holds.
    pub sessions: i64,
    store: i64,
}

/// What decides whether a session replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    pub first_message_index: i64,
    pub forwarded_count: i64,
    pub is_verified: bool,
}

/// A session in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub room_id: String,
    pub session_id: String,
    pub rank: Rank,
    /// A JSON object.
    pub session_data: Vec<u8>,
}

/// Which sessions of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    All,
    Room(String),
    /// A room's id and a session's.
    Session(String, String),
}

/// Why a backup was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("the user has no backup")]
    NotFound,
    #[error("the current backup is version {current}")]
    WrongVersion { current: i64 },
    #[error("too many versions or sessions")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] Error),
}

const COLUMNS: &str = "version, algorithm, auth_data, etag, sessions, store";

fn read(mut row: crate::Row) -> Backup {
    Backup {
        version: row.int(0),
        algorithm: text(row.take_bytes(1)),
        auth_data: row.take_bytes(2),
        etag: row.int(3),
        sessions: row.int(4),
        store: row.int(5),
    }
}

/// The newest version that is not deleted.
pub fn current(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Option<Backup>, Error> {
    let row = snap.query_one(
        &format!(
            "SELECT {COLUMNS} FROM key_backups WHERE user_key = $1 AND NOT deleted ORDER BY version DESC LIMIT 1"
        ),
        params![user],
    )?;
    Ok(row.map(read))
}

/// A version that is not deleted.
pub fn version(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    version: i64,
) -> Result<Option<Backup>, Error> {
    let row = snap.query_one(
        &format!(
            "SELECT {COLUMNS} FROM key_backups WHERE user_key = $1 AND version = $2 AND NOT deleted"
        ),
        params![user, version],
    )?;
    Ok(row.map(read))
}

/// The number of the newest version that there ever was, 0 where there was none.
pub fn newest_number(snap: &mut Snapshot<'_>, user: UserKey) -> Result<i64, Error> {
    let row = snap.query_one(
        "SELECT version FROM key_backups WHERE user_key = $1 ORDER BY version DESC LIMIT 1",
        params![user],
    )?;
    Ok(row.map_or(0, |row| row.int(0)))
}

/// Makes a new version, empty and current. Its number.
pub fn create(
    tx: &mut Tx<'_>,
    user: UserKey,
    algorithm: &str,
    auth_data: &[u8],
) -> Result<i64, PutError> {
    crate::device_lists::lock(tx, user)?;
    let newest = newest_number(tx, user)?;
    tx.execute(
        "DELETE FROM key_backups WHERE user_key = $1 AND deleted",
        params![user],
    )?;
    let kept = tx.query(
        "SELECT COUNT(*) FROM key_backups WHERE user_key = $1",
        params![user],
    )?[0]
        .int(0);
    if kept >= VERSIONS_MAX {
        return Err(PutError::TooMany);
    }
    let store = reserve(tx, "key_backup_store", 1)?;
    tx.execute(
        "INSERT INTO key_backups (user_key, version, deleted, algorithm, auth_data, store, etag, sessions)
         VALUES ($1, $2, FALSE, $3, $4, $5, 0, 0)",
        params![user, newest + 1, algorithm.as_bytes(), auth_data, store],
    )?;
    Ok(newest + 1)
}

/// Replaces what clients need to trust a version.
pub fn set_auth_data(
    tx: &mut Tx<'_>,
    user: UserKey,
    version: i64,
    auth_data: &[u8],
) -> Result<(), Error> {
    tx.execute(
        "UPDATE key_backups SET auth_data = $3 WHERE user_key = $1 AND version = $2 AND NOT deleted",
        params![user, version, auth_data],
    )
    .map(drop)
}

/// Deletes a version with its sessions. False where it is not there.
pub fn delete(tx: &mut Tx<'_>, user: UserKey, version: i64) -> Result<bool, Error> {
    let row = tx.query_one(
        "UPDATE key_backups SET deleted = TRUE WHERE user_key = $1 AND version = $2 AND NOT deleted RETURNING store",
        params![user, version],
    )?;
    match row {
        Some(row) => waste(tx, row.int(0)).map(|()| true),
        None => Ok(false),
    }
}

/// Removes all backups of a user.
pub fn forget_user(tx: &mut Tx<'_>, user: UserKey) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO key_backup_waste (store) SELECT store FROM key_backups WHERE user_key = $1 AND NOT deleted
         ON CONFLICT DO NOTHING",
        params![user],
    )?;
    tx.execute("DELETE FROM key_backups WHERE user_key = $1", params![user])
        .map(drop)
}

/// Puts sessions into the current version, which must be `version`. `replaces` tells whether the first of two sessions
/// replaces the second, which is there already. Returns the version as it is now.
pub fn put(
    tx: &mut Tx<'_>,
    user: UserKey,
    version: i64,
    sessions: &[Session],
    replaces: impl Fn(&Rank, &Rank) -> bool,
) -> Result<Backup, PutError> {
    let Some(newest) = current(tx, user)? else {
        return Err(PutError::NotFound);
    };
    if newest.version != version {
        return Err(PutError::WrongVersion {
            current: newest.version,
        });
    }
    let mut backup = lock(tx, user, version)?.ok_or(PutError::NotFound)?;
    let ids: Vec<Vec<u8>> = sessions
        .iter()
        .map(|session| session.session_id.clone().into_bytes())
        .collect();
    let rows = tx.query(
        "SELECT session_id, room_id, first_message_index, forwarded_count, is_verified FROM key_backup_sessions
         WHERE store = $1 AND session_id IN ($2[])",
        params![backup.store, ids],
    )?;
    let mut known: std::collections::HashMap<(String, String), Rank> = rows
        .iter()
        .map(|row| {
            let rank = Rank {
                first_message_index: row.int(2),
                forwarded_count: row.int(3),
                is_verified: row.bool(4),
            };
            ((text(row.bytes(0)), text(row.bytes(1))), rank)
        })
        .collect();
    let (mut rows, mut added) = (Vec::new(), 0);
    for session in sessions {
        let name = (session.session_id.clone(), session.room_id.clone());
        match known.get(&name) {
            Some(rank) if !replaces(&session.rank, rank) => continue,
            Some(_) => {}
            None => added += 1,
        }
        known.insert(name, session.rank);
        rows.push(row![
            backup.store,
            session.room_id.as_bytes(),
            session.session_id.as_bytes(),
            session.rank.first_message_index,
            session.rank.forwarded_count,
            session.rank.is_verified,
            &session.session_data
        ]);
    }
    if backup.sessions + added > SESSIONS_MAX {
        return Err(PutError::TooMany);
    }
    tx.execute_many(
        "INSERT INTO key_backup_sessions
             (store, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (store, session_id, room_id) DO UPDATE SET first_message_index = excluded.first_message_index,
             forwarded_count = excluded.forwarded_count, is_verified = excluded.is_verified,
             session_data = excluded.session_data",
        &rows,
    )?;
    if !rows.is_empty() {
        backup.sessions += added;
        backup.etag += 1;
        save(tx, user, &backup)?;
    }
    Ok(backup)
}

/// Deletes sessions of a version. None where there is no such version; else the version as it is now.
pub fn delete_sessions(
    tx: &mut Tx<'_>,
    user: UserKey,
    version: i64,
    range: &Range,
) -> Result<Option<Backup>, Error> {
    let Some(mut backup) = lock(tx, user, version)? else {
        return Ok(None);
    };
    let gone = match range {
        Range::All => {
            let old = backup.store;
            if backup.sessions > 0 {
                waste(tx, old)?;
                backup.store = reserve(tx, "key_backup_store", 1)?;
            }
            backup.sessions
        }
        Range::Room(room) => tx.execute(
            "DELETE FROM key_backup_sessions WHERE store = $1 AND room_id = $2",
            params![backup.store, room.as_bytes()],
        )? as i64,
        Range::Session(room, session) => tx.execute(
            "DELETE FROM key_backup_sessions WHERE store = $1 AND room_id = $2 AND session_id = $3",
            params![backup.store, room.as_bytes(), session.as_bytes()],
        )? as i64,
    };
    if gone > 0 {
        backup.sessions -= gone;
        backup.etag += 1;
        save(tx, user, &backup)?;
    }
    Ok(Some(backup))
}

/// Sessions of a version by room and session id, those after `after` (a room's id and a session's), at most `limit`.
pub fn sessions(
    snap: &mut Snapshot<'_>,
    backup: &Backup,
    range: &Range,
    after: (&str, &str),
    limit: usize,
) -> Result<Vec<Session>, Error> {
    let (after_room, after_session) = (after.0.as_bytes(), after.1.as_bytes());
    let (filter, room, session) = match range {
        Range::All => ("", &[][..], &[][..]),
        Range::Room(room) => (" AND room_id = $5", room.as_bytes(), &[][..]),
        Range::Session(room, session) => (
            " AND room_id = $5 AND session_id = $6",
            room.as_bytes(),
            session.as_bytes(),
        ),
    };
    let mut params = row![
        backup.store,
        after_room,
        after_session,
        limit,
        room,
        session
    ];
    params.truncate(4 + filter.matches('$').count());
    let rows = snap.query(
        &format!(
            "SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
             FROM key_backup_sessions WHERE store = $1 AND (room_id, session_id) > ($2, $3){filter}
             ORDER BY room_id, session_id LIMIT $4"
        ),
        &params,
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| Session {
            room_id: text(row.take_bytes(0)),
            session_id: text(row.take_bytes(1)),
            rank: Rank {
                first_message_index: row.int(2),
                forwarded_count: row.int(3),
                is_verified: row.bool(4),
            },
            session_data: row.take_bytes(5),
        })
        .collect())
}

/// Deletes at most `limit` of the sessions that nobody sees. How many went; fewer than `limit` where nothing is left.
pub fn sweep(tx: &mut Tx<'_>, limit: usize) -> Result<u64, Error> {
    let mut gone = 0;
    while gone < limit as u64 {
        let Some(row) = tx.query_one("SELECT store FROM key_backup_waste LIMIT 1", params![])?
        else {
            break;
        };
        let (store, left) = (row.int(0), limit as u64 - gone);
        let slice = tx.execute(
            "DELETE FROM key_backup_sessions WHERE store = $1 AND (session_id, room_id) IN (
                 SELECT session_id, room_id FROM key_backup_sessions WHERE store = $1 LIMIT $2)",
            params![store, left],
        )?;
        gone += slice;
        if slice < left {
            tx.execute(
                "DELETE FROM key_backup_waste WHERE store = $1",
                params![store],
            )?;
        }
    }
    Ok(gone)
}

/// A version that is not deleted, for a change: nobody else changes it before the commit.
fn lock(tx: &mut Tx<'_>, user: UserKey, version: i64) -> Result<Option<Backup>, Error> {
    let row = tx.query_one(
        &format!(
            "UPDATE key_backups SET etag = etag WHERE user_key = $1 AND version = $2 AND NOT deleted RETURNING {COLUMNS}"
        ),
        params![user, version],
    )?;
    Ok(row.map(read))
}

fn save(tx: &mut Tx<'_>, user: UserKey, backup: &Backup) -> Result<(), Error> {
    tx.execute(
        "UPDATE key_backups SET store = $3, etag = $4, sessions = $5 WHERE user_key = $1 AND version = $2",
        params![user, backup.version, backup.store, backup.etag, backup.sessions],
    )
    .map(drop)
}

fn waste(tx: &mut Tx<'_>, store: i64) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO key_backup_waste (store) VALUES ($1) ON CONFLICT DO NOTHING",
        params![store],
    )
    .map(drop)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
