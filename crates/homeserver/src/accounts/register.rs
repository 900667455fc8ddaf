//! Makes an account: the token is redeemed, the user made and the device signed in, in one transaction.

use storage::accounts::{self as rows, NewAccount};
use storage::{Tx, UserKey};

use super::names::{self, NameError};
use super::passwords::{self, Stopping, WeakPassword};
use super::registration_tokens::{self, TokenError};
use super::sessions::{self, DeviceError, SignIn, SignedIn};
use super::token_hash;
use crate::{Homeserver, RegistrationMode};

/// What allows the registration.
#[derive(Debug, Clone)]
pub enum Permit {
    /// A registration token, redeemed with it.
    Token(String),
    /// The settings let anybody register.
    Open,
    /// An administrator or the shared secret says so, whatever the settings' mode is.
    Administrator { make_admin: bool },
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The wish for a localpart; none: the server chooses one.
    pub username: Option<String>,
    pub password: String,
    pub permit: Permit,
    /// None: no device is signed in (`inhibit_login`).
    pub sign_in: Option<SignIn>,
}

/// An account that was made.
#[derive(Debug, Clone)]
pub struct Registered {
    pub user: UserKey,
    pub user_id: String,
    pub is_admin: bool,
    pub session: Option<SignedIn>,
}

/// Why no account was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Name(NameError),
    #[error("this name is taken")]
    NameTaken,
    #[error(transparent)]
    Password(WeakPassword),
    #[error(transparent)]
    Token(TokenError),
    #[error(transparent)]
    Device(DeviceError),
    /// The settings' mode does not allow this.
    #[error("this server does not take registrations of this kind")]
    Closed,
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<TokenError> for RegisterError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Storage(error) => RegisterError::Storage(error),
            error => RegisterError::Token(error),
        }
    }
}

/// See the module.
pub async fn register(
    hs: &Homeserver,
    registration: Registration,
) -> Result<Registered, RegisterError> {
    let localpart = match &registration.username {
        Some(wish) => names::new_localpart(wish, &hs.server_name).map_err(RegisterError::Name)?,
        None => hs.random_string(12).to_ascii_lowercase(),
    };
    allowed_by_mode(hs.settings.registration, &registration.permit)?;
    if !matches!(registration.permit, Permit::Administrator { .. }) {
        passwords::check(&registration.password, &localpart).map_err(RegisterError::Password)?;
    }
    // Looked at before the password is hashed, so that refusals are cheap; what counts is the look in the transaction.
    if let Permit::Token(token) = &registration.permit {
        registration_tokens::check_token(hs, token).await?;
    }
    check_free(hs, &localpart).await?;
    let prepared = registration
        .sign_in
        .as_ref()
        .map(|wish| sessions::prepare(hs, wish))
        .transpose()
        .map_err(RegisterError::Device)?;
    let password = passwords::hash(hs, &registration.password).await?;
    let user_id = names::user_id(&localpart, &hs.server_name);
    let (permit, id, session) = (registration.permit, user_id.clone(), prepared.clone());
    let (user, is_admin) = hs
        .db
        .write(move |tx| {
            let is_admin = redeem(tx, &permit, &localpart)?;
            let new = NewAccount {
                password: Some(password.clone()),
                is_admin,
                is_guest: false,
            };
            let user = rows::create(tx, &id, &new)?.ok_or(RegisterError::NameTaken)?;
            if let Some(session) = &session {
                session.write(tx, user)?;
            }
            Ok::<_, RegisterError>((user, is_admin))
        })
        .await?;
    tracing::info!(user_id, is_admin, "registered");
    Ok(Registered {
        user,
        session: prepared.map(|prepared| prepared.finish(user_id.clone())),
        user_id,
        is_admin,
    })
}

/// Whether somebody could register this name now.
pub async fn check_available(hs: &Homeserver, wish: &str) -> Result<(), RegisterError> {
    let localpart = names::new_localpart(wish, &hs.server_name).map_err(RegisterError::Name)?;
    check_free(hs, &localpart).await
}

async fn check_free(hs: &Homeserver, localpart: &str) -> Result<(), RegisterError> {
    let user_id = names::user_id(localpart, &hs.server_name);
    hs.db
        .read(move |snap| match rows::find(snap, &user_id)? {
            Some(_) => Err(RegisterError::NameTaken),
            None => Ok(()),
        })
        .await
}

fn allowed_by_mode(mode: RegistrationMode, permit: &Permit) -> Result<(), RegisterError> {
    match (mode, permit) {
        (_, Permit::Administrator { .. })
        | (RegistrationMode::Token | RegistrationMode::Open, Permit::Token(_))
        | (RegistrationMode::Open, Permit::Open) => Ok(()),
        _ => Err(RegisterError::Closed),
    }
}

/// Uses the permit; whether it makes an administrator.
fn redeem(tx: &mut Tx<'_>, permit: &Permit, localpart: &str) -> Result<bool, TokenError> {
    match permit {
        Permit::Token(token) => {
            registration_tokens::redeem(tx, &token_hash(token), localpart).map(|row| row.is_admin)
        }
        Permit::Open => Ok(false),
        Permit::Administrator { make_admin } => Ok(*make_admin),
    }
}
