//! Signing in: by password, or by a short-lived token that another session asked for.
//! Client-server API v1.19, "Login".

use std::net::IpAddr;

use storage::accounts::{self as rows, Account};
use storage::tokens::{self, SingleUse};

use super::names;
use super::passwords::{self, Stopping};
use super::rate_limits::{self, Counted, TooMany};
use super::sessions::{self, DeviceError, SignIn, SignedIn};
use super::token_hash;
use crate::{Homeserver, Requester};

/// Whom somebody says to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A localpart or a full user id.
    User(String),
    /// A proven e-mail address or phone number.
    Threepid { medium: String, address: String },
}

/// Why nobody was signed in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoginError {
    /// No such account, no such password, no such token, deactivated: callers must not tell which.
    #[error("wrong name or password")]
    Refused,
    #[error("the account is locked")]
    Locked,
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Device(DeviceError),
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Signs a device in by password.
pub async fn login_by_password(
    hs: &Homeserver,
    identifier: &Identifier,
    password: &str,
    wish: SignIn,
) -> Result<SignedIn, LoginError> {
    let prepared = sessions::prepare(hs, &wish).map_err(LoginError::Device)?;
    let account = check_password(hs, identifier, password, wish.address).await?;
    if account.locked {
        return Err(LoginError::Locked);
    }
    let (session, user) = (prepared.clone(), account.user);
    let matched = account.password;
    hs.db
        .write(move |tx| {
            // The password may have been changed, or the account closed, while it was being compared.
            match rows::get(tx, user)? {
                Some(now) if now.password == matched && !now.deactivated => {}
                _ => return Err(LoginError::Refused),
            }
            session.write(tx, user).map_err(LoginError::Storage)
        })
        .await?;
    Ok(prepared.finish(account.user_id))
}

/// The account that a name and password belong to. Takes the same time and gives the same answer whatever is wrong.
pub async fn check_password(
    hs: &Homeserver,
    identifier: &Identifier,
    password: &str,
    address: Option<IpAddr>,
) -> Result<Account, LoginError> {
    if let Some(address) = address {
        rate_limits::take(hs, Counted::LoginFrom(address.into()))?;
    }
    let counted = Counted::LoginAs(counted_name(hs, identifier));
    rate_limits::take(hs, counted.clone())?;
    let account = find_account(hs, identifier).await?;
    let hash = account
        .as_ref()
        .filter(|account| !account.deactivated)
        .and_then(|account| account.password.as_deref());
    let matches = password.len() <= passwords::PASSWORD_BYTES_MAX;
    let password = if matches { password } else { "" };
    let matches = passwords::verify(hs, password, hash).await? && matches;
    match account {
        Some(account) if matches => {
            rate_limits::give_back(hs, &counted);
            Ok(account)
        }
        _ => Err(LoginError::Refused),
    }
}

/// One name for all spellings that mean the same account, so that none of them gives more guesses.
fn counted_name(hs: &Homeserver, identifier: &Identifier) -> String {
    match identifier {
        Identifier::User(name) => names::meant_user_ids(name, &hs.server_name)
            .pop()
            .unwrap_or_default(),
        Identifier::Threepid { medium, address } => {
            let address: String = address.chars().take(255).collect();
            format!("{medium}:{}", address.to_lowercase())
        }
    }
}

/// The account of an identifier: the exact name before the same in small letters.
pub async fn find_account(
    hs: &Homeserver,
    identifier: &Identifier,
) -> Result<Option<Account>, storage::Error> {
    let meant = match identifier {
        Identifier::User(name) => names::meant_user_ids(name, &hs.server_name),
        Identifier::Threepid { .. } => Vec::new(),
    };
    let identifier = identifier.clone();
    hs.db
        .read(move |snap| {
            if let Identifier::Threepid { medium, address } = &identifier {
                return rows::find_by_threepid(snap, medium, &address.to_lowercase());
            }
            // One or two spellings.
            for user_id in &meant {
                if let Some(account) = rows::find(snap, user_id)? {
                    return Ok(Some(account));
                }
            }
            Ok(None)
        })
        .await
}

/// How long a token for another device's sign-in is good: a code is shown and scanned within it.
pub const LOGIN_TOKEN_LIFETIME_MS: u64 = 2 * 60 * 1000;

/// Makes a token with which another device can sign in once.
pub async fn new_login_token(
    hs: &Homeserver,
    requester: &Requester,
) -> Result<String, storage::Error> {
    let token = format!("kith_l_{}", hs.random_string(32));
    let (hash, user) = (token_hash(&token), requester.user);
    let expires_ms = hs.now_ms() + LOGIN_TOKEN_LIFETIME_MS;
    hs.db
        .write(move |tx| tokens::put_single_use(tx, SingleUse::Login, &hash, user, expires_ms))
        .await?;
    Ok(token)
}

/// Signs a device in by a token of [`new_login_token`], using it up.
pub async fn login_by_token(
    hs: &Homeserver,
    token: &str,
    wish: SignIn,
) -> Result<SignedIn, LoginError> {
    if let Some(address) = wish.address {
        rate_limits::take(hs, Counted::LoginFrom(address.into()))?;
    }
    let prepared = sessions::prepare(hs, &wish).map_err(LoginError::Device)?;
    let (hash, session) = (token_hash(token), prepared.clone());
    let user_id = hs
        .db
        .write(move |tx| {
            let now_ms = tx.now_ms();
            let row = tokens::find_single_use(tx, SingleUse::Login, &hash)?
                .filter(|row| !row.used && row.expires_ms > now_ms)
                .ok_or(LoginError::Refused)?;
            let account = rows::get(tx, row.user)?
                .filter(|account| !account.deactivated)
                .ok_or(LoginError::Refused)?;
            if account.locked {
                return Err(LoginError::Locked);
            }
            if !tokens::use_up(tx, &hash)? {
                return Err(LoginError::Refused);
            }
            session.write(tx, row.user)?;
            Ok(account.user_id)
        })
        .await?;
    Ok(prepared.finish(user_id))
}
