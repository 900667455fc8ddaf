//! Sessions of user-interactive authentication: client-server API v1.19, "User-Interactive Authentication API".
//!
//! A session's id says what it is for (user, endpoint, end) and carries the server's proof of it, so that opening one
//! costs nothing and any node can check it. Only stages that are completed elsewhere (a fallback page) are stored.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use storage::UserKey;
use storage::interactive_auth as rows;
pub use storage::interactive_auth::Stage;

use super::login::{self, Identifier, LoginError};
use super::rate_limits::TooMany;
use super::registration_tokens::{self, TokenError};
use crate::Homeserver;

pub const PASSWORD: &str = "m.login.password";
pub const DUMMY: &str = "m.login.dummy";
pub const REGISTRATION_TOKEN: &str = "m.login.registration_token";

/// How long a session can be completed: somebody reads a form, looks for a password, comes back.
const LIFETIME_MS: u64 = 60 * 60 * 1000;

/// Stages stored at once: each needs a valid session, but those are free.
const STAGES_MAX: usize = 10_000;

/// A session is not good for what it was shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("there is no such authentication session, or it has expired")]
    Unknown,
    #[error("this authentication session was opened for another request")]
    OtherRequest,
}

/// A session's id, read.
struct Session {
    expires_ms: u64,
    user: Option<UserKey>,
    endpoint: [u8; 16],
}

/// Bytes of a session's id: end, user, endpoint, randomness, proof.
const SESSION_BYTES: usize = 8 + 8 + 16 + 8 + 16;

/// Opens a session for one kind of request of one user (none: not signed in). `endpoint` names the request, with all of its
/// parts that must not change until it is allowed.
pub fn open(hs: &Homeserver, user: Option<UserKey>, endpoint: &str) -> String {
    let mut id = Vec::with_capacity(SESSION_BYTES);
    id.extend((hs.now_ms() + LIFETIME_MS).to_be_bytes());
    id.extend(user.map_or(0, |user| user.0).to_be_bytes());
    id.extend(digest(endpoint));
    let mut random = [0; 8];
    hs.random.fill(&mut random);
    id.extend(random);
    let proof = proof(hs, &id);
    id.extend(proof);
    URL_SAFE_NO_PAD.encode(id)
}

/// Whether a session was opened for this request of this user.
pub fn check(
    hs: &Homeserver,
    session: &str,
    user: Option<UserKey>,
    endpoint: &str,
) -> Result<(), SessionError> {
    let read = read(hs, session)?;
    if read.user != user || read.endpoint != digest(endpoint) {
        return Err(SessionError::OtherRequest);
    }
    Ok(())
}

fn read(hs: &Homeserver, session: &str) -> Result<Session, SessionError> {
    let id = URL_SAFE_NO_PAD
        .decode(session)
        .ok()
        .filter(|id| id.len() == SESSION_BYTES)
        .ok_or(SessionError::Unknown)?;
    let (said, shown) = id.split_at(SESSION_BYTES - 16);
    let mut key = hmac_key(hs);
    key.update(said);
    key.verify_truncated_left(shown)
        .map_err(|_| SessionError::Unknown)?;
    let number = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&said[from..from + 8]);
        bytes
    };
    let mut endpoint = [0; 16];
    endpoint.copy_from_slice(&said[16..32]);
    let session = Session {
        expires_ms: u64::from_be_bytes(number(0)),
        user: Some(i64::from_be_bytes(number(8)))
            .filter(|user| *user != 0)
            .map(UserKey),
        endpoint,
    };
    if session.expires_ms <= hs.now_ms() {
        return Err(SessionError::Unknown);
    }
    Ok(session)
}

fn digest(endpoint: &str) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&Sha256::digest(endpoint.as_bytes())[..16]);
    out
}

fn proof(hs: &Homeserver, said: &[u8]) -> [u8; 16] {
    let mut key = hmac_key(hs);
    key.update(said);
    let mut out = [0; 16];
    out.copy_from_slice(&key.finalize().into_bytes()[..16]);
    out
}

/// A key that all nodes of the server derive from its signing key, and nobody else can.
fn hmac_key(hs: &Homeserver) -> Hmac<Sha256> {
    let secret = hs.accounts.session_secret.get_or_init(|| {
        let signed = hs
            .server_key
            .sign_bytes(b"kith: key of interactive authentication sessions");
        Sha256::digest(signed.as_bytes()).into()
    });
    // Any length is a good key for HMAC.
    Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// The stages of a session that were completed on fallback pages.
pub async fn completed(hs: &Homeserver, session: &str) -> Result<Vec<Stage>, storage::Error> {
    let (session, now_ms) = (session.as_bytes().to_owned(), hs.now_ms());
    hs.db
        .read(move |snap| rows::completed(snap, &session, now_ms))
        .await
}

/// Forgets what was completed, after the request was allowed: a session is good once.
pub async fn end(hs: &Homeserver, session: &str) -> Result<(), storage::Error> {
    let session = session.as_bytes().to_owned();
    hs.db.write(move |tx| rows::end(tx, &session)).await
}

/// Why a stage was not completed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The session's request is not authenticated by such a stage.
    #[error("this authentication session has no such stage")]
    NoSuchStage,
    #[error("wrong password")]
    WrongPassword,
    #[error(transparent)]
    Token(TokenError),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error("the server is stopping")]
    Stopping,
}

/// Marks a stage as completed: for pages that have seen to it in their own way. `detail` is for the request.
pub async fn complete_stage(
    hs: &Homeserver,
    session: &str,
    stage: &'static str,
    detail: Option<&str>,
) -> Result<(), StageError> {
    let read = read(hs, session)?;
    let detail = detail.map(|detail| detail.as_bytes().to_owned());
    let session = session.as_bytes().to_owned();
    hs.db
        .write(move |tx| {
            if rows::count(tx)? >= STAGES_MAX {
                return Err(StageError::TooMany(TooMany {
                    retry_after_ms: 60_000,
                }));
            }
            Ok(rows::complete(
                tx,
                &session,
                stage,
                detail.as_deref(),
                read.expires_ms,
            )?)
        })
        .await
}

/// Completes `m.login.dummy`: somebody pressed a button.
pub async fn complete_dummy(hs: &Homeserver, session: &str) -> Result<(), StageError> {
    if read(hs, session)?.user.is_some() {
        return Err(StageError::NoSuchStage);
    }
    complete_stage(hs, session, DUMMY, None).await
}

/// Completes `m.login.registration_token`. The token is redeemed by the registration itself.
pub async fn complete_registration_token(
    hs: &Homeserver,
    session: &str,
    token: &str,
) -> Result<(), StageError> {
    if read(hs, session)?.user.is_some() {
        return Err(StageError::NoSuchStage);
    }
    match registration_tokens::check_token(hs, token).await {
        Ok(_) => {}
        Err(TokenError::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(StageError::Token(error)),
    }
    complete_stage(hs, session, REGISTRATION_TOKEN, Some(token)).await
}

/// Completes `m.login.password` for the user whose session it is.
pub async fn complete_password(
    hs: &Homeserver,
    session: &str,
    password: &str,
    address: Option<IpAddr>,
) -> Result<(), StageError> {
    let user = read(hs, session)?.user.ok_or(StageError::NoSuchStage)?;
    check_password_of(hs, user, password, address).await?;
    complete_stage(hs, session, PASSWORD, None).await
}

/// Whether this is the user's password.
pub async fn check_password_of(
    hs: &Homeserver,
    user: UserKey,
    password: &str,
    address: Option<IpAddr>,
) -> Result<(), StageError> {
    let user_id = hs
        .db
        .read(move |snap| storage::accounts::get(snap, user))
        .await?
        .ok_or(StageError::WrongPassword)?
        .user_id;
    match login::check_password(hs, &Identifier::User(user_id), password, address).await {
        Ok(_) => Ok(()),
        Err(LoginError::TooMany(error)) => Err(error.into()),
        Err(LoginError::Storage(error)) => Err(error.into()),
        Err(LoginError::Stopping(_)) => Err(StageError::Stopping),
        Err(LoginError::Refused | LoginError::Locked | LoginError::Device(_)) => {
            Err(StageError::WrongPassword)
        }
    }
}
