//! Key backups: client-server API v1.19, "Server-side key backups".

use serde_json::Value;
use storage::key_backup::{self, PutError};
pub use storage::key_backup::{Backup, Range, Rank, Session};

use super::signed_json::{KEY_BYTES_MAX, Object, write};
use crate::{Homeserver, Requester};

/// Sessions in one request: clients send 100 to 200 at once.
pub const SESSIONS_MAX: usize = 20_000;

/// Sessions that are read at once: at about 1 KiB each, a share of what an answer may hold in memory.
const PAGE: usize = 500;

/// The name of a backup's algorithm.
const ALGORITHM_BYTES_MAX: usize = 255;

/// Ids of rooms and sessions as clients give them.
const ID_BYTES_MAX: usize = 255;

/// Why a backup was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no such backup")]
    NotFound,
    #[error("the current backup is version {current}")]
    WrongVersion { current: i64 },
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the algorithm of a backup cannot change")]
    OtherAlgorithm,
    #[error(
        "a backup's data is larger, or it has more versions or sessions, than this server keeps"
    )]
    TooLarge,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<PutError> for BackupError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::NotFound => BackupError::NotFound,
            PutError::WrongVersion { current } => BackupError::WrongVersion { current },
            PutError::TooMany => BackupError::TooLarge,
            PutError::Storage(error) => BackupError::Storage(error),
        }
    }
}

/// A version as clients write it: a string of digits that was once told.
pub fn parse_version(version: &str) -> Option<i64> {
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    version.parse().ok().filter(|_| digits)
}

/// Makes a new version, which is then the current one. Its number.
pub async fn create_backup(
    hs: &Homeserver,
    requester: &Requester,
    algorithm: String,
    auth_data: Object,
) -> Result<i64, BackupError> {
    if algorithm.len() > ALGORITHM_BYTES_MAX {
        return Err(BackupError::TooLarge);
    }
    let (user, auth_data) = (requester.user, checked_auth_data(&auth_data)?);
    Ok(hs
        .db
        .write(move |tx| key_backup::create(tx, user, &algorithm, &auth_data))
        .await?)
}

/// A version, or the current one.
pub async fn find_backup(
    hs: &Homeserver,
    requester: &Requester,
    version: Option<i64>,
) -> Result<Backup, BackupError> {
    let user = requester.user;
    let backup = hs
        .db
        .read(move |snap| match version {
            Some(version) => key_backup::version(snap, user, version),
            None => key_backup::current(snap, user),
        })
        .await?;
    backup.ok_or(BackupError::NotFound)
}

/// Replaces what clients need to trust a version.
pub async fn update_backup(
    hs: &Homeserver,
    requester: &Requester,
    version: i64,
    algorithm: String,
    auth_data: Object,
) -> Result<(), BackupError> {
    let (user, auth_data) = (requester.user, checked_auth_data(&auth_data)?);
    hs.db
        .write(move |tx| {
            let backup = key_backup::version(tx, user, version)?.ok_or(BackupError::NotFound)?;
            if backup.algorithm != algorithm {
                return Err(BackupError::OtherAlgorithm);
            }
            Ok(key_backup::set_auth_data(tx, user, version, &auth_data)?)
        })
        .await
}

/// Deletes a version with all its sessions. A version that was deleted before is deleted.
pub async fn delete_backup(
    hs: &Homeserver,
    requester: &Requester,
    version: i64,
) -> Result<(), BackupError> {
    let user = requester.user;
    hs.db
        .write(move |tx| {
            let there_once = version >= 1 && version <= key_backup::newest_number(tx, user)?;
            if key_backup::delete(tx, user, version)? || there_once {
                Ok(())
            } else {
                Err(BackupError::NotFound)
            }
        })
        .await
}

/// Puts sessions into the current version, which must be `version`. Returns the version as it is now.
pub async fn put_sessions(
    hs: &Homeserver,
    requester: &Requester,
    version: i64,
    sessions: Vec<Session>,
) -> Result<Backup, BackupError> {
    let too_large = |session: &Session| {
        session.session_data.len() > KEY_BYTES_MAX
            || session.room_id.len() > ID_BYTES_MAX
            || session.session_id.len() > ID_BYTES_MAX
    };
    if sessions.len() > SESSIONS_MAX || sessions.iter().any(too_large) {
        return Err(BackupError::TooLarge);
    }
    let user = requester.user;
    let bytes = sessions
        .iter()
        .map(|session| session.session_data.len())
        .sum();
    let (backup, _) = hs
        .db
        .write_placed(bytes, move |tx| {
            key_backup::put(tx, user, version, &sessions, replaces)
        })
        .await?;
    Ok(backup)
}

/// Whether a session replaces one that is there: where it is verified and the other is not, else where it begins
/// earlier, else where it was forwarded less often.
fn replaces(new: &Rank, old: &Rank) -> bool {
    let rank = |rank: &Rank| {
        (
            !rank.is_verified,
            rank.first_message_index,
            rank.forwarded_count,
        )
    };
    rank(new) < rank(old)
}

/// A page of a version's sessions after `after` (a room's id and a session's), by room and session; empty at the end.
pub async fn read_sessions(
    hs: &Homeserver,
    backup: Backup,
    range: Range,
    after: (String, String),
) -> Result<Vec<Session>, storage::Error> {
    hs.db
        .read(move |snap| key_backup::sessions(snap, &backup, &range, (&after.0, &after.1), PAGE))
        .await
}

/// Deletes sessions of a version. Returns the version as it is now.
pub async fn delete_sessions(
    hs: &Homeserver,
    requester: &Requester,
    version: i64,
    range: Range,
) -> Result<Backup, BackupError> {
    let user = requester.user;
    let backup = hs
        .db
        .write(move |tx| key_backup::delete_sessions(tx, user, version, &range))
        .await?;
    backup.ok_or(BackupError::NotFound)
}

fn checked_auth_data(auth_data: &Object) -> Result<Vec<u8>, BackupError> {
    let bytes = write(auth_data);
    if bytes.len() > KEY_BYTES_MAX {
        return Err(BackupError::TooLarge);
    }
    Ok(bytes)
}

/// A session as clients give it, by the ids of its room and itself.
///
/// # Errors
/// [`BackupError::Malformed`] where a member is missing or of another type.
pub fn parse_session(
    room_id: String,
    session_id: String,
    session: &Object,
) -> Result<Session, BackupError> {
    if room_id.is_empty() || session_id.is_empty() {
        return Err(BackupError::Malformed(
            "The id of a room or session is empty.",
        ));
    }
    let number = |name: &str| {
        session
            .get(name)
            .and_then(Value::as_i64)
            .filter(|number| *number >= 0)
            .ok_or(BackupError::Malformed(
                "first_message_index and forwarded_count must be numbers from 0 on.",
            ))
    };
    let rank = Rank {
        first_message_index: number("first_message_index")?,
        forwarded_count: number("forwarded_count")?,
        is_verified: session
            .get("is_verified")
            .and_then(Value::as_bool)
            .ok_or(BackupError::Malformed("is_verified must be true or false."))?,
    };
    let data = session
        .get("session_data")
        .and_then(Value::as_object)
        .ok_or(BackupError::Malformed("session_data must be an object."))?;
    Ok(Session {
        room_id,
        session_id,
        rank,
        session_data: write(data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(new: (bool, i64, i64), old: (bool, i64, i64), expected: bool) {
        let rank = |(is_verified, first_message_index, forwarded_count)| Rank {
            first_message_index,
            forwarded_count,
            is_verified,
        };
        assert_eq!(
            replaces(&rank(new), &rank(old)),
            expected,
            "{new:?} {old:?}"
        );
    }

    #[test]
    fn the_better_session_stays() {
        let (verified, not) = (true, false);
        check((verified, 9, 9), (not, 0, 0), true);
        check((not, 0, 0), (verified, 9, 9), false);
        check((not, 4, 9), (not, 5, 0), true);
        check((not, 5, 0), (not, 4, 9), false);
        check((verified, 4, 1), (verified, 4, 2), true);
        check((verified, 4, 2), (verified, 4, 1), false);
        check((verified, 4, 1), (verified, 4, 1), false);
    }

    #[test]
    fn only_digits_are_a_version() {
        let table = [
            ("1", Some(1)),
            ("+1", None),
            ("", None),
            ("-1", None),
            ("1a", None),
        ];
        for (text, version) in table {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }
}
