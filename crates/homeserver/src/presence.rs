//! Saying whether one is there: client-server API v1.19, "Presence".

use std::collections::HashMap;
use std::sync::Mutex;

use storage::UserKey;
use storage::presence::{self, Presence, PresenceState};

use crate::{Homeserver, Requester};

/// A status message: a line, not a page. Everybody who shares a room is sent it.
pub const STATUS_BYTES_MAX: usize = 1_024;

/// How often a client that goes on syncing is noted: a write a minute for each user that is there.
const SEEN_EVERY_MS: u64 = 60_000;

/// Who was not seen for this long is offline: several times [`SEEN_EVERY_MS`], so that a slow client stays.
const UNSEEN_MS: u64 = 5 * 60_000;

/// Users whose last noted state is held: beyond it all are looked up again.
const HELD_MAX: usize = 50_000;

/// What was last noted of each user here, so that a sync that changes nothing costs no SQL.
#[derive(Default)]
pub struct Noted {
    // Held for a lookup or an insert only.
    users: Mutex<HashMap<UserKey, (PresenceState, u64)>>,
}

impl Noted {
    fn is_fresh(&self, user: UserKey, state: PresenceState, now_ms: u64) -> bool {
        let users = self
            .users
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        users.get(&user).is_some_and(|(noted, at)| {
            *noted == state && now_ms.saturating_sub(*at) < SEEN_EVERY_MS
        })
    }

    fn note(&self, user: UserKey, state: PresenceState, now_ms: u64) {
        let mut users = self
            .users
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if users.len() >= HELD_MAX {
            users.clear();
        }
        users.insert(user, (state, now_ms));
    }
}

/// Why presence was not told or set.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    #[error("you share no room with this user")]
    NotShared,
    #[error("the status message has more than {STATUS_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A user's presence, told to the user and to those who share a room. None: never set.
pub async fn presence(
    hs: &Homeserver,
    requester: &Requester,
    user_id: &str,
) -> Result<Option<Presence>, PresenceError> {
    let (viewer, user_id) = (requester.user, user_id.to_owned());
    hs.db
        .read(move |snap| {
            let user = storage::ids::find_user(snap, &user_id)?.ok_or(PresenceError::NotShared)?;
            if user != viewer && !presence::share_a_room(snap, viewer, user)? {
                return Err(PresenceError::NotShared);
            }
            Ok(presence::get(snap, user)?)
        })
        .await
}

/// Sets the requester's presence and status message.
pub async fn set_presence(
    hs: &Homeserver,
    requester: &Requester,
    state: PresenceState,
    status_msg: Option<String>,
) -> Result<(), PresenceError> {
    let status_msg = status_msg.filter(|text| !text.is_empty());
    if status_msg
        .as_ref()
        .is_some_and(|text| text.len() > STATUS_BYTES_MAX)
    {
        return Err(PresenceError::TooLong);
    }
    let (user, now_ms) = (requester.user, hs.now_ms());
    hs.db
        .write(move |tx| -> Result<(), storage::Error> {
            let old = presence::get(tx, user)?;
            let active_ms = match state {
                PresenceState::Online => now_ms,
                _ => old.map_or(now_ms, |old| old.active_ms),
            };
            presence::put(tx, user, state, status_msg.as_deref(), active_ms, now_ms)
        })
        .await?;
    hs.presence.note(user, state, now_ms);
    Ok(())
}

/// Notes that a client syncs, and what it says of its user by `set_presence`: offline says nothing.
pub async fn set_from_sync(
    hs: &Homeserver,
    requester: &Requester,
    state: PresenceState,
) -> Result<(), storage::Error> {
    let (user, now_ms) = (requester.user, hs.now_ms());
    if state == PresenceState::Offline || hs.presence.is_fresh(user, state, now_ms) {
        return Ok(());
    }
    hs.db
        .write(move |tx| -> Result<(), storage::Error> {
            let old = presence::get(tx, user)?;
            if old.as_ref().is_some_and(|old| old.state == state) {
                return presence::seen(tx, user, now_ms);
            }
            let active_ms = match (state, &old) {
                (PresenceState::Unavailable, Some(old)) => old.active_ms,
                _ => now_ms,
            };
            let status_msg = old.and_then(|old| old.status_msg);
            presence::put(tx, user, state, status_msg.as_deref(), active_ms, now_ms)
        })
        .await?;
    hs.presence.note(user, state, now_ms);
    Ok(())
}

/// Makes offline who was not seen for long. When to look again, in milliseconds since the Unix epoch.
pub async fn end_unseen(hs: &Homeserver) -> Result<Option<u64>, storage::Error> {
    let now_ms = hs.now_ms();
    let before_ms = now_ms.saturating_sub(UNSEEN_MS);
    let due = |unseen: Option<u64>| unseen.map(|seen_ms| seen_ms + UNSEEN_MS);
    let longest = hs.db.read(presence::longest_unseen_ms).await?;
    if longest.is_none_or(|seen_ms| seen_ms >= before_ms) {
        return Ok(due(longest));
    }
    hs.db
        .write(move |tx| presence::end_unseen(tx, before_ms))
        .await?;
    Ok(due(hs.db.read(presence::longest_unseen_ms).await?))
}
