//! Completed stages of user-interactive authentication: client-server API v1.19, "User-Interactive Authentication API".
//!
//! A session needs no row: its id carries what it is bound to, signed by the server. Rows are only the stages that
//! were completed outside of the request that needs them, as on a fallback page.

use crate::{Error, Snapshot, Tx, params};

/// A completed stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub stage: String,
    /// What the stage leaves for the request that needs it.
    pub detail: Option<Vec<u8>>,
}

/// Keeps a completed stage until `expires_ms`.
pub fn complete(
    tx: &mut Tx<'_>,
    session: &[u8],
    stage: &str,
    detail: Option<&[u8]>,
    expires_ms: u64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO interactive_auth_stages (session, stage, detail, expires_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (session, stage) DO UPDATE SET detail = excluded.detail, expires_ms = excluded.expires_ms",
        params![session, stage, detail, expires_ms],
    )
    .map(drop)
}

/// The completed stages of a session.
pub fn completed(
    snap: &mut Snapshot<'_>,
    session: &[u8],
    now_ms: u64,
) -> Result<Vec<Stage>, Error> {
    let rows = snap.query(
        "SELECT stage, detail FROM interactive_auth_stages WHERE session = $1 AND expires_ms > $2",
        params![session, now_ms],
    )?;
    Ok(rows
        .iter()
        .map(|row| Stage {
            stage: row.text(0),
            detail: row.opt_bytes(1),
        })
        .collect())
}

/// How many stages are stored.
pub fn count(snap: &mut Snapshot<'_>) -> Result<usize, Error> {
    let rows = snap.query("SELECT COUNT(*) FROM interactive_auth_stages", params![])?;
    Ok(usize::try_from(rows[0].int(0)).unwrap_or_default())
}

/// Ends a session that has served its request.
pub fn end(tx: &mut Tx<'_>, session: &[u8]) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM interactive_auth_stages WHERE session = $1",
        params![session],
    )
    .map(drop)
}
