//! Saying that one types: client-server API v1.19, "Typing Notifications".

use storage::rooms::{self, Membership};
use storage::typing;

use crate::{Homeserver, Requester};

/// How long typing lasts where the client does not say.
pub const TIMEOUT_DEFAULT_MS: u64 = 30_000;

/// How long typing may last: clients that still type say so again well before.
const TIMEOUT_MAX_MS: u64 = 120_000;

/// Why typing was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TypingError {
    #[error("you are not joined to this room")]
    NotJoined,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Starts typing in a room for a time, or with none stops it.
pub async fn set_typing(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    timeout_ms: Option<u64>,
) -> Result<(), TypingError> {
    let (user, room_id) = (requester.user, room_id.to_owned());
    let until_ms = timeout_ms.map(|timeout| hs.now_ms() + timeout.min(TIMEOUT_MAX_MS));
    hs.db
        .write(move |tx| {
            let room = rooms::find_room(tx, &room_id)?.ok_or(TypingError::NotJoined)?;
            let mine = rooms::member(tx, room.key, user)?;
            if mine.is_none_or(|row| row.membership != Membership::Join) {
                return Err(TypingError::NotJoined);
            }
            Ok(match until_ms {
                Some(until_ms) => typing::start(tx, room.key, user, until_ms)?,
                None => typing::stop(tx, room.key, user)?,
            })
        })
        .await
}

/// Ends typing that is past its time; its clients learn of it. When the next ends, in milliseconds since the Unix epoch.
pub async fn end_expired(hs: &Homeserver) -> Result<Option<u64>, storage::Error> {
    let now_ms = hs.now_ms();
    let next = hs.db.read(typing::next_end_ms).await?;
    if next.is_none_or(|next| next > now_ms) {
        return Ok(next);
    }
    hs.db
        .write(move |tx| typing::end_expired(tx, now_ms))
        .await?;
    hs.db.read(typing::next_end_ms).await
}
