//! `GET /rooms/{roomId}/event/{eventId}`: one event.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}" and the deprecated
//! "GET /_matrix/client/v3/events/{eventId}".

use serde_json::value::RawValue;
use storage::events::{self, EventRow};
use storage::rooms;
use storage::{RoomKey, Snapshot};
use view::{Options, Viewer};

use super::{ReadError, viewer};
use crate::{Homeserver, Requester};

/// Reads one event of a room, or of whatever room it is in where `room_id` is none.
///
/// # Errors
/// [`ReadError::NoSuchEvent`]: nobody learns whether a room or event exists that they may not see.
pub async fn event(
    hs: &Homeserver,
    requester: &Requester,
    room_id: Option<String>,
    event_id: String,
) -> Result<Box<RawValue>, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let room = match room_id {
                Some(room_id) => {
                    let room = rooms::find_room(snap, &room_id)?;
                    Some(room.ok_or(ReadError::NoSuchEvent)?.key)
                }
                None => None,
            };
            let event = visible_event(snap, &viewer, room, &event_id)?;
            let ignored = view::ignored_users(snap, viewer.user)?;
            let options = Options::timeline(now_ms, &ignored);
            let events = view::present(snap, &viewer, vec![event], &options)?;
            events.into_iter().next().ok_or(ReadError::NoSuchEvent)
        })
        .await
}

/// An event of a room (of any where none is named) that the viewer may see.
pub(super) fn visible_event(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    room: Option<RoomKey>,
    event_id: &str,
) -> Result<EventRow, ReadError> {
    let event = events::by_id(snap, &[event_id])?
        .remove(event_id)
        .filter(|event| event.place.is_some() && room.is_none_or(|room| room == event.room))
        .ok_or(ReadError::NoSuchEvent)?;
    // A forgotten room is closed, as one where the viewer never was, unless it is open to the world.
    let events = [event];
    let is_visible = view::visible(snap, viewer, &events)? == [true];
    let [event] = events;
    let is_open = is_visible
        && (view::stay(snap, event.room, viewer.user)? != view::Stay::Never
            || view::is_world_readable(snap, event.room)?);
    is_open.then_some(event).ok_or(ReadError::NoSuchEvent)
}
