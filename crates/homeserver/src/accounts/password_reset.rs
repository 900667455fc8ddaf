//! A new password for somebody who forgot the old one: an administrator makes a link, its holder chooses once.

use storage::accounts as rows;
use storage::tokens::{self, SingleUse, TokenHash};
use storage::{Snapshot, UserKey};

use super::passwords::{self, Stopping, WeakPassword};
use super::{names, sessions, token_hash};
use crate::Homeserver;

/// Long enough for somebody who reads the message in the evening, short enough for one that is found later.
pub const LINK_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

/// 32 letters and digits: 190 bits, which nobody guesses.
const TOKEN_CHARS: usize = 32;

/// Why there is no link.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NewResetError {
    #[error("there is no such account")]
    NoAccount,
    #[error("this account is closed for good")]
    Deactivated,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Why a link changes no password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResetError {
    #[error("there is no such reset token, or a newer one has replaced it")]
    Unknown,
    #[error("this reset token has been used")]
    Used,
    #[error("this reset token has expired")]
    Expired,
    #[error(transparent)]
    Password(WeakPassword),
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Makes the token of a reset link. It replaces an earlier one, and is told here once; the server keeps its hash.
pub async fn new_reset_token(hs: &Homeserver, user_id: &str) -> Result<String, NewResetError> {
    let token = hs.random_string(TOKEN_CHARS);
    let (hash, user_id) = (token_hash(&token), user_id.to_owned());
    let expires_ms = hs.now_ms() + LINK_LIFETIME_MS;
    hs.db
        .write(move |tx| {
            let account = rows::find(tx, &user_id)?.ok_or(NewResetError::NoAccount)?;
            if account.deactivated {
                return Err(NewResetError::Deactivated);
            }
            tokens::put_single_use(
                tx,
                SingleUse::PasswordReset,
                &hash,
                account.user,
                expires_ms,
            )?;
            Ok(())
        })
        .await?;
    Ok(token)
}

/// Whose password a token can change, without using it.
pub async fn check_reset_token(hs: &Homeserver, token: &str) -> Result<String, ResetError> {
    let (hash, now_ms) = (token_hash(token), hs.now_ms());
    hs.db
        .read(move |snap| usable(snap, &hash, now_ms))
        .await
        .map(|(_, user_id)| user_id)
}

/// Changes the password and uses the token up, in one transaction; gives whose it was.
pub async fn choose_password(
    hs: &Homeserver,
    token: &str,
    password: &str,
    sign_out_devices: bool,
) -> Result<String, ResetError> {
    let user_id = check_reset_token(hs, token).await?;
    passwords::check(password, names::localpart(&user_id)).map_err(ResetError::Password)?;
    let hashed = passwords::hash(hs, password).await?;
    let hash = token_hash(token);
    let user_id = hs
        .db
        .write(move |tx| {
            let now_ms = tx.now_ms();
            let (user, user_id) = usable(tx, &hash, now_ms)?;
            if !tokens::use_up(tx, &hash)? {
                return Err(ResetError::Used);
            }
            rows::set_password(tx, user, Some(&hashed))?;
            if sign_out_devices {
                sessions::delete_all_devices(tx, user, None)?;
            }
            Ok(user_id)
        })
        .await?;
    tracing::info!(user_id, "chose a new password by a reset link");
    Ok(user_id)
}

fn usable(
    snap: &mut Snapshot<'_>,
    hash: &TokenHash,
    now_ms: u64,
) -> Result<(UserKey, String), ResetError> {
    let row = tokens::find_single_use(snap, SingleUse::PasswordReset, hash)?
        .ok_or(ResetError::Unknown)?;
    if row.used {
        return Err(ResetError::Used);
    }
    if row.expires_ms <= now_ms {
        return Err(ResetError::Expired);
    }
    match rows::get(snap, row.user)? {
        Some(account) if !account.deactivated => Ok((row.user, account.user_id)),
        _ => Err(ResetError::Unknown),
    }
}
