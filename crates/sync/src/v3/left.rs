//! The rooms that a client's user is not joined to any more: up to where it left.

use storage::Snapshot;
use storage::sync_rooms::{StateEntry, UserRoom};

use super::Look;
use crate::rooms::{Before, before_leaving};
use crate::sources;
use crate::state::{self, At};
use crate::timeline::Timeline;

/// A room that the user left, was removed from, or was not let into.
pub(super) struct Left {
    pub room: UserRoom,
    pub timeline: Timeline,
    pub state: Vec<StateEntry>,
}

impl Look<'_> {
    pub(super) fn left(
        &self,
        snap: &mut Snapshot<'_>,
        room: UserRoom,
    ) -> Result<Left, storage::Error> {
        let before = match self.is_initial() {
            true => Before::JoinedBetween,
            false => before_leaving(snap, self.client, &room, self.since)?,
        };
        let from = match before {
            Before::NotJoined => return self.never_joined(snap, room),
            Before::JoinedAtSince => Some(self.since.0),
            Before::JoinedBetween => None,
        };
        let up_to = room.position;
        let mut timelines = self.timelines(snap, &[self.ask(&room, from, up_to)])?;
        let timeline = timelines.pop().unwrap_or_default();
        let state = match (from, self.request.state_at()) {
            _ if !self.wants_state(&room) => Vec::new(),
            (Some(from), at) if !self.request.full_state => {
                let changes = state::changes(snap, &room, from, up_to)?;
                state::delta(snap, &room, from, &timeline, changes, at)?
            }
            (_, At::TimelineEnd) => state::whole_at(snap, &room, up_to)?,
            (_, At::TimelineStart) => state::whole_at(snap, &room, timeline.state_at)?,
        };
        Ok(Left {
            room,
            timeline,
            state,
        })
    }

    /// A refused invite or knock: the room is not the user's to see, but what became of it is.
    fn never_joined(
        &self,
        snap: &mut Snapshot<'_>,
        room: UserRoom,
    ) -> Result<Left, storage::Error> {
        let event = sources::events_by_key(snap, &[room.event])?.remove(&room.event);
        let place = event.as_ref().and_then(|event| event.place);
        let timeline = Timeline {
            prev_batch: place.map_or_else(|| format!("s{}", room.position), view::token::before),
            events: event.into_iter().collect(),
            limited: false,
            state_at: room.position - 1,
        };
        Ok(Left {
            room,
            timeline,
            state: Vec::new(),
        })
    }
}
