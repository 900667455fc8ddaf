//! `kith token`: invitations.

use homeserver::Homeserver;
use homeserver::accounts::registration_tokens::{self, NewToken};

use super::in_words;

/// The page behind which somebody registers with `token`.
pub fn invitation_link(hs: &Homeserver, token: &str) -> String {
    format!("{}/register?token={token}", hs.settings.public_url)
}

pub async fn new(
    hs: &Homeserver,
    uses: Option<u32>,
    expires_in_ms: Option<u64>,
    username: Option<String>,
    admin: bool,
) -> Result<String, String> {
    // A link that makes administrators is a key to everything: it works once unless somebody says otherwise.
    let uses = if admin { uses.or(Some(1)) } else { uses };
    let new = NewToken {
        uses,
        expires_in_ms,
        username,
        is_admin: admin,
    };
    let token = registration_tokens::new_token(hs, new)
        .await
        .map_err(|error| format!("No link was made: {error}."))?;
    Ok(format!("{}\n", invitation_link(hs, &token)))
}

pub async fn list(hs: &Homeserver) -> Result<String, String> {
    let tokens = registration_tokens::list_tokens(hs)
        .await
        .map_err(|error| error.to_string())?;
    if tokens.is_empty() {
        return Ok("There are no tokens. `kith token new` makes one.\n".to_owned());
    }
    let now_ms = hs.now_ms();
    let mut text = format!(
        "{:<10} {:<12} {:<9} {:<14} {}\n",
        "BEGINS", "STATE", "USES", "EXPIRES IN", "FOR"
    );
    for token in tokens {
        let state = if token.revoked {
            "revoked"
        } else if token.is_used_up() {
            "used up"
        } else if token.is_expired(now_ms) {
            "expired"
        } else {
            "works"
        };
        let uses = match token.uses_max {
            Some(max) => format!("{} of {max}", token.uses),
            None => format!("{} of any", token.uses),
        };
        let expires = match token.expires_ms {
            Some(at) if at > now_ms => in_words(at - now_ms),
            Some(_) => "-".to_owned(),
            None => "never".to_owned(),
        };
        let whom = match (&token.username, token.is_admin) {
            (Some(name), true) => format!("{name}, as administrator"),
            (Some(name), false) => name.clone(),
            (None, true) => "an administrator".to_owned(),
            (None, false) => "anybody".to_owned(),
        };
        text.push_str(&format!(
            "{:<10} {state:<12} {uses:<9} {expires:<14} {whom}\n",
            format!("{}…", token.hint)
        ));
    }
    Ok(text)
}

pub async fn revoke(hs: &Homeserver, token: &str) -> Result<String, String> {
    // People paste the whole link, or the beginning as it is listed.
    let token = token
        .rsplit_once("token=")
        .map_or(token, |(_, token)| token);
    let token = token.trim_end_matches('…');
    registration_tokens::revoke_token(hs, token)
        .await
        .map_err(|error| {
            format!("Nothing was revoked: {error}. `kith token list` shows how each token begins.")
        })?;
    Ok("The token is revoked; nobody can register with it any more.\n".to_owned())
}
