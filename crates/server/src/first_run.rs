//! The very first start: whoever starts a server gets an invitation that makes them its administrator.

use homeserver::Homeserver;
use homeserver::accounts::administrators;
use homeserver::accounts::registration_tokens::{self, NewToken};

use crate::admin::invitation_link;

/// Whether nobody was ever invited and nobody has an account. It stays false afterwards, since what was invited is
/// kept, and it is the same for all servers on one database.
pub async fn is_first(hs: &Homeserver) -> Result<bool, storage::Error> {
    if !registration_tokens::list_tokens(hs).await?.is_empty() {
        return Ok(false);
    }
    Ok(administrators::list_accounts(hs, 1).await?.is_empty())
}

/// Makes the link for the administrator. It works once.
pub async fn admin_invitation(hs: &Homeserver) -> anyhow::Result<String> {
    let new = NewToken {
        uses: Some(1),
        is_admin: true,
        ..NewToken::default()
    };
    let token = registration_tokens::new_token(hs, new).await?;
    Ok(invitation_link(hs, &token))
}
