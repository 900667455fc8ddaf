//! Accounts: who may make one, sign in, stay signed in, and what ends it.
//! Client-server API v1.19, "Client Authentication".

pub mod administrators;
pub mod change_password;
pub mod devices;
pub mod interactive_auth;
pub mod login;
pub mod names;
pub mod password_reset;
pub mod passwords;
pub mod rate_limits;
pub mod register;
pub mod registration_tokens;
pub mod sessions;
pub mod shared_secret;
pub mod standing;

use std::sync::{Arc, OnceLock};

use passwords::HashingPool;
use rate_limits::RateLimits;
use sha2::{Digest, Sha256};
use storage::tokens::TokenHash;

/// What accounts keep in memory. All of it can be lost.
#[derive(Default)]
pub struct Accounts {
    pub hashing: Arc<HashingPool>,
    pub limits: RateLimits,
    pub nonces: shared_secret::Nonces,
    /// Derived from the signing key at first use; see [`interactive_auth`].
    session_secret: OnceLock<[u8; 32]>,
}

/// What the database keeps of a token.
pub(crate) fn token_hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}
