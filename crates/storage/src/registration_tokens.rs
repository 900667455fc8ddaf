//! Registration tokens: who may make an account. Client-server API v1.19, "Token-authenticated registration".

use crate::tokens::TokenHash;
use crate::{Error, Row, Snapshot, Tx, params};

/// A registration token's row. The token itself is known to whoever was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    pub hash: TokenHash,
    /// The token's beginning.
    pub hint: String,
    /// How many accounts it can make; none: any number.
    pub uses_max: Option<u64>,
    pub uses: u64,
    pub expires_ms: Option<u64>,
    /// The one localpart that it is for.
    pub username: Option<String>,
    pub is_admin: bool,
    pub revoked: bool,
    pub created_ms: u64,
}

impl RegistrationToken {
    /// Whether it can make no further account.
    pub fn is_used_up(&self) -> bool {
        self.uses_max.is_some_and(|max| self.uses >= max)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

const COLUMNS: &str =
    "hash, hint, uses_max, uses, expires_ms, username, is_admin, revoked_ms, created_ms";

fn read(row: &Row) -> RegistrationToken {
    RegistrationToken {
        hash: row.bytes(0).try_into().unwrap_or_default(),
        hint: row.text(1),
        uses_max: row.opt_int(2).map(i64::unsigned_abs),
        uses: row.int(3).unsigned_abs(),
        expires_ms: row.opt_int(4).map(i64::unsigned_abs),
        username: row.opt_text(5),
        is_admin: row.bool(6),
        revoked: row.opt_int(7).is_some(),
        created_ms: row.int(8).unsigned_abs(),
    }
}

/// Keeps a new token; false where there is one with this hash.
pub fn insert(tx: &mut Tx<'_>, token: &RegistrationToken) -> Result<bool, Error> {
    let made = tx.execute(
        "INSERT INTO registration_tokens (hash, hint, uses_max, uses, expires_ms, username, is_admin, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (hash) DO NOTHING",
        params![
            token.hash.as_slice(),
            &token.hint,
            token.uses_max,
            token.uses,
            token.expires_ms,
            token.username.as_deref(),
            token.is_admin,
            token.created_ms
        ],
    )?;
    Ok(made == 1)
}

/// The token of a hash, whatever its standing.
pub fn find(snap: &mut Snapshot<'_>, hash: &TokenHash) -> Result<Option<RegistrationToken>, Error> {
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} FROM registration_tokens WHERE hash = $1"),
        params![hash.as_slice()],
    )?;
    Ok(row.as_ref().map(read))
}

/// All tokens, newest first, at most `limit`.
pub fn list(snap: &mut Snapshot<'_>, limit: usize) -> Result<Vec<RegistrationToken>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM registration_tokens ORDER BY created_ms DESC, hash LIMIT $1"
        ),
        params![limit],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// The tokens that begin with `hint`.
pub fn find_by_hint(snap: &mut Snapshot<'_>, hint: &str) -> Result<Vec<RegistrationToken>, Error> {
    let rows = snap.query(
        &format!("SELECT {COLUMNS} FROM registration_tokens WHERE hint = $1"),
        params![hint],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// Counts one use. The caller has looked at the token in the same transaction; false where another node was faster.
pub fn count_use(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<bool, Error> {
    let now_ms = tx.now_ms();
    let touched = tx.execute(
        "UPDATE registration_tokens SET uses = uses + 1, last_used_ms = $2
         WHERE hash = $1 AND revoked_ms IS NULL AND (uses_max IS NULL OR uses < uses_max)",
        params![hash.as_slice(), now_ms],
    )?;
    Ok(touched == 1)
}

/// Makes a token useless.
pub fn revoke(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "UPDATE registration_tokens SET revoked_ms = $2 WHERE hash = $1 AND revoked_ms IS NULL",
        params![hash.as_slice(), now_ms],
    )
    .map(drop)
}
