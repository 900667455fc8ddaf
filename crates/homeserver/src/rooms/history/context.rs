//! `GET /rooms/{roomId}/context/{eventId}`: what happened around an event.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}".

use serde_json::value::RawValue;
use storage::events::{self, EventRow, Place};
use storage::{EventKey, Snapshot, states};
use view::filter::RoomEventFilter;
use view::token::{self, just_before};
use view::{Options, Viewer};

use super::access::enter;
use super::event::visible_event;
use super::page::{EVENTS_MAX, Walk, walk};
use super::{Direction, ReadError, lazy_members, viewer};
use crate::{Homeserver, Requester};

/// Around which event.
#[derive(Debug, Clone)]
pub struct Ask {
    pub room_id: String,
    pub event_id: String,
    /// Events before and after, together.
    pub limit: usize,
    /// For all but the event itself.
    pub filter: RoomEventFilter,
}

/// An event and what surrounds it.
#[derive(Debug)]
pub struct Context {
    pub event: Box<RawValue>,
    /// Newest first.
    pub events_before: Vec<Box<RawValue>>,
    /// Oldest first.
    pub events_after: Vec<Box<RawValue>>,
    /// To go on backwards.
    pub start: String,
    /// To go on forwards.
    pub end: String,
    /// The room's state at the last event.
    pub state: Vec<Box<RawValue>>,
}

/// Reads an event and its surroundings.
///
/// # Errors
/// [`ReadError::NotAllowed`], [`ReadError::NoSuchEvent`]
pub async fn context(
    hs: &Homeserver,
    requester: &Requester,
    ask: Ask,
) -> Result<Context, ReadError> {
    let viewer = viewer(requester);
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| read(snap, &viewer, &ask, now_ms))
        .await
}

fn read(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    ask: &Ask,
    now_ms: u64,
) -> Result<Context, ReadError> {
    let entered = enter(snap, viewer, &ask.room_id)?;
    let event = visible_event(snap, viewer, Some(entered.room.key), &ask.event_id)?;
    let place = event.place.ok_or(ReadError::NoSuchEvent)?;
    let ignored = view::ignored_users(snap, viewer.user)?;
    let limit = ask.limit.min(EVENTS_MAX);
    let around = |direction, from, limit| Walk {
        viewer,
        entered: &entered,
        direction,
        from,
        to: None,
        limit,
        filter: &ask.filter,
        ignored: &ignored,
    };
    let before = walk(
        snap,
        &around(Direction::Backwards, just_before(place), limit / 2),
    )?;
    let after = walk(snap, &around(Direction::Forwards, place, limit - limit / 2))?;
    let last = after.events.last().unwrap_or(&event).clone();
    let edge = |events: &[EventRow]| events.last().and_then(|event| event.place).unwrap_or(place);
    let (start, end) = (token::before(edge(&before.events)), edge(&after.events));
    let shown: Vec<EventRow> = [&event]
        .into_iter()
        .chain(&before.events)
        .chain(&after.events)
        .cloned()
        .collect();
    let state = state_at(snap, &last, &ask.filter, &shown)?;
    let options = Options::timeline(now_ms, &ignored);
    let mut event = view::present(snap, viewer, vec![event], &options)?;
    Ok(Context {
        event: event.pop().ok_or(ReadError::NoSuchEvent)?,
        events_before: view::present(snap, viewer, before.events, &options)?,
        events_after: view::present(snap, viewer, after.events, &options)?,
        start,
        end: token::after(Place { ..end }),
        state: view::present(snap, viewer, state, &Options::state(now_ms))?,
    })
}

/// The state with and after an event, as far as the filter wants it.
fn state_at(
    snap: &mut Snapshot<'_>,
    last: &EventRow,
    filter: &RoomEventFilter,
    shown: &[EventRow],
) -> Result<Vec<EventRow>, ReadError> {
    let mut entries = match last.state_before {
        Some(state) => states::entries(snap, state)?,
        None => Default::default(),
    };
    if let Some(no) = last.state_no {
        entries.insert(no, last.key);
    }
    if filter.lazy_load_members {
        let members = storage::event_context::all_member_numbers(snap, last.room)?;
        entries.retain(|no, _| !members.contains(no));
    }
    let keys: Vec<EventKey> = entries.into_values().collect();
    let mut rows: Vec<EventRow> = events::by_key(snap, &keys)?.into_values().collect();
    if filter.lazy_load_members {
        rows.extend(lazy_members::of_senders(snap, shown)?);
    }
    let senders: Vec<_> = rows.iter().map(|row| row.sender).collect();
    let senders = storage::ids::user_ids(snap, &senders)?;
    rows.retain(|row| {
        let sender = senders.get(&row.sender).map_or("", String::as_str);
        filter.allows(&row.event_type, sender, &row.body)
    });
    rows.sort_unstable_by_key(|row| row.place);
    Ok(rows)
}
