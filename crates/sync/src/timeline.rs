//! The newest events of rooms that a client may see, up to a limit, and whether there are more.

use std::collections::HashSet;

use storage::events::{self, EventRow, Place};
use storage::sync_rooms::{self, UserRoom};
use storage::{Snapshot, UserKey};
use view::filter::RoomEventFilter;
use view::token;

use crate::{Client, sources};

/// Rows that are read of one room to fill its timeline: filters and visibility may pass over some, but a client that
/// asks for a rare type must not make us read a whole room; what lies before is for `/messages`.
const ROWS_MAX: usize = 1_000;

/// What is asked of a room's timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub room: &'a UserRoom,
    /// Events after this position; none: from the room's beginning.
    pub from: Option<i64>,
    /// Events up to this position.
    pub up_to: i64,
    pub limit: usize,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    /// Oldest first.
    pub events: Vec<EventRow>,
    /// Events between the client's last ones and these were left out, or may exist and are not here yet.
    pub limited: bool,
    /// From where `/messages` goes back.
    pub prev_batch: String,
    /// The room's state before the timeline is its state at this position.
    pub state_at: i64,
}

impl Timeline {
    /// Without events.
    pub(crate) fn empty(up_to: i64) -> Self {
        Self {
            events: Vec::new(),
            limited: false,
            prev_batch: format!("s{up_to}"),
            state_at: up_to,
        }
    }

    fn of(events: Vec<EventRow>, limited: bool, up_to: i64) -> Self {
        match events.first().and_then(|event| event.place) {
            Some(place) => Self {
                limited,
                prev_batch: token::before(place),
                state_at: place.place - 1,
                events,
            },
            // Nothing to stand before: what was left out, if anything, ends where the window does.
            None => Self {
                limited,
                ..Self::empty(up_to)
            },
        }
    }

    /// The users who sent its events.
    pub(crate) fn senders(&self) -> HashSet<UserKey> {
        self.events.iter().map(|event| event.sender).collect()
    }
}

/// Reads the timelines of many rooms, in their order. A page of each room is read alone, what decides on all of them at
/// once.
pub(crate) fn read(
    snap: &mut Snapshot<'_>,
    client: &Client,
    asks: &[Ask<'_>],
    filter: &RoomEventFilter,
    ignored: &HashSet<UserKey>,
) -> Result<Vec<Timeline>, storage::Error> {
    let mut walks = Vec::with_capacity(asks.len());
    for ask in asks {
        walks.push(Walk::begin(snap, *ask, filter)?);
    }
    while walks.iter().any(|walk| !walk.is_done) {
        let mut rows = Vec::new();
        let mut counts = Vec::with_capacity(walks.len());
        for walk in &mut walks {
            let before = rows.len();
            if !walk.is_done {
                rows.extend(walk.page(snap)?);
            }
            counts.push(rows.len() - before);
        }
        let wanted = wanted(snap, client, filter, ignored, &rows)?;
        let mut judged = rows.into_iter().zip(wanted);
        for (walk, count) in walks.iter_mut().zip(counts) {
            let page = judged.by_ref().take(count);
            walk.kept
                .extend(page.filter(|(_, wanted)| *wanted).map(|(row, _)| row));
            walk.is_done |= walk.kept.len() > walk.ask.limit;
        }
    }
    Ok(walks.into_iter().map(Walk::end).collect())
}

/// A walk back through one room.
struct Walk<'a> {
    ask: Ask<'a>,
    top: Place,
    floor: Place,
    looked_at: usize,
    /// Newest first.
    kept: Vec<EventRow>,
    more: bool,
    is_done: bool,
}

impl<'a> Walk<'a> {
    fn begin(
        snap: &mut Snapshot<'_>,
        ask: Ask<'a>,
        filter: &RoomEventFilter,
    ) -> Result<Self, storage::Error> {
        let floor = ask.from.map_or(Place::START, Place::after_position);
        let mut walk = Self {
            ask,
            top: Place::after_position(ask.up_to),
            floor,
            looked_at: 0,
            kept: Vec::new(),
            more: false,
            // Events lie after a position only where the newest one does.
            is_done: ask.from.is_some_and(|from| ask.room.last_place <= from)
                || !filter.allows_room(&ask.room.room_id),
        };
        if !walk.is_done
            && let Some(gap) = sync_rooms::newest_gap(snap, ask.room.room, floor.place, ask.up_to)?
        {
            // What lies before a gap is not joined to what lies after it.
            walk.floor = floor.max(token::just_before(gap));
            walk.more = true;
        }
        Ok(walk)
    }

    fn page(&mut self, snap: &mut Snapshot<'_>) -> Result<Vec<EventRow>, storage::Error> {
        let missing = self.ask.limit + 1 - self.kept.len();
        let batch = missing.max(8).min(ROWS_MAX - self.looked_at);
        let rows = events::backwards(snap, self.ask.room.room, self.top, self.floor, batch)?;
        self.looked_at += rows.len();
        match rows
            .last()
            .and_then(|row| row.place)
            .filter(|_| rows.len() == batch)
        {
            Some(last) if self.looked_at < ROWS_MAX => self.top = token::just_before(last),
            last => {
                self.more |= last.is_some();
                self.is_done = true;
            }
        }
        Ok(rows)
    }

    fn end(mut self) -> Timeline {
        if self.kept.len() > self.ask.limit {
            self.kept.truncate(self.ask.limit);
            self.more = true;
        }
        self.kept.reverse();
        Timeline::of(self.kept, self.more, self.ask.up_to)
    }
}

/// For each row, whether the client wants it and may see it.
fn wanted(
    snap: &mut Snapshot<'_>,
    client: &Client,
    filter: &RoomEventFilter,
    ignored: &HashSet<UserKey>,
    rows: &[EventRow],
) -> Result<Vec<bool>, storage::Error> {
    let mut wanted = sources::visible(snap, client, rows)?;
    let senders = match filter.allows_all() {
        true => None,
        false => Some(sources::ids_by_key(
            snap,
            rows.iter().map(|row| row.sender).collect(),
        )?),
    };
    for (row, wanted) in rows.iter().zip(&mut wanted) {
        // Ignored users still change the room: their state events are shown.
        *wanted &= row.state_no.is_some() || !ignored.contains(&row.sender);
        if let Some(senders) = &senders {
            let sender = senders.get(&row.sender).map_or("", String::as_str);
            *wanted &= filter.allows(&row.event_type, sender, &row.body);
        }
    }
    Ok(wanted)
}
