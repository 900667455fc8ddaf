//! Passwords: how they are kept (Argon2id), and which are too weak to be kept.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::Homeserver;

/// Memory of one hashing, in KiB: OWASP's recommendation for Argon2id with two passes (19 MiB).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A well-formed hash that no password has, of the same cost: what is compared where there is no account.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IHRoYXQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password's bytes: longer ones are no safer, and only keep the server busy.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// The shortest password that is taken (NIST SP 800-63B).
pub const PASSWORD_CHARS_MIN: usize = 8;

/// Bounds how many passwords are hashed at once: one per core, each with its memory.
pub struct HashingPool {
    permits: Semaphore,
}

impl Default for HashingPool {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            permits: Semaphore::new(cores),
        }
    }
}

/// The hashing did not happen: the server is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping")]
pub struct Stopping;

impl HashingPool {
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        let permit = self.permits.acquire().await.map_err(|_| Stopping)?;
        let done = tokio::task::spawn_blocking(work).await;
        drop(permit);
        done.map_err(|_| Stopping)
    }
}

fn argon2() -> Argon2<'static> {
    // Invariant: these constants are within Argon2's bounds.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password for keeping.
pub async fn hash(hs: &Homeserver, password: &str) -> Result<String, Stopping> {
    let mut salt = [0; 16];
    hs.random.fill(&mut salt);
    let password = password.to_owned();
    hs.accounts
        .hashing
        .run(move || {
            argon2()
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map(|hash| hash.to_string())
        })
        .await?
        .map_err(|_| Stopping)
}

/// Whether a password belongs to a hash. Takes the same time where there is no hash.
pub async fn verify(hs: &Homeserver, password: &str, hash: Option<&str>) -> Result<bool, Stopping> {
    let password = password.to_owned();
    let known = hash.is_some();
    let hash = hash.unwrap_or(NOBODYS).to_owned();
    let matches = hs
        .accounts
        .hashing
        .run(move || {
            let Ok(hash) = PasswordHash::new(&hash) else {
                return false;
            };
            argon2().verify_password(password.as_bytes(), &hash).is_ok()
        })
        .await?;
    Ok(matches && known)
}

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("the password is too short: it needs {PASSWORD_CHARS_MIN} characters at least")]
    TooShort,
    #[error("the password is too long: it may have {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    #[error("the password is one that everybody tries first")]
    Common,
    #[error("the password is the user name")]
    IsName,
}

/// What attackers try first, and what can be built from it by doubling or a digit is caught by the score.
const COMMON: [&str; 24] = [
    "12345678",
    "123456789",
    "1234567890",
    "password",
    "password1",
    "password123",
    "passw0rd",
    "qwertyui",
    "qwertyuiop",
    "qwerty123",
    "1q2w3e4r",
    "1qaz2wsx",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "letmein1",
    "abcd1234",
    "11111111",
    "00000000",
    "87654321",
];

/// Whether a password may be kept for `localpart`.
pub fn check(password: &str, localpart: &str) -> Result<(), WeakPassword> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(WeakPassword::TooLong);
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(WeakPassword::TooShort);
    }
    let small = password.to_lowercase();
    if COMMON.contains(&small.as_str()) || small.chars().all(|c| Some(c) == small.chars().next()) {
        return Err(WeakPassword::Common);
    }
    if small == localpart.to_lowercase() {
        return Err(WeakPassword::IsName);
    }
    Ok(())
}

/// How hard a password is to guess, for a meter beside the field: 0 (refused) to 4 (very hard).
///
/// Counts the bits of characters that are not foretold by their neighbours: repeats, runs such as `abc` or `321` and
/// the user's name count little.
pub fn strength(password: &str, localpart: &str) -> u8 {
    if check(password, localpart).is_err() {
        return 0;
    }
    let small = password.to_lowercase();
    let shortened = if localpart.chars().count() >= 3 {
        small.replace(&localpart.to_lowercase(), "*")
    } else {
        small
    };
    let foretold = foretold_characters(&shortened);
    let surprising = shortened.chars().count() - foretold;
    let bits = surprising as f64 * bits_per_character(password) + foretold as f64;
    match bits as u32 {
        0..30 => 1,
        30..50 => 2,
        50..75 => 3,
        _ => 4,
    }
}

/// Characters that repeat, or go on from, the one before.
fn foretold_characters(text: &str) -> usize {
    let characters: Vec<u32> = text.chars().map(u32::from).collect();
    characters
        .windows(2)
        .filter(|pair| pair[0].abs_diff(pair[1]) <= 1)
        .count()
}

/// How much a character tells, by the kinds that the password mixes. People choose badly: less than log2 of the alphabet.
fn bits_per_character(password: &str) -> f64 {
    let kinds = [
        password.chars().any(|c| c.is_lowercase()),
        password.chars().any(|c| c.is_uppercase()),
        password.chars().any(|c| c.is_ascii_digit()),
        password.chars().any(|c| !c.is_alphanumeric()),
    ];
    1.9 + 0.7 * kinds.iter().filter(|kind| **kind).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused() {
        assert_eq!(check("short", "ada"), Err(WeakPassword::TooShort));
        assert_eq!(check("Password", "ada"), Err(WeakPassword::Common));
        assert_eq!(check("aaaaaaaaaa", "ada"), Err(WeakPassword::Common));
        assert_eq!(
            check("ada.lovelace", "ada.lovelace"),
            Err(WeakPassword::IsName)
        );
        assert_eq!(check(&"x9".repeat(257), "ada"), Err(WeakPassword::TooLong));
        assert_eq!(check("wonderland", "ada"), Ok(()));
    }

    #[test]
    fn strength_grows_with_what_cannot_be_foretold() {
        assert_eq!(strength("1234", "ada"), 0);
        assert_eq!(strength("abcdefgh1", "ada"), 1);
        assert!(strength("lovelace77", "lovelace") < strength("kettle77wind", "lovelace"));
        assert_eq!(strength("correct horse battery staple lamp", "ada"), 4);
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_a_real_one() {
        let hash = PasswordHash::new(NOBODYS).unwrap();
        assert_eq!(
            hash.params.to_string(),
            format!("m={MEMORY_KIB},t={PASSES},p={LANES}")
        );
        assert_eq!(hash.hash.unwrap().as_ref().len(), 32);
    }
}
