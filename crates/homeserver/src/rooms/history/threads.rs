//! `GET /rooms/{roomId}/threads`: the roots of a room's threads.
//!
//! Source: client-server API v1.19, "Querying threads in a room".

use std::collections::{HashMap, HashSet};

use room::versions::Rules;
use serde_json::value::RawValue;
use storage::events::{self, EventRow};
use storage::threads::{self, ListedThread};
use storage::{EventKey, Snapshot, UserKey};
use view::{Options, Viewer};

use super::access::enter;
use super::{Entered, ReadError, viewer};
use crate::{Homeserver, Requester};

/// Threads of one answer at most: each comes with its newest event.
const THREADS_MAX: usize = 100;

/// Threads that one request looks through.
const LOOKED_THROUGH_MAX: usize = 1_000;

/// Which threads.
#[derive(Debug, Clone)]
pub struct Ask {
    pub room_id: String,
    /// Only those that the requester took part in.
    pub participated: bool,
    /// Threads whose newest event lies before this place; none: all.
    pub before: Option<i64>,
    pub limit: usize,
}

/// A page of thread roots.
#[derive(Debug)]
pub struct Threads {
    pub chunk: Vec<Box<RawValue>>,
    /// The `before` of the next page.
    pub next: Option<i64>,
}

/// Lists thread roots, those with the newest replies first.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub async fn threads(
    hs: &Homeserver,
    requester: &Requester,
    ask: Ask,
) -> Result<Threads, ReadError> {
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
) -> Result<Threads, ReadError> {
    let entered = enter(snap, viewer, &ask.room_id)?;
    let ignored = view::ignored_users(snap, viewer.user)?;
    let limit = ask.limit.clamp(1, THREADS_MAX);
    let participant = ask.participated.then_some(viewer.user);
    let (mut roots, mut next) = (Vec::new(), ask.before.unwrap_or(i64::MAX));
    let mut looked_through = 0;
    let more = loop {
        let listed = threads::list(snap, entered.room.key, participant, next, limit + 1)?;
        let exhausted = listed.len() <= limit;
        looked_through += listed.len();
        let mut shown = shown(snap, viewer, &entered, &listed, &ignored)?;
        for thread in &listed {
            if roots.len() == limit {
                break;
            }
            next = thread.last_place;
            roots.extend(shown.remove(&thread.root));
        }
        let full = roots.len() == limit && listed.last().is_some_and(|last| last.last_place < next);
        if full || exhausted || looked_through >= LOOKED_THROUGH_MAX {
            break full || !exhausted;
        }
    };
    Ok(Threads {
        chunk: view::present(snap, viewer, roots, &Options::timeline(now_ms, &ignored))?,
        next: more.then_some(next),
    })
}

/// The roots that the viewer may see, of threads in which there is something to see.
fn shown(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    entered: &Entered,
    listed: &[ListedThread],
    ignored: &[UserKey],
) -> Result<HashMap<EventKey, EventRow>, ReadError> {
    let keys: Vec<EventKey> = listed.iter().map(|thread| thread.root).collect();
    let rows: Vec<EventRow> = events::by_key(snap, &keys)?.into_values().collect();
    let visible = view::visible(snap, viewer, &rows)?;
    let alive: HashSet<EventKey> = threads::counts(snap, &keys, entered.until().place)?
        .into_iter()
        .filter(|(_, sender, _)| !ignored.contains(sender))
        .map(|(root, _, _)| root)
        .collect();
    let rules = Rules::of_name(&entered.room.room_version);
    Ok(rows
        .into_iter()
        .zip(visible)
        .filter(|(row, visible)| *visible && alive.contains(&row.key))
        .map(|(mut row, _)| {
            // As if the client had put the thread together: the root of somebody ignored is there, and says nothing.
            if ignored.contains(&row.sender)
                && let Some(rules) = rules
            {
                view::blank(rules, &mut row);
            }
            (row.key, row)
        })
        .collect())
}
