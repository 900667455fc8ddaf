//! Being signed in: devices get access tokens, requests show them, sign-out ends them.
//! Client-server API v1.19, "Using access tokens", "Refreshing access tokens".

use std::net::IpAddr;

use storage::tokens::{self, Session, TokenHash};
use storage::{DeviceKey, Tx, UserKey, devices};

use super::token_hash;
use crate::{Homeserver, Requester};

/// How long an access token lives where the client can refresh it: short, as that is what refreshing is for.
pub const ACCESS_TOKEN_LIFETIME_MS: u64 = 5 * 60 * 1000;

/// 40 letters and digits: 238 bits.
const TOKEN_CHARS: usize = 40;

/// A device's last use is written this often: people look at it by the hour, and each write costs a share of a sync.
const LAST_SEEN_EVERY_MS: u64 = 10 * 60 * 1000;

/// A device's name as clients choose it.
const DISPLAY_NAME_BYTES_MAX: usize = 400;

/// A device's id as clients choose it: that of other ids.
const DEVICE_ID_BYTES_MAX: usize = 255;

/// How a device wants to be signed in.
#[derive(Debug, Clone, Default)]
pub struct SignIn {
    /// None: the server makes one.
    pub device_id: Option<String>,
    pub display_name: Option<String>,
    /// Whether the client can refresh its access token.
    pub refresh: bool,
    pub address: Option<IpAddr>,
}

/// A device that was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub user_id: String,
    pub device_id: String,
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in_ms: Option<u64>,
}

/// What a client chose for its device cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("a device id has 1 to {DEVICE_ID_BYTES_MAX} bytes")]
    DeviceId,
    #[error("a device's name has at most {DISPLAY_NAME_BYTES_MAX} bytes")]
    DisplayName,
}

/// A sign-in whose secrets are made, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    device_id: String,
    display_name: Option<String>,
    address: Option<String>,
    access_token: String,
    refresh_token: Option<String>,
    expires_ms: Option<u64>,
}

/// Makes the secrets of a sign-in, outside of the transaction that writes it.
pub(crate) fn prepare(hs: &Homeserver, wish: &SignIn) -> Result<Prepared, DeviceError> {
    if let Some(device_id) = &wish.device_id
        && !(1..=DEVICE_ID_BYTES_MAX).contains(&device_id.len())
    {
        return Err(DeviceError::DeviceId);
    }
    if let Some(name) = &wish.display_name {
        check_display_name(name)?;
    }
    Ok(Prepared {
        device_id: wish
            .device_id
            .clone()
            .unwrap_or_else(|| hs.random_string(10).to_ascii_uppercase()),
        display_name: wish.display_name.clone(),
        address: wish.address.map(|address| address.to_string()),
        access_token: format!("kith_a_{}", hs.random_string(TOKEN_CHARS)),
        refresh_token: wish.refresh.then(|| new_refresh_token(hs)),
        expires_ms: wish.refresh.then(|| hs.now_ms() + ACCESS_TOKEN_LIFETIME_MS),
    })
}

pub(crate) fn check_display_name(name: &str) -> Result<(), DeviceError> {
    if name.len() > DISPLAY_NAME_BYTES_MAX {
        return Err(DeviceError::DisplayName);
    }
    Ok(())
}

fn new_refresh_token(hs: &Homeserver) -> String {
    format!("kith_r_{}", hs.random_string(TOKEN_CHARS))
}

impl Prepared {
    /// Signs the device in: tokens that it had are gone.
    pub(crate) fn write(&self, tx: &mut Tx<'_>, user: UserKey) -> Result<(), storage::Error> {
        let device = devices::create_or_get(
            tx,
            user,
            &self.device_id,
            self.display_name.as_deref(),
            self.address.as_deref(),
        )?;
        let refresh = self.refresh_token.as_deref().map(token_hash);
        tokens::sign_in(
            tx,
            user,
            device,
            &token_hash(&self.access_token),
            self.expires_ms,
            refresh.as_ref(),
        )
    }

    pub(crate) fn finish(self, user_id: String) -> SignedIn {
        SignedIn {
            user_id,
            device_id: self.device_id,
            access_token: self.access_token,
            expires_in_ms: self
                .refresh_token
                .is_some()
                .then_some(ACCESS_TOKEN_LIFETIME_MS),
            refresh_token: self.refresh_token,
        }
    }
}

/// Why a request's token does not say who makes it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthenticateError {
    #[error("unknown access token")]
    Unknown,
    /// The session can be refreshed.
    #[error("the access token has expired")]
    Expired,
    /// Only signing out is left to them.
    #[error("the account is locked")]
    Locked(Box<Requester>),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Who makes a request, by its access token. From memory, but for a token's first use on this node.
pub async fn authenticate(
    hs: &Homeserver,
    access_token: &str,
    address: Option<IpAddr>,
) -> Result<Requester, AuthenticateError> {
    let hash = token_hash(access_token);
    let session = hs
        .db
        .session(hash)
        .await?
        .filter(|session| !session.deactivated)
        .ok_or(AuthenticateError::Unknown)?;
    let now_ms = hs.now_ms();
    if session
        .expires_ms
        .is_some_and(|expires_ms| expires_ms <= now_ms)
    {
        return Err(AuthenticateError::Expired);
    }
    let requester = requester_of(&session);
    if session.locked {
        return Err(AuthenticateError::Locked(Box::new(requester)));
    }
    if now_ms.saturating_sub(session.last_seen_ms) >= LAST_SEEN_EVERY_MS {
        note_use(hs, hash, session.device, address).await;
    }
    Ok(requester)
}

fn requester_of(session: &Session) -> Requester {
    Requester {
        user: session.user,
        user_id: session.user_id.clone(),
        device: session.device,
        device_id: session.device_id.clone(),
        is_admin: session.is_admin,
        is_guest: session.is_guest,
        is_suspended: session.suspended,
    }
}

async fn note_use(hs: &Homeserver, hash: TokenHash, device: DeviceKey, address: Option<IpAddr>) {
    let address = address.map(|address| address.to_string());
    if let Err(error) = hs.db.touch_session(hash, device, address).await {
        // Reads go on while nothing can be written.
        tracing::debug!(%error, "a device's last use was not written");
    }
}

/// Why tokens were not refreshed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshError {
    #[error("unknown refresh token")]
    Unknown,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// New tokens of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    pub access_token: String,
    pub refresh_token: String,
    pub expires_in_ms: u64,
}

/// Gives a device new tokens. The refresh token shown stays good until one of the new ones is used.
pub async fn refresh(hs: &Homeserver, refresh_token: &str) -> Result<Refreshed, RefreshError> {
    let new = Refreshed {
        access_token: format!("kith_a_{}", hs.random_string(TOKEN_CHARS)),
        refresh_token: new_refresh_token(hs),
        expires_in_ms: ACCESS_TOKEN_LIFETIME_MS,
    };
    let old = token_hash(refresh_token);
    let (access, refresh) = (
        token_hash(&new.access_token),
        token_hash(&new.refresh_token),
    );
    let expires_ms = hs.now_ms() + ACCESS_TOKEN_LIFETIME_MS;
    hs.db
        .write(move |tx| {
            tokens::refresh(tx, &old, &access, expires_ms, &refresh)?.ok_or(RefreshError::Unknown)
        })
        .await?;
    Ok(new)
}

/// Signs the requester's device out.
pub async fn logout(hs: &Homeserver, requester: &Requester) -> Result<(), storage::Error> {
    let (user, device) = (requester.user, requester.device);
    hs.db
        .write(move |tx| devices::delete_devices(tx, user, &[device]))
        .await
}

/// Signs all of the user's devices out.
pub async fn logout_all(hs: &Homeserver, user: UserKey) -> Result<(), storage::Error> {
    hs.db
        .write(move |tx| delete_all_devices(tx, user, None))
        .await
}

/// Signs out all devices of a user but one.
pub(crate) fn delete_all_devices(
    tx: &mut Tx<'_>,
    user: UserKey,
    except: Option<DeviceKey>,
) -> Result<(), storage::Error> {
    let keys: Vec<_> = devices::of_user(tx, user)?
        .into_iter()
        .map(|device| device.key)
        .filter(|key| Some(*key) != except)
        .collect();
    devices::delete_devices(tx, user, &keys)
}
