//! Tokens with which other services ask who a user is: client-server API v1.19, "OpenID".

use sha2::{Digest, Sha256};
use storage::{UserKey, openid_tokens};

use crate::{Homeserver, Requester};

/// How long a token lives: a service asks right after it gets one.
pub const LIFETIME_MS: u64 = 3_600_000;

/// About 250 bits.
const TOKEN_LENGTH: usize = 42;

/// Makes a token that tells who the requester is, and nothing more.
pub async fn request_token(
    hs: &Homeserver,
    requester: &Requester,
) -> Result<String, storage::Error> {
    let token = hs.random_string(TOKEN_LENGTH);
    let (hash, user) = (hash(&token), requester.user);
    let until_ms = hs.now_ms() + LIFETIME_MS;
    hs.db
        .write(move |tx| openid_tokens::put(tx, &hash, user, until_ms))
        .await?;
    Ok(token)
}

/// Whose token it is, while it lives.
pub async fn user_of_token(
    hs: &Homeserver,
    token: &str,
) -> Result<Option<UserKey>, storage::Error> {
    let (hash, now_ms) = (hash(token), hs.now_ms());
    hs.db
        .read(move |snap| openid_tokens::user_of(snap, &hash, now_ms))
        .await
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
