//! `GET /rooms/{roomId}/timestamp_to_event`: the event closest to a time.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event". Only what is here is
//! looked at.

use storage::events;

use super::access::enter;
use super::{Direction, ReadError, viewer};
use crate::{Homeserver, Requester};

/// Events that one request looks through for one that the requester may see.
const LOOKED_THROUGH_MAX: usize = 1_000;

/// The event closest to a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closest {
    pub event_id: String,
    pub origin_server_ts: i64,
}

/// The first event at or after `ts` (milliseconds since 1970), or the last one at or before it.
///
/// # Errors
/// [`ReadError::NotAllowed`], [`ReadError::NothingThere`]
pub async fn timestamp_to_event(
    hs: &Homeserver,
    requester: &Requester,
    room_id: String,
    ts: i64,
    direction: Direction,
) -> Result<Closest, ReadError> {
    let viewer = viewer(requester);
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &room_id)?;
            let forwards = direction == Direction::Forwards;
            let rows = events::around_ts(
                snap,
                entered.room.key,
                ts,
                forwards,
                entered.until(),
                LOOKED_THROUGH_MAX,
            )?;
            let visible = view::visible(snap, &viewer, &rows)?;
            rows.into_iter()
                .zip(visible)
                .find(|(_, visible)| *visible)
                .map(|(row, _)| Closest {
                    event_id: row.event_id,
                    origin_server_ts: row.ts,
                })
                .ok_or(ReadError::NothingThere)
        })
        .await
}
