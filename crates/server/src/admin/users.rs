//! `kith user`: the people on this server.

use homeserver::Homeserver;
use homeserver::accounts::administrators::{self, MakeAdminError};
use homeserver::accounts::names;
use homeserver::accounts::password_reset::{self, NewResetError};
use homeserver::deactivation::{self, DeactivateError};

/// More than anybody reads at once; the list says when there are more.
const LISTED_MAX: usize = 10_000;

pub async fn list(hs: &Homeserver) -> Result<String, String> {
    let accounts = administrators::list_accounts(hs, LISTED_MAX)
        .await
        .map_err(|error| error.to_string())?;
    if accounts.is_empty() {
        return Ok(
            "There are no accounts yet. `kith token new --admin` makes a link for the first.\n"
                .to_owned(),
        );
    }
    let more = accounts.len() == LISTED_MAX;
    let mut text = String::new();
    for account in accounts {
        let standing = [
            (account.is_admin, "administrator"),
            (account.deactivated, "deactivated"),
            (account.locked, "locked"),
            (account.suspended, "suspended"),
        ];
        let standing: Vec<&str> = standing
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| *word)
            .collect();
        let line = format!("{:<40} {}", account.user_id, standing.join(", "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if more {
        text.push_str("… and more\n");
    }
    Ok(text)
}

/// `ada`, `@ada` and `@ada:example.org` are the same person here.
fn user_id(hs: &Homeserver, typed: &str) -> String {
    let name = typed.trim_start_matches('@');
    match name.split_once(':') {
        Some(_) => format!("@{name}"),
        None => names::user_id(name, &hs.server_name),
    }
}

fn nobody(user_id: &str) -> String {
    format!("There is no account {user_id} on this server. `kith user list` shows all.")
}

pub async fn make_admin(hs: &Homeserver, user: &str) -> Result<String, String> {
    let user_id = user_id(hs, user);
    match administrators::make_admin(hs, &user_id).await {
        Ok(()) => Ok(format!("{user_id} is an administrator now.\n")),
        Err(MakeAdminError::NoAccount) => Err(nobody(&user_id)),
        Err(error) => Err(format!("{user_id} was not made an administrator: {error}.")),
    }
}

pub async fn deactivate(hs: &Homeserver, user: &str, erase: bool) -> Result<String, String> {
    let user_id = user_id(hs, user);
    match deactivation::deactivate(hs, &user_id, erase).await {
        Ok(()) => Ok(format!(
            "{user_id} is deactivated: signed out everywhere, out of all rooms, and the name is never given again.\n"
        )),
        Err(DeactivateError::NoSuchAccount) => Err(nobody(&user_id)),
        Err(error) => Err(format!("{user_id} could not be deactivated: {error}.")),
    }
}

pub async fn reset_link(hs: &Homeserver, user: &str) -> Result<String, String> {
    let user_id = user_id(hs, user);
    match password_reset::new_reset_token(hs, &user_id).await {
        Ok(token) => Ok(format!("{}/reset?token={token}\n", hs.settings.public_url)),
        Err(NewResetError::NoAccount) => Err(nobody(&user_id)),
        Err(error) => Err(format!("No link was made for {user_id}: {error}.")),
    }
}
