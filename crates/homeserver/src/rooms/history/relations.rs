//! `GET /rooms/{roomId}/relations/{eventId}`: the events that relate to an event.
//!
//! Source: client-server API v1.19, "Relationships API".

use serde_json::value::RawValue;
use storage::events::{self, EventRow, Place};
use storage::relations::{Children, children, descendants};
use storage::{EventKey, Snapshot};
use view::token::{self, just_before};
use view::{Options, Viewer};

use super::access::enter;
use super::event::visible_event;
use super::page::{EVENTS_MAX, is_ignored};
use super::{Direction, Entered, ReadError, viewer};
use crate::{Homeserver, Requester};

/// How many relations a recursive listing goes down: the spec asks for 3 at least, and clients nest no deeper (an edit
/// of a reply in a thread, a reaction to it).
pub const DEPTH: usize = 3;

/// Which related events.
#[derive(Debug, Clone)]
pub struct Ask {
    pub room_id: String,
    pub event_id: String,
    pub rel_type: Option<String>,
    pub event_type: Option<String>,
    pub direction: Direction,
    pub from: Option<Place>,
    pub to: Option<Place>,
    pub limit: usize,
    /// Whether relations of relations are listed too.
    pub recurse: bool,
}

/// A page of related events.
#[derive(Debug)]
pub struct Related {
    pub chunk: Vec<Box<RawValue>>,
    pub next_batch: Option<String>,
    pub prev_batch: Option<String>,
    /// How deep was looked, where recursion was asked for.
    pub recursion_depth: Option<usize>,
}

/// Lists related events.
///
/// # Errors
/// [`ReadError::NotAllowed`], [`ReadError::NoSuchEvent`]
pub async fn relations(
    hs: &Homeserver,
    requester: &Requester,
    ask: Ask,
) -> Result<Related, ReadError> {
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
) -> Result<Related, ReadError> {
    let entered = enter(snap, viewer, &ask.room_id)?;
    visible_event(snap, viewer, Some(entered.room.key), &ask.event_id)?;
    let limit = ask.limit.min(EVENTS_MAX);
    // One more than asked for tells whether there is a next page.
    let mut keys = list(snap, &entered, ask, limit + 1)?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    let mut rows = events::by_key(snap, &keys)?;
    let rows: Vec<EventRow> = keys.iter().filter_map(|key| rows.remove(key)).collect();
    let next = rows
        .last()
        .and_then(|last| last.place)
        .filter(|_| more)
        .map(|place| match ask.direction {
            Direction::Backwards => token::before(place),
            Direction::Forwards => token::after(place),
        });
    let ignored = view::ignored_users(snap, viewer.user)?;
    let visible = view::visible(snap, viewer, &rows)?;
    let rows = rows
        .into_iter()
        .zip(visible)
        .filter(|(row, visible)| *visible && !is_ignored(row, &ignored))
        .map(|(row, _)| row)
        .collect();
    Ok(Related {
        chunk: view::present(snap, viewer, rows, &Options::timeline(now_ms, &ignored))?,
        next_batch: next,
        prev_batch: ask.from.map(token::after),
        recursion_depth: ask.recurse.then_some(DEPTH),
    })
}

fn list(
    snap: &mut Snapshot<'_>,
    entered: &Entered,
    ask: &Ask,
    limit: usize,
) -> Result<Vec<EventKey>, ReadError> {
    let until = entered.until();
    let backwards = ask.direction == Direction::Backwards;
    let (newest, oldest) = match backwards {
        true => (ask.from, ask.to),
        false => (ask.to, ask.from),
    };
    let children_of = Children {
        room: entered.room.key,
        parent: &ask.event_id,
        rel_type: ask.rel_type.as_deref(),
        event_type: ask.event_type.as_deref(),
        from: oldest.unwrap_or(just_before(Place { place: 0, seq: 0 })),
        to: newest.unwrap_or(Place::END).min(until),
        newest_first: backwards,
        limit,
    };
    Ok(match ask.recurse {
        true => descendants(snap, &children_of, DEPTH)?.0,
        false => children(snap, &children_of)?,
    })
}
