//! Walking along a room's timeline: what a reader may see and asked for, page by page.

use storage::events::{self, EventRow, Place};
use storage::{Error, Snapshot, UserKey};
use view::Viewer;
use view::filter::RoomEventFilter;
use view::token::just_before;

use super::{Direction, Entered};

/// Events of one answer at most: at 64 KiB each the bound of an answer's size, and of the time it takes.
pub const EVENTS_MAX: usize = 500;

/// Events that one request looks through. A filter that few events pass ends its page here, and the next goes on.
const LOOKED_THROUGH_MAX: usize = 4_000;

/// Events read at once, at least: rooms where the reader sees little are walked in few queries.
const BATCH_MIN: usize = 50;

/// A walk along a timeline.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    pub viewer: &'a Viewer,
    pub entered: &'a Entered,
    pub direction: Direction,
    /// Where it starts: a point between events.
    pub from: Place,
    /// Where it ends at the latest.
    pub to: Option<Place>,
    pub limit: usize,
    pub filter: &'a RoomEventFilter,
    pub ignored: &'a [UserKey],
}

/// What a walk found.
#[derive(Debug, Clone, Default)]
pub struct Walked {
    /// In the direction of the walk.
    pub events: Vec<EventRow>,
    /// Where to go on; none at the end.
    pub next: Option<Place>,
}

/// Walks until enough events are found, a gap or the end is reached, or enough were looked through.
pub fn walk(snap: &mut Snapshot<'_>, walk: &Walk<'_>) -> Result<Walked, Error> {
    let mut found = Walked::default();
    if !walk.filter.allows_room(&walk.entered.room.room_id) {
        return Ok(found);
    }
    let (start, end) = walk.range();
    let gap = walk.first_gap(snap, start, end)?;
    let stop = gap.unwrap_or(end);
    let mut at = start;
    let mut looked_through = 0;
    loop {
        let batch = (walk.limit + 1)
            .max(BATCH_MIN)
            .min(LOOKED_THROUGH_MAX - looked_through);
        let rows = walk.read(snap, at, stop, batch)?;
        let exhausted = rows.len() < batch;
        looked_through += rows.len();
        let shown = walk.shown(snap, &rows)?;
        for (row, shown) in rows.into_iter().zip(shown) {
            if found.events.len() == walk.limit {
                found.next = Some(at);
                return Ok(found);
            }
            at = walk.behind(&row);
            if shown {
                found.events.push(row);
            }
        }
        if exhausted {
            found.next = gap;
            return Ok(found);
        }
        if looked_through >= LOOKED_THROUGH_MAX {
            found.next = Some(at);
            return Ok(found);
        }
    }
}

impl Walk<'_> {
    /// From where to where, within what the reader may read.
    fn range(&self) -> (Place, Place) {
        let until = self.entered.until();
        match self.direction {
            Direction::Backwards => (self.from.min(until), self.to.unwrap_or(Place::START)),
            Direction::Forwards => (self.from, self.to.unwrap_or(Place::END).min(until)),
        }
    }

    /// The edge of the first gap on the way. The one that the walk starts at was passed already.
    fn first_gap(
        &self,
        snap: &mut Snapshot<'_>,
        start: Place,
        end: Place,
    ) -> Result<Option<Place>, Error> {
        let room = self.entered.room.key;
        let gap = match self.direction {
            Direction::Backwards => events::newest_gap(snap, room, start, end)?,
            Direction::Forwards => {
                let behind = Place {
                    seq: start.seq.saturating_add(1),
                    ..start
                };
                events::oldest_gap(snap, room, behind, end)?
            }
        };
        Ok(gap.map(just_before))
    }

    fn read(
        &self,
        snap: &mut Snapshot<'_>,
        at: Place,
        stop: Place,
        batch: usize,
    ) -> Result<Vec<EventRow>, Error> {
        let room = self.entered.room.key;
        match self.direction {
            Direction::Backwards => events::backwards(snap, room, at, stop, batch),
            Direction::Forwards => events::forwards(snap, room, at, stop, batch),
        }
    }

    /// The point behind an event, in the direction of the walk.
    fn behind(&self, row: &EventRow) -> Place {
        let place = row.place.unwrap_or(Place::START);
        match self.direction {
            Direction::Backwards => just_before(place),
            Direction::Forwards => place,
        }
    }

    fn shown(&self, snap: &mut Snapshot<'_>, rows: &[EventRow]) -> Result<Vec<bool>, Error> {
        let mut shown = view::visible(snap, self.viewer, rows)?;
        let senders: Vec<UserKey> = rows.iter().map(|row| row.sender).collect();
        let senders = storage::ids::user_ids(snap, &senders)?;
        for (row, shown) in rows.iter().zip(&mut shown) {
            let sender = senders.get(&row.sender).map_or("", String::as_str);
            *shown = *shown
                && !is_ignored(row, self.ignored)
                && self.filter.allows(&row.event_type, sender, &row.body);
        }
        Ok(shown)
    }
}

/// Whether an event is left out because its sender is ignored. State is not: who ignores somebody still is in a room
/// with the name that they gave it.
pub fn is_ignored(event: &EventRow, ignored: &[UserKey]) -> bool {
    event.state_no.is_none() && ignored.contains(&event.sender)
}
