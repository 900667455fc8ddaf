//! Push rules: stored as account data of type `m.push_rules`, as clients see them (client-server API v1.19, "Push Rules").
//!
//! Who has none has the defaults, which the `room` crate knows.

use crate::{Error, Kind, Position, Snapshot, Topic, Tx, UserKey, account_data, params};

/// The type under which clients see push rules.
pub const EVENT_TYPE: &str = "m.push_rules";

/// A user's rules (`{"global": …}`); none where they are the defaults.
pub fn get(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Option<Vec<u8>>, Error> {
    account_data::get(snap, user, None, EVENT_TYPE)
}

/// Sets a user's rules. The user's clients learn of it, and so do nodes that evaluate events.
pub fn put(tx: &mut Tx<'_>, user: UserKey, content: &[u8]) -> Result<(), Error> {
    account_data::put(tx, user, None, EVENT_TYPE, content)?;
    tx.execute(
        "INSERT INTO push_rules (user_key, position) VALUES ($1, 0) ON CONFLICT (user_key) DO NOTHING",
        params![user],
    )?;
    tx.publish_with(
        Topic::Server,
        Kind::AccountData,
        0,
        user.0,
        move |snap, position| {
            snap.write(
                "UPDATE push_rules SET position = $2 WHERE user_key = $1",
                params![user, position],
            )
            .map(drop)
        },
    );
    Ok(())
}

/// The rules of all users who have their own and changed them after a position, oldest first, with where each changed.
pub fn changed(
    snap: &mut Snapshot<'_>,
    after: Position,
) -> Result<Vec<(Position, UserKey, Vec<u8>)>, Error> {
    let rows = snap.query(
        "SELECT p.position, p.user_key, a.content FROM push_rules p
         JOIN account_data a ON a.user_key = p.user_key AND a.room = 0 AND a.type = $2
         WHERE p.position > $1 AND NOT a.deleted ORDER BY p.position",
        params![after, EVENT_TYPE.as_bytes()],
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| (Position(row.int(0)), UserKey(row.int(1)), row.take_bytes(2)))
        .collect())
}
