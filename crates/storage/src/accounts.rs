//! Accounts of this server, as rows. Matrix client-server API v1.19, "Client Authentication".

use crate::{Error, Kind, Row, Snapshot, Topic, Tx, UserKey, ids, params};

/// An account's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub user: UserKey,
    pub user_id: String,
    /// A PHC string; none where the account has no password.
    pub password: Option<String>,
    pub created_ms: u64,
    pub is_admin: bool,
    pub is_guest: bool,
    /// Nothing can be done with it until it is unlocked.
    pub locked: bool,
    /// It can read, but not speak (client-server API, "Account suspension").
    pub suspended: bool,
    pub deactivated: bool,
    pub erased: bool,
}

/// What a new account starts with.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    pub password: Option<String>,
    pub is_admin: bool,
    pub is_guest: bool,
}

const COLUMNS: &str = "a.user_key, u.user_id, a.password, a.created_ms, a.is_admin, a.is_guest, a.locked, a.suspended, a.deactivated, a.erased";

fn read(row: &Row) -> Account {
    Account {
        user: UserKey(row.int(0)),
        user_id: row.text(1),
        password: row.opt_text(2),
        created_ms: row.int(3).unsigned_abs(),
        is_admin: row.bool(4),
        is_guest: row.bool(5),
        locked: row.bool(6),
        suspended: row.bool(7),
        deactivated: row.bool(8),
        erased: row.bool(9),
    }
}

/// Makes an account; none where there is one of that name, deactivated ones too.
pub fn create(tx: &mut Tx<'_>, user_id: &str, new: &NewAccount) -> Result<Option<UserKey>, Error> {
    if find(tx, user_id)?.is_some() {
        return Ok(None);
    }
    let user = ids::intern_users(tx, &[user_id])?[0];
    let now_ms = tx.now_ms();
    let made = tx.execute(
        "INSERT INTO accounts (user_key, password, created_ms, is_admin, is_guest, locked, suspended, deactivated, erased)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $6) ON CONFLICT (user_key) DO NOTHING",
        params![user, new.password.as_deref(), now_ms, new.is_admin, new.is_guest, false],
    )?;
    Ok((made == 1).then_some(user))
}

/// The account of a user id.
pub fn find(snap: &mut Snapshot<'_>, user_id: &str) -> Result<Option<Account>, Error> {
    if user_id.contains('\0') {
        return Ok(None); // No id holds it, and PostgreSQL refuses to look for it.
    }
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} FROM users u JOIN accounts a ON a.user_key = u.id WHERE u.user_id = $1"),
        params![user_id],
    )?;
    Ok(row.as_ref().map(read))
}

/// The account of a key.
pub fn get(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Option<Account>, Error> {
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} FROM accounts a JOIN users u ON u.id = a.user_key WHERE a.user_key = $1"),
        params![user],
    )?;
    Ok(row.as_ref().map(read))
}

/// Accounts by user id, those after `after` (all where it is empty), at most `limit`.
pub fn list(snap: &mut Snapshot<'_>, after: &str, limit: usize) -> Result<Vec<Account>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM accounts a JOIN users u ON u.id = a.user_key
             WHERE u.user_id > $1 ORDER BY u.user_id LIMIT $2"
        ),
        params![after, limit],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// Whether there is an administrator who can sign in.
pub fn has_admin(snap: &mut Snapshot<'_>) -> Result<bool, Error> {
    let row = snap.query_one(
        "SELECT 1 FROM accounts WHERE is_admin AND NOT deactivated LIMIT 1",
        params![],
    )?;
    Ok(row.is_some())
}

/// Replaces the password; none: the account has no password.
pub fn set_password(tx: &mut Tx<'_>, user: UserKey, password: Option<&str>) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET password = $2 WHERE user_key = $1",
        params![user, password],
    )
    .map(drop)
}

/// Makes or unmakes an administrator.
pub fn set_admin(tx: &mut Tx<'_>, user: UserKey, is_admin: bool) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET is_admin = $2 WHERE user_key = $1",
        params![user, is_admin],
    )?;
    tx.publish(Topic::User(user), Kind::Account, 0, 0);
    Ok(())
}

/// Locks or unlocks an account.
pub fn set_locked(tx: &mut Tx<'_>, user: UserKey, locked: bool) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET locked = $2 WHERE user_key = $1",
        params![user, locked],
    )?;
    tx.publish(Topic::User(user), Kind::Account, 0, 0);
    Ok(())
}

/// Suspends an account, or ends it.
pub fn set_suspended(tx: &mut Tx<'_>, user: UserKey, suspended: bool) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET suspended = $2 WHERE user_key = $1",
        params![user, suspended],
    )?;
    tx.publish(Topic::User(user), Kind::Account, 0, 0);
    Ok(())
}

/// Closes an account for good: no password, no addresses. Its devices are deleted by [`crate::devices::delete_devices`].
pub fn deactivate(tx: &mut Tx<'_>, user: UserKey, erase: bool) -> Result<(), Error> {
    tx.execute(
        "UPDATE accounts SET deactivated = $2, erased = $3, is_admin = $4, password = NULL WHERE user_key = $1",
        params![user, true, erase, false],
    )?;
    tx.execute("DELETE FROM threepids WHERE user_key = $1", params![user])?;
    tx.execute(
        "DELETE FROM single_use_tokens WHERE user_key = $1",
        params![user],
    )?;
    crate::cross_signing::forget_user(tx, user)?;
    crate::key_backup::forget_user(tx, user)?;
    tx.publish(Topic::User(user), Kind::Account, 0, 0);
    Ok(())
}

/// Whose e-mail address (`medium` "email", in lower case) or phone number ("msisdn") it is.
pub fn find_by_threepid(
    snap: &mut Snapshot<'_>,
    medium: &str,
    address: &str,
) -> Result<Option<Account>, Error> {
    let row = snap.query_one(
        &format!(
            "SELECT {COLUMNS} FROM threepids t JOIN accounts a ON a.user_key = t.user_key JOIN users u ON u.id = a.user_key
             WHERE t.medium = $1 AND t.address = $2"
        ),
        params![medium.as_bytes(), address.as_bytes()],
    )?;
    Ok(row.as_ref().map(read))
}

/// Adds a proven address to an account; false where it is another account's.
pub fn add_threepid(
    tx: &mut Tx<'_>,
    user: UserKey,
    medium: &str,
    address: &str,
    validated_ms: u64,
) -> Result<bool, Error> {
    let now_ms = tx.now_ms();
    let touched = tx.execute(
        "INSERT INTO threepids (medium, address, user_key, validated_ms, added_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (medium, address) DO UPDATE SET validated_ms = excluded.validated_ms
         WHERE threepids.user_key = excluded.user_key",
        params![medium.as_bytes(), address.as_bytes(), user, validated_ms, now_ms],
    )?;
    Ok(touched == 1)
}
