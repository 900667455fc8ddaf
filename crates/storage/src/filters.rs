//! Filters that clients uploaded (client-server API v1.19, "Filtering").

use crate::{Error, Snapshot, Tx, UserKey, params};

/// A filter's JSON, as it was uploaded.
pub fn get(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    filter_id: i64,
) -> Result<Option<Vec<u8>>, Error> {
    let row = snap.query_one(
        "SELECT body FROM filters WHERE user_key = $1 AND filter_id = $2",
        params![user, filter_id],
    )?;
    Ok(row.map(|mut row| row.take_bytes(0)))
}

/// Keeps a filter and gives its id: that of an equal one where the user has it. None: the user has `filters_max`.
pub fn put(
    tx: &mut Tx<'_>,
    user: UserKey,
    body: &[u8],
    filters_max: i64,
) -> Result<Option<i64>, Error> {
    let known = tx.query_one(
        "SELECT filter_id FROM filters WHERE user_key = $1 AND body = $2 LIMIT 1",
        params![user, body],
    )?;
    if let Some(row) = known {
        return Ok(Some(row.int(0)));
    }
    let count = tx
        .query_one(
            "SELECT COUNT(*), COALESCE(MAX(filter_id), 0) FROM filters WHERE user_key = $1",
            params![user],
        )?
        .map_or((0, 0), |row| (row.int(0), row.int(1)));
    if count.0 >= filters_max {
        return Ok(None);
    }
    let row = tx.query(
        "INSERT INTO filters (user_key, filter_id, body) VALUES ($1, $2, $3) RETURNING filter_id",
        params![user, count.1 + 1, body],
    )?;
    Ok(row.first().map(|row| row.int(0)))
}
