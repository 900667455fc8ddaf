//! Registration by programs that know a secret: `/_synapse/admin/v1/register`, as Synapse documents it.
//!
//! A nonce is good once and for a minute; the request proves the secret by an HMAC-SHA1 over the nonce and what it asks for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::register::{self, Permit, RegisterError, Registered, Registration};
use super::sessions::SignIn;
use crate::Homeserver;

/// How long a nonce is good.
const NONCE_LIFETIME_MS: u64 = 60_000;

/// Nonces held: asking is free, so the oldest go.
const NONCES_MAX: usize = 10_000;

/// Nonces that wait to be used, with their end. Lost at a restart: programs ask for another.
#[derive(Default)]
pub struct Nonces(Mutex<HashMap<String, u64>>);

/// Why no account was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SharedSecretError {
    #[error("no secret is set")]
    TurnedOff,
    #[error("the nonce is unknown, used or too old")]
    Nonce,
    #[error("the mac is not that of the secret")]
    Mac,
    #[error("{0} holds a zero byte")]
    ZeroByte(&'static str),
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// What a program asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub nonce: String,
    pub username: String,
    pub password: String,
    pub admin: bool,
    /// Part of what the mac covers, where it is given.
    pub user_type: Option<String>,
    /// In hexadecimal.
    pub mac: String,
    pub sign_in: Option<SignIn>,
}

/// A nonce for one registration.
pub fn new_nonce(hs: &Homeserver) -> Result<String, SharedSecretError> {
    if hs.settings.registration_shared_secret.is_none() {
        return Err(SharedSecretError::TurnedOff);
    }
    let (nonce, now_ms) = (hs.random_string(64), hs.now_ms());
    let mut nonces = hs.accounts.nonces.lock();
    if nonces.len() >= NONCES_MAX {
        nonces.retain(|_, end_ms| *end_ms > now_ms);
    }
    if nonces.len() >= NONCES_MAX {
        nonces.clear();
    }
    nonces.insert(nonce.clone(), now_ms + NONCE_LIFETIME_MS);
    Ok(nonce)
}

/// Makes an account for whoever knows the secret, whatever the settings' registration mode is.
pub async fn register(hs: &Homeserver, wanted: Wanted) -> Result<Registered, SharedSecretError> {
    let Some(secret) = &hs.settings.registration_shared_secret else {
        return Err(SharedSecretError::TurnedOff);
    };
    let end_ms = hs.accounts.nonces.lock().remove(&wanted.nonce);
    if end_ms.is_none_or(|end_ms| end_ms <= hs.now_ms()) {
        return Err(SharedSecretError::Nonce);
    }
    // The mac separates its parts by zero bytes: one inside a part would let it mean something else.
    for (name, part) in [
        ("username", &wanted.username),
        ("password", &wanted.password),
    ] {
        if part.contains('\0') {
            return Err(SharedSecretError::ZeroByte(name));
        }
    }
    if !proves(secret, &wanted) {
        return Err(SharedSecretError::Mac);
    }
    let registration = Registration {
        username: Some(wanted.username),
        password: wanted.password,
        permit: Permit::Administrator {
            make_admin: wanted.admin,
        },
        sign_in: wanted.sign_in,
    };
    Ok(register::register(hs, registration).await?)
}

fn proves(secret: &str, wanted: &Wanted) -> bool {
    let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    let role = if wanted.admin { "admin" } else { "notadmin" };
    let mut parts = vec![&wanted.nonce, &wanted.username, &wanted.password];
    let role = role.to_owned();
    parts.push(&role);
    parts.extend(&wanted.user_type);
    for (number, part) in parts.into_iter().enumerate() {
        if number > 0 {
            hmac.update(b"\0");
        }
        hmac.update(part.as_bytes());
    }
    unhex(&wanted.mac).is_some_and(|mac| hmac.verify_slice(&mac).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() != 40 {
        return None; // A SHA-1 has 20 bytes.
    }
    (0..40)
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

impl Nonces {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        // Held for lookups alone, never across an await.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
