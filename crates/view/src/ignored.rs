//! Whom a user ignores: their messages are in no answer and in no aggregation.
//!
//! Source: client-server API "Ignoring Users" (`m.ignored_user_list`), Matrix v1.19.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use storage::{Error, Snapshot, UserKey, account_data, event_context};

/// Ignored users that are looked at: far more than people have enemies, and a bound on the work for each event.
const IGNORED_MAX: usize = 1_000;

/// The users that a user ignores, as far as this server has heard of them.
pub fn ignored_users(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Vec<UserKey>, Error> {
    #[derive(Deserialize)]
    struct Content {
        ignored_users: HashMap<String, IgnoredAny>,
    }
    let content = account_data::get(snap, user, None, "m.ignored_user_list")?;
    // What is malformed ignores nobody.
    let Some(content) =
        content.and_then(|content| serde_json::from_slice::<Content>(&content).ok())
    else {
        return Ok(Vec::new());
    };
    let user_ids = content
        .ignored_users
        .into_keys()
        .take(IGNORED_MAX)
        .collect();
    let mut users = event_context::known_users(snap, user_ids)?;
    // Nobody can ignore themselves.
    users.retain(|ignored| *ignored != user);
    Ok(users)
}
