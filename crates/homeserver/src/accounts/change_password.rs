//! Another password: client-server API v1.19, `POST /account/password`.

use storage::accounts as rows;

use super::passwords::{self, Stopping, WeakPassword};
use super::{names, sessions};
use crate::{Homeserver, Requester};

/// Why the password stays as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangePasswordError {
    #[error(transparent)]
    Password(#[from] WeakPassword),
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Gives the requester another password. `sign_out`: all other devices are signed out.
pub async fn change_password(
    hs: &Homeserver,
    requester: &Requester,
    password: &str,
    sign_out: bool,
) -> Result<(), ChangePasswordError> {
    passwords::check(password, names::localpart(&requester.user_id))?;
    let hash = passwords::hash(hs, password).await?;
    let (user, device) = (requester.user, requester.device);
    hs.db
        .write(move |tx| {
            rows::set_password(tx, user, Some(&hash))?;
            if sign_out {
                sessions::delete_all_devices(tx, user, Some(device))?;
            }
            Ok::<_, storage::Error>(())
        })
        .await?;
    Ok(())
}
