//! Registration tokens: made by administrators, handed to friends, redeemed at registration.
//! Client-server API v1.19, "Token-authenticated registration".

use storage::registration_tokens::{self as rows, RegistrationToken};
use storage::tokens::TokenHash;
use storage::{Snapshot, Tx};

use super::names::{self, NameError};
use super::token_hash;
use crate::Homeserver;

/// What a new token is good for.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// How many accounts it can make; none: any number.
    pub uses: Option<u32>,
    pub expires_in_ms: Option<u64>,
    /// The one localpart that can be registered with it.
    pub username: Option<String>,
    /// Whoever registers with it becomes an administrator.
    pub is_admin: bool,
}

/// What is said about a token that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub username: Option<String>,
    pub is_admin: bool,
    pub expires_ms: Option<u64>,
}

/// Why a token makes no account.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    #[error("this is not a registration token: those have 1 to 64 letters, digits and . _ ~ -")]
    Malformed,
    #[error("there is no such registration token")]
    Unknown,
    #[error("this registration token has been used up")]
    Used,
    #[error("this registration token has expired")]
    Expired,
    #[error("this registration token was revoked")]
    Revoked,
    #[error("this registration token is for another name")]
    OtherName,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Why no token was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NewTokenError {
    #[error("nobody can have the name that the token is for: {0}")]
    Name(NameError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// 24 letters and digits: 142 bits, which nobody guesses, and short enough for a link that is read aloud.
const TOKEN_CHARS: usize = 24;

/// How many characters of a token are kept for people who list tokens.
const HINT_CHARS: usize = 6;

/// Tokens that are listed at once, newest first: more than an administrator reads.
const LISTED_MAX: usize = 1000;

/// Makes a token. It is told here once; the server keeps its hash.
pub async fn new_token(hs: &Homeserver, new: NewToken) -> Result<String, NewTokenError> {
    let username = new
        .username
        .map(|wish| names::new_localpart(&wish, &hs.server_name))
        .transpose()
        .map_err(NewTokenError::Name)?;
    let now_ms = hs.now_ms();
    let token = hs.random_string(TOKEN_CHARS);
    let row = RegistrationToken {
        hash: token_hash(&token),
        hint: token.chars().take(HINT_CHARS).collect(),
        uses_max: new.uses.map(u64::from),
        uses: 0,
        expires_ms: new.expires_in_ms.map(|ms| now_ms.saturating_add(ms)),
        username,
        is_admin: new.is_admin,
        revoked: false,
        created_ms: now_ms,
    };
    hs.db.write(move |tx| rows::insert(tx, &row)).await?;
    Ok(token)
}

/// All tokens, newest first, at most 1000.
pub async fn list_tokens(hs: &Homeserver) -> Result<Vec<RegistrationToken>, storage::Error> {
    hs.db.read(|snap| rows::list(snap, LISTED_MAX)).await
}

/// Makes a token useless: the whole token, or its listed beginning where only one begins so.
pub async fn revoke_token(hs: &Homeserver, token: &str) -> Result<(), TokenError> {
    check_grammar(token)?;
    let (hash, hint) = (token_hash(token), token.to_owned());
    hs.db
        .write(move |tx| {
            if let Some(row) = rows::find(tx, &hash)? {
                return Ok(rows::revoke(tx, &row.hash)?);
            }
            match rows::find_by_hint(tx, &hint)?.as_slice() {
                [row] => Ok(rows::revoke(tx, &row.hash)?),
                _ => Err(TokenError::Unknown),
            }
        })
        .await
}

/// What a token is good for, without using it.
pub async fn check_token(hs: &Homeserver, token: &str) -> Result<Invitation, TokenError> {
    check_grammar(token)?;
    let (hash, now_ms) = (token_hash(token), hs.now_ms());
    hs.db
        .read(move |snap| usable(snap, &hash, now_ms))
        .await
        .map(|row| Invitation {
            username: row.username,
            is_admin: row.is_admin,
            expires_ms: row.expires_ms,
        })
}

/// Uses a token once for the account that the same transaction makes.
pub(crate) fn redeem(
    tx: &mut Tx<'_>,
    hash: &TokenHash,
    localpart: &str,
) -> Result<RegistrationToken, TokenError> {
    let now_ms = tx.now_ms();
    let row = usable(tx, hash, now_ms)?;
    if row
        .username
        .as_deref()
        .is_some_and(|name| name != localpart)
    {
        return Err(TokenError::OtherName);
    }
    if !rows::count_use(tx, hash)? {
        return Err(TokenError::Used);
    }
    Ok(row)
}

fn usable(
    snap: &mut Snapshot<'_>,
    hash: &TokenHash,
    now_ms: u64,
) -> Result<RegistrationToken, TokenError> {
    let row = rows::find(snap, hash)?.ok_or(TokenError::Unknown)?;
    if row.revoked {
        Err(TokenError::Revoked)
    } else if row.is_used_up() {
        Err(TokenError::Used)
    } else if row.is_expired(now_ms) {
        Err(TokenError::Expired)
    } else {
        Ok(row)
    }
}

/// The grammar of tokens (client-server API v1.19): `[A-Za-z0-9._~-]`, 1 to 64 characters.
pub(crate) fn check_grammar(token: &str) -> Result<(), TokenError> {
    let fits = (1..=64).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(TokenError::Malformed)
    }
}
