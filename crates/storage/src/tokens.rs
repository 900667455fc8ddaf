//! Access, refresh and single-use tokens: client-server API v1.19, "Using access tokens", "Refreshing access tokens".
//!
//! The database holds SHA-256 hashes; this file never sees a token. Looked-up sessions are held in memory and dropped
//! when the stream says that the user was signed out or changed standing, so a request costs no SQL.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Database, DeviceKey, Error, Kind, Snapshot, StreamRow, Topic, Tx, UserKey, params};

/// The SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// What an access token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub user: UserKey,
    pub user_id: String,
    pub device: DeviceKey,
    pub device_id: String,
    /// None: until sign-out.
    pub expires_ms: Option<u64>,
    pub is_admin: bool,
    pub is_guest: bool,
    pub locked: bool,
    pub suspended: bool,
    pub deactivated: bool,
    /// When the device's last use was last written.
    pub last_seen_ms: u64,
}

/// Sessions held in memory: about 400 bytes each.
const SESSIONS_MAX: usize = 50_000;

/// The sessions of tokens in use.
#[derive(Default)]
pub(crate) struct Sessions {
    // Held for lookups alone, never across an await or a query.
    state: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_hash: HashMap<TokenHash, Session>,
    by_user: HashMap<UserKey, Vec<TokenHash>>,
    /// Counts what was dropped: a session read before a drop is not kept after it.
    drops: u64,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic while it was held can leave nothing worse than a missing entry.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what a change of the stream makes untrue.
    pub(crate) fn apply(&self, row: &StreamRow) {
        if let (Topic::User(user), Kind::SignedOut | Kind::Account) = (row.topic, row.kind) {
            let mut held = self.lock();
            held.drops += 1;
            held.forget(user);
        }
    }

    pub(crate) fn forget_all(&self) {
        let mut held = self.lock();
        let drops = held.drops + 1;
        *held = Held {
            drops,
            ..Held::default()
        };
    }

    fn keep(&self, hash: TokenHash, session: &Session, drops: u64) {
        let mut held = self.lock();
        if held.drops != drops {
            return;
        }
        if held.by_hash.len() >= SESSIONS_MAX {
            // An eighth at once, so that the walk is paid for by as many arrivals.
            let some: Vec<_> = held
                .by_hash
                .values()
                .take(SESSIONS_MAX / 8)
                .map(|session| session.user)
                .collect();
            for user in some {
                held.forget(user);
            }
        }
        if held.by_hash.insert(hash, session.clone()).is_none() {
            held.by_user.entry(session.user).or_default().push(hash);
        }
    }
}

impl Held {
    fn forget(&mut self, user: UserKey) {
        for hash in self.by_user.remove(&user).into_iter().flatten() {
            self.by_hash.remove(&hash);
        }
    }
}

impl Database {
    /// What an access token stands for; none: it never was one, or its device is signed out. Expired ones are returned.
    ///
    /// The first use of a token that came from a refresh ends the tokens that it replaces.
    pub async fn session(&self, hash: TokenHash) -> Result<Option<Session>, Error> {
        let drops = {
            let held = self.memory().sessions.lock();
            if let Some(session) = held.by_hash.get(&hash) {
                return Ok(Some(session.clone()));
            }
            held.drops
        };
        let found = self.read(move |snap| find_session(snap, &hash)).await?;
        let Some((session, confirms)) = found else {
            return Ok(None);
        };
        if let Some(refresh) = confirms {
            self.write(move |tx| confirm(tx, &hash, &refresh)).await?;
        }
        self.memory().sessions.keep(hash, &session, drops);
        Ok(Some(session))
    }

    /// Writes down that a session's device was used now.
    pub async fn touch_session(
        &self,
        hash: TokenHash,
        device: DeviceKey,
        ip: Option<String>,
    ) -> Result<(), Error> {
        let now_ms = self.clock().now_ms();
        if let Some(session) = self.memory().sessions.lock().by_hash.get_mut(&hash) {
            session.last_seen_ms = now_ms;
        }
        self.write(move |tx| crate::devices::set_last_seen(tx, device, ip.as_deref()))
            .await
    }
}

/// A session, and the refresh token that its first use ends.
type Found = (Session, Option<Vec<u8>>);

fn find_session(snap: &mut Snapshot<'_>, hash: &TokenHash) -> Result<Option<Found>, Error> {
    let row = snap.query_one(
        "SELECT t.user_key, u.user_id, t.device, d.device_id, t.expires_ms, t.confirms,
                a.is_admin, a.is_guest, a.locked, a.suspended, a.deactivated, d.last_seen_ms
         FROM access_tokens t
         JOIN devices d ON d.id = t.device
         JOIN accounts a ON a.user_key = t.user_key
         JOIN users u ON u.id = t.user_key
         WHERE t.hash = $1",
        params![hash.as_slice()],
    )?;
    Ok(row.map(|row| {
        let session = Session {
            user: UserKey(row.int(0)),
            user_id: row.text(1),
            device: DeviceKey(row.int(2)),
            device_id: String::from_utf8_lossy(&row.bytes(3)).into_owned(),
            expires_ms: row.opt_int(4).map(i64::unsigned_abs),
            is_admin: row.bool(6),
            is_guest: row.bool(7),
            locked: row.bool(8),
            suspended: row.bool(9),
            deactivated: row.bool(10),
            last_seen_ms: row.int(11).unsigned_abs(),
        };
        (session, row.opt_bytes(5))
    }))
}

fn session_device(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<Option<DeviceKey>, Error> {
    let row = tx.query_one(
        "SELECT device FROM access_tokens WHERE hash = $1",
        params![hash.as_slice()],
    )?;
    Ok(row.map(|row| DeviceKey(row.int(0))))
}

/// Ends what a token from a refresh replaces: the old refresh token, and the device's other access tokens.
fn confirm(tx: &mut Tx<'_>, hash: &TokenHash, refresh: &[u8]) -> Result<(), Error> {
    let Some(device) = session_device(tx, hash)? else {
        return Ok(()); // Signed out meanwhile.
    };
    tx.execute(
        "DELETE FROM refresh_tokens WHERE hash = $1",
        params![refresh],
    )?;
    tx.execute(
        "UPDATE refresh_tokens SET replaces = NULL WHERE replaces = $1",
        params![refresh],
    )?;
    tx.execute(
        "UPDATE access_tokens SET confirms = NULL WHERE hash = $1",
        params![hash.as_slice()],
    )?;
    expire_others(tx, device, hash)
}

/// The device's other tokens count as expired, not as unknown: whoever still holds one is told to refresh.
fn expire_others(tx: &mut Tx<'_>, device: DeviceKey, hash: &TokenHash) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    let rows = tx.query(
        "UPDATE access_tokens SET expires_ms = $3
         WHERE device = $1 AND hash <> $2 AND (expires_ms IS NULL OR expires_ms > $3) RETURNING user_key",
        params![device, hash.as_slice(), now_ms],
    )?;
    if let Some(row) = rows.first() {
        // Nodes that hold the old sessions in memory must look again.
        tx.publish(Topic::User(UserKey(row.int(0))), Kind::Account, 0, 0);
    }
    Ok(())
}

/// Gives a device its access token, in place of all it had.
pub fn sign_in(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    access: &TokenHash,
    expires_ms: Option<u64>,
    refresh: Option<&TokenHash>,
) -> Result<(), Error> {
    let had = tx.execute(
        "DELETE FROM access_tokens WHERE device = $1",
        params![device],
    )?;
    tx.execute(
        "DELETE FROM refresh_tokens WHERE device = $1",
        params![device],
    )?;
    insert_access(tx, user, device, access, expires_ms, None)?;
    if let Some(refresh) = refresh {
        insert_refresh(tx, user, device, refresh, None)?;
    }
    if had > 0 {
        tx.publish(Topic::User(user), Kind::Account, 0, 0);
    }
    Ok(())
}

fn insert_access(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    hash: &TokenHash,
    expires_ms: Option<u64>,
    confirms: Option<&[u8]>,
) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO access_tokens (hash, user_key, device, created_ms, expires_ms, confirms) VALUES ($1, $2, $3, $4, $5, $6)",
        params![hash.as_slice(), user, device, now_ms, expires_ms, confirms],
    )
    .map(drop)
}

fn insert_refresh(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    hash: &TokenHash,
    replaces: Option<&[u8]>,
) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO refresh_tokens (hash, user_key, device, created_ms, replaces) VALUES ($1, $2, $3, $4, $5)",
        params![hash.as_slice(), user, device, now_ms, replaces],
    )
    .map(drop)
}

/// Whose refresh token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    pub user: UserKey,
    pub device: DeviceKey,
}

/// Expired access tokens of a device are kept this long, so that whoever still holds one hears "expired".
const EXPIRED_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Replaces a device's tokens; none where the refresh token is unknown. The old refresh token stays good until one of
/// the new tokens is used: an answer may be lost.
pub fn refresh(
    tx: &mut Tx<'_>,
    old: &TokenHash,
    access: &TokenHash,
    expires_ms: u64,
    new: &TokenHash,
) -> Result<Option<RefreshToken>, Error> {
    let Some(row) = tx.query_one(
        "SELECT user_key, device, replaces FROM refresh_tokens WHERE hash = $1",
        params![old.as_slice()],
    )?
    else {
        return Ok(None);
    };
    let (user, device) = (UserKey(row.int(0)), DeviceKey(row.int(1)));
    if let Some(replaced) = row.opt_bytes(2) {
        // Used: what it replaces ends.
        tx.execute(
            "DELETE FROM refresh_tokens WHERE hash = $1",
            params![replaced],
        )?;
        tx.execute(
            "UPDATE refresh_tokens SET replaces = NULL WHERE hash = $1",
            params![old.as_slice()],
        )?;
    }
    // What an earlier, lost answer carried is no longer good.
    tx.execute(
        "DELETE FROM refresh_tokens WHERE replaces = $1",
        params![old.as_slice()],
    )?;
    tx.execute(
        "DELETE FROM access_tokens WHERE confirms = $1",
        params![old.as_slice()],
    )?;
    let kept_from = tx.now_ms().saturating_sub(EXPIRED_KEPT_MS);
    tx.execute(
        "DELETE FROM access_tokens WHERE device = $1 AND expires_ms < $2",
        params![device, kept_from],
    )?;
    insert_access(tx, user, device, access, Some(expires_ms), Some(old))?;
    insert_refresh(tx, user, device, new, Some(old))?;
    Ok(Some(RefreshToken { user, device }))
}

/// What a single-use token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleUse {
    /// Signing in on another device.
    Login,
    /// Choosing a new password.
    PasswordReset,
}

impl SingleUse {
    fn to_int(self) -> i64 {
        match self {
            SingleUse::Login => 0,
            SingleUse::PasswordReset => 1,
        }
    }
}

/// A single-use token's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleUseToken {
    pub user: UserKey,
    pub expires_ms: u64,
    pub used: bool,
}

/// Keeps a single-use token. Of password resets only the newest is good.
pub fn put_single_use(
    tx: &mut Tx<'_>,
    kind: SingleUse,
    hash: &TokenHash,
    user: UserKey,
    expires_ms: u64,
) -> Result<(), Error> {
    if kind == SingleUse::PasswordReset {
        tx.execute(
            "DELETE FROM single_use_tokens WHERE user_key = $1 AND kind = $2",
            params![user, kind.to_int()],
        )?;
    }
    tx.execute(
        "INSERT INTO single_use_tokens (hash, kind, user_key, expires_ms, used_ms) VALUES ($1, $2, $3, $4, NULL)",
        params![hash.as_slice(), kind.to_int(), user, expires_ms],
    )
    .map(drop)
}

/// Looks at a single-use token without using it.
pub fn find_single_use(
    snap: &mut Snapshot<'_>,
    kind: SingleUse,
    hash: &TokenHash,
) -> Result<Option<SingleUseToken>, Error> {
    let row = snap.query_one(
        "SELECT user_key, expires_ms, used_ms FROM single_use_tokens WHERE hash = $1 AND kind = $2",
        params![hash.as_slice(), kind.to_int()],
    )?;
    Ok(row.map(|row| SingleUseToken {
        user: UserKey(row.int(0)),
        expires_ms: row.int(1).unsigned_abs(),
        used: row.opt_int(2).is_some(),
    }))
}

/// Uses a single-use token up; false where somebody else just did.
pub fn use_up(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<bool, Error> {
    let now_ms = tx.now_ms();
    let touched = tx.execute(
        "UPDATE single_use_tokens SET used_ms = $2 WHERE hash = $1 AND used_ms IS NULL",
        params![hash.as_slice(), now_ms],
    )?;
    Ok(touched == 1)
}
