//! `GET /rooms/{roomId}/messages`: a page of a room's history.
//!
//! Source: client-server API v1.19, "GET /_matrix/client/v3/rooms/{roomId}/messages".

use serde_json::value::RawValue;
use storage::Snapshot;
use storage::events::Place;
use view::filter::RoomEventFilter;
use view::{Options, Viewer, token};

use super::access::enter;
use super::gaps::{fill_gap, gap_at};
use super::page::{EVENTS_MAX, Walk, walk};
use super::{Direction, Entered, ReadError, lazy_members, viewer};
use crate::{Homeserver, Requester};

/// Which page.
#[derive(Debug, Clone)]
pub struct Ask {
    pub room_id: String,
    pub direction: Direction,
    /// None: from the newest event, or the oldest.
    pub from: Option<Place>,
    pub to: Option<Place>,
    pub limit: usize,
    pub filter: RoomEventFilter,
}

/// A page of events in client format.
#[derive(Debug)]
pub struct Page {
    pub start: String,
    /// None at the end of what there is.
    pub end: Option<String>,
    pub chunk: Vec<Box<RawValue>>,
    /// The memberships of the senders, where they are loaded lazily.
    pub state: Vec<Box<RawValue>>,
}

/// Reads a page.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn messages(hs: &Homeserver, requester: &Requester, ask: Ask) -> Result<Page, ReadError> {
    let viewer = viewer(requester);
    if let Some(edge) = ask.from {
        let (viewer, room_id) = (viewer.clone(), ask.room_id.clone());
        let gap = hs
            .db
            .read(move |snap| -> Result<_, ReadError> {
                let entered = enter(snap, &viewer, &room_id)?;
                Ok(gap_at(snap, entered.room.key, edge)?)
            })
            .await?;
        if let Some(gap) = gap {
            fill_gap(hs, gap).await;
        }
    }
    let now_ms = hs.now_ms();
    hs.db
        .read(move |snap| {
            let entered = enter(snap, &viewer, &ask.room_id)?;
            page(snap, &viewer, &entered, &ask, now_ms)
        })
        .await
}

/// Reads a page of a room that is entered.
pub(super) fn page(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    entered: &Entered,
    ask: &Ask,
    now_ms: u64,
) -> Result<Page, ReadError> {
    let from = ask.from.unwrap_or(match ask.direction {
        Direction::Backwards => entered.newest(),
        Direction::Forwards => Place { place: 0, seq: 0 },
    });
    let ignored = view::ignored_users(snap, viewer.user)?;
    let walked = walk(
        snap,
        &Walk {
            viewer,
            entered,
            direction: ask.direction,
            from,
            to: ask.to,
            limit: ask
                .filter
                .event
                .limit
                .map_or(ask.limit, |limit| ask.limit.min(limit as usize))
                .min(EVENTS_MAX),
            filter: &ask.filter,
            ignored: &ignored,
        },
    )?;
    let state = if ask.filter.lazy_load_members {
        lazy_members::of_senders(snap, &walked.events)?
    } else {
        Vec::new()
    };
    Ok(Page {
        start: token::after(from),
        end: walked.next.map(token::after),
        chunk: view::present(
            snap,
            viewer,
            walked.events,
            &Options::timeline(now_ms, &ignored),
        )?,
        state: view::present(snap, viewer, state, &Options::state(now_ms))?,
    })
}
