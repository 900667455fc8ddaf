//! Who looks after this server.

use storage::accounts as rows;

use crate::Homeserver;

/// Why nobody became an administrator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MakeAdminError {
    #[error("there is no such account")]
    NoAccount,
    #[error("this account is closed for good")]
    Deactivated,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Makes an account an administrator's; nothing changes where it is one.
pub async fn make_admin(hs: &Homeserver, user_id: &str) -> Result<(), MakeAdminError> {
    let user_id = user_id.to_owned();
    hs.db
        .write(move |tx| {
            let account = rows::find(tx, &user_id)?.ok_or(MakeAdminError::NoAccount)?;
            if account.deactivated {
                return Err(MakeAdminError::Deactivated);
            }
            Ok(rows::set_admin(tx, account.user, true)?)
        })
        .await
}

/// Accounts of this server, by user id, at most `limit`.
pub async fn list_accounts(
    hs: &Homeserver,
    limit: usize,
) -> Result<Vec<rows::Account>, storage::Error> {
    hs.db.read(move |snap| rows::list(snap, "", limit)).await
}
