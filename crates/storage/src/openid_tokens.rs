//! OpenID tokens: with which other services ask who a user is (client-server API v1.19, "OpenID").

use crate::{Error, Snapshot, Tx, UserKey, params};

/// Keeps a token by its hash until then, and drops those that are over.
pub fn put(tx: &mut Tx<'_>, hash: &[u8], user: UserKey, until_ms: u64) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "DELETE FROM openid_tokens WHERE until_ms <= $1",
        params![now_ms],
    )?;
    tx.execute(
        "INSERT INTO openid_tokens (hash, user_key, until_ms) VALUES ($1, $2, $3)",
        params![hash, user, until_ms],
    )
    .map(drop)
}

/// Whose token it is, while it lives.
pub fn user_of(
    snap: &mut Snapshot<'_>,
    hash: &[u8],
    now_ms: u64,
) -> Result<Option<UserKey>, Error> {
    let row = snap.query_one(
        "SELECT user_key FROM openid_tokens WHERE hash = $1 AND until_ms > $2",
        params![hash, now_ms],
    )?;
    Ok(row.map(|row| UserKey(row.int(0))))
}
