//! `GET /rooms/{roomId}/state` and below: a room's state, now or as it was when the reader left.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/state" and
//! "GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}".

use serde_json::value::RawValue;
use storage::events::{self, EventRow};
use storage::{EventKey, Snapshot, event_context, states};
use view::Options;

use super::access::enter;
use super::{Access, Entered, ReadError, viewer};
use crate::{Homeserver, Requester};

/// All state events of a room, in client format.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn state(
    hs: &Homeserver,
    requester: &Requester,
    room_id: String,
) -> Result<Vec<Box<RawValue>>, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &room_id)?;
            let rows = all(snap, &entered)?;
            Ok(view::present(snap, &viewer, rows, &Options::state(now_ms))?)
        })
        .await
}

/// One state event of a room, in client format.
///
/// # Errors
/// [`ReadError::NotAllowed`], [`ReadError::NoSuchState`]
pub async fn state_event(
    hs: &Homeserver,
    requester: &Requester,
    room_id: String,
    event_type: String,
    state_key: String,
) -> Result<Box<RawValue>, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &room_id)?;
            let row =
                one(snap, &entered, &event_type, &state_key)?.ok_or(ReadError::NoSuchState)?;
            let events = view::present(snap, &viewer, vec![row], &Options::state(now_ms))?;
            events.into_iter().next().ok_or(ReadError::NoSuchState)
        })
        .await
}

/// The state as the reader may read it, in the order of the timeline.
pub(super) fn all(snap: &mut Snapshot<'_>, entered: &Entered) -> Result<Vec<EventRow>, ReadError> {
    let room = entered.room.key;
    let keys: Vec<EventKey> = match entered.access {
        Access::Now => events::current_state(snap, room)?
            .into_iter()
            .map(|(_, event)| event)
            .collect(),
        Access::Until { position, .. } => match events::state_at_position(snap, room, position)? {
            Some(state) => states::entries(snap, state)?.into_values().collect(),
            None => Vec::new(),
        },
    };
    let mut rows: Vec<EventRow> = events::by_key(snap, &keys)?.into_values().collect();
    rows.sort_unstable_by_key(|event| (event.place, event.position));
    Ok(rows)
}

fn one(
    snap: &mut Snapshot<'_>,
    entered: &Entered,
    event_type: &str,
    state_key: &str,
) -> Result<Option<EventRow>, ReadError> {
    let room = entered.room.key;
    let Access::Until { position, .. } = entered.access else {
        return Ok(events::current_state_event(
            snap, room, event_type, state_key,
        )?);
    };
    let no = event_context::state_numbers(snap, &[room], event_type, state_key)?.remove(&room);
    let state = events::state_at_position(snap, room, position)?;
    let Some(pair) = state.zip(no) else {
        return Ok(None);
    };
    let Some(key) = event_context::entries(snap, &[pair])?.remove(&pair) else {
        return Ok(None);
    };
    Ok(events::by_key(snap, &[key])?.remove(&key))
}
