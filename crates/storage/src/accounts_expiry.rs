//! The end of what signs people in: expired tokens and stages. Called by the janitor, in slices.

use crate::{Error, Tx, params};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Ended registration and reset tokens are kept this long, so that their holders are told what happened to them.
const ENDED_TOKENS_KEPT_MS: u64 = 90 * DAY_MS;

/// Deletes what has ended, at most about `limit` rows of each kind; how many rows went.
pub fn delete_ended(tx: &mut Tx<'_>, limit: usize) -> Result<u64, Error> {
    let now_ms = tx.now_ms();
    let (day_ago, long_ago) = (
        now_ms.saturating_sub(DAY_MS),
        now_ms.saturating_sub(ENDED_TOKENS_KEPT_MS),
    );
    let mut gone = tx.execute(
        "DELETE FROM interactive_auth_stages WHERE (session, stage) IN
         (SELECT session, stage FROM interactive_auth_stages WHERE expires_ms < $1 LIMIT $2)",
        params![day_ago, limit],
    )?;
    gone += tx.execute(
        "DELETE FROM single_use_tokens WHERE hash IN
         (SELECT hash FROM single_use_tokens
          WHERE (kind = 0 AND expires_ms < $1) OR (kind = 1 AND expires_ms < $2) LIMIT $3)",
        params![day_ago, long_ago, limit],
    )?;
    gone += tx.execute(
        "DELETE FROM registration_tokens WHERE hash IN
         (SELECT hash FROM registration_tokens
          WHERE expires_ms < $1 OR revoked_ms < $1 OR (uses >= uses_max AND last_used_ms < $1) LIMIT $2)",
        params![long_ago, limit],
    )?;
    Ok(gone)
}
