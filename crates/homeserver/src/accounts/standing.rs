//! Locking and suspending accounts: client-server API v1.19, "Account locking", "Account suspension".

use storage::UserKey;
use storage::accounts::{self as rows, Account};

use crate::Homeserver;

/// Why an account's standing stays as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StandingError {
    #[error("there is no such account")]
    NoSuchAccount,
    #[error("the account is deactivated")]
    Deactivated,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Locks an account, or unlocks it: while it is locked nothing can be done with it.
pub async fn set_locked(hs: &Homeserver, user_id: &str, locked: bool) -> Result<(), StandingError> {
    change(hs, user_id, move |tx, user| {
        rows::set_locked(tx, user, locked)
    })
    .await
}

/// Suspends an account, or ends that: while it is suspended it can read, but not write.
pub async fn set_suspended(
    hs: &Homeserver,
    user_id: &str,
    suspended: bool,
) -> Result<(), StandingError> {
    change(hs, user_id, move |tx, user| {
        rows::set_suspended(tx, user, suspended)
    })
    .await
}

/// An account, for an administrator to look at.
pub async fn account(hs: &Homeserver, user_id: &str) -> Result<Account, StandingError> {
    let user_id = user_id.to_owned();
    hs.db
        .read(move |snap| rows::find(snap, &user_id)?.ok_or(StandingError::NoSuchAccount))
        .await
}

async fn change(
    hs: &Homeserver,
    user_id: &str,
    write: impl Fn(&mut storage::Tx<'_>, UserKey) -> Result<(), storage::Error> + Send + 'static,
) -> Result<(), StandingError> {
    let user_id = user_id.to_owned();
    hs.db
        .write(move |tx| {
            let account = rows::find(tx, &user_id)?.ok_or(StandingError::NoSuchAccount)?;
            if account.deactivated {
                return Err(StandingError::Deactivated);
            }
            Ok(write(tx, account.user)?)
        })
        .await
}
