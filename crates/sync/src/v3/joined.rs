//! The rooms that a client is joined to, and what of each it has not seen.

use std::collections::{HashMap, HashSet};

use storage::sync_rooms::{self, Hero, StateEntry, UserRoom};
use storage::{RoomKey, Snapshot, UserKey};

use super::Look;
use crate::members_given::lock;
use crate::state::{self, At, MEMBER};
use crate::summary::{self, Facts};
use crate::timeline::{self, Ask, Timeline};
use crate::{rooms, sources};

/// Events of a room's timeline where the filter does not say.
const TIMELINE_DEFAULT: u64 = 10;

/// Events of a room's timeline at most: more are for `/messages`.
const TIMELINE_MAX: u64 = 500;

/// Rooms whose states are read by one statement: bounds what is held at once, about 2 MiB.
const ROOMS_PART: usize = 100;

/// A joined room that may have something new.
pub(super) struct Joined {
    pub room: UserRoom,
    /// None: the client is told everything, as it is new in the room.
    pub from: Option<i64>,
    pub timeline: Timeline,
    pub state: Vec<StateEntry>,
    /// Where names or numbers changed.
    pub summary: Option<Vec<Hero>>,
}

impl Look<'_> {
    pub(super) fn timeline_limit(&self) -> usize {
        let asked = self.request.filter.room.timeline.event.limit;
        asked.unwrap_or(TIMELINE_DEFAULT).min(TIMELINE_MAX) as usize
    }

    /// Whether the filter wants any state at all of a room.
    pub(super) fn wants_state(&self, room: &UserRoom) -> bool {
        let filter = &self.request.filter.room.state;
        filter.allows_room(&room.room_id)
            && filter
                .event
                .types
                .as_ref()
                .is_none_or(|types| !types.is_empty())
    }

    /// Reads what is new in these rooms.
    pub(super) fn joined(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: Vec<UserRoom>,
    ) -> Result<Vec<Joined>, storage::Error> {
        let mut joined = Vec::with_capacity(rooms.len());
        for part in rooms.chunks(ROOMS_PART) {
            let whole: Vec<RoomKey> = part
                .iter()
                .filter(|room| self.tells_whole_state(room) && self.wants_state(room))
                .map(|room| room.room)
                .collect();
            let mut states = self.whole_states(snap, &whole)?;
            let asks: Vec<Ask<'_>> = part
                .iter()
                .map(|room| self.ask(room, self.from(room), self.head.0))
                .collect();
            let timelines = self.timelines(snap, &asks)?;
            let mut read = Vec::with_capacity(part.len());
            for (room, mut timeline) in part.iter().zip(timelines) {
                // Who came back must not join these events to the ones it had: it was away in between.
                timeline.limited |= !self.is_initial() && self.from(room).is_none();
                let current = states.remove(&room.room).unwrap_or_default();
                read.push(self.joined_room(snap, room.clone(), timeline, current)?);
            }
            if self.request.lazy_members() {
                self.add_members(snap, &mut read)?;
            }
            joined.extend(read);
        }
        Ok(joined)
    }

    /// From where a room is told.
    fn from(&self, room: &UserRoom) -> Option<i64> {
        rooms::continues(room, self.since).filter(|_| !self.is_initial())
    }

    fn tells_whole_state(&self, room: &UserRoom) -> bool {
        self.request.full_state || self.from(room).is_none()
    }

    /// The current states of rooms; without members where those are loaded lazily.
    fn whole_states(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: &[RoomKey],
    ) -> Result<HashMap<RoomKey, Vec<StateEntry>>, storage::Error> {
        if rooms.is_empty() {
            return Ok(HashMap::new());
        }
        let entries = match self.request.lazy_members() {
            true => sync_rooms::current_states_without_members(snap, rooms)?,
            false => sync_rooms::current_states(snap, rooms)?,
        };
        let mut states: HashMap<RoomKey, Vec<StateEntry>> = HashMap::new();
        for entry in entries {
            states.entry(entry.room).or_default().push(entry);
        }
        Ok(states)
    }

    fn joined_room(
        &self,
        snap: &mut Snapshot<'_>,
        room: UserRoom,
        timeline: Timeline,
        current: Vec<StateEntry>,
    ) -> Result<Joined, storage::Error> {
        let from = self.from(&room);
        let changes = match from {
            Some(from) => state::changes(snap, &room, from, self.head.0)?,
            None => Vec::new(),
        };
        let facts = Facts::of(&room.summary);
        let summary = match from.is_none() || changes.iter().any(names_or_counts) {
            true => Some(summary::heroes(snap, self.client, &room, &facts)?),
            false => None,
        };
        let state = match (self.tells_whole_state(&room), self.request.state_at()) {
            _ if !self.wants_state(&room) => Vec::new(),
            (true, At::TimelineEnd) => current,
            (true, At::TimelineStart) => {
                let lazy = self.request.lazy_members();
                state::rewind(snap, &room, &timeline, self.head.0, current, |entry| {
                    !lazy || entry.event_type != MEMBER
                })?
            }
            (false, at) => state::delta(snap, &room, self.since.0, &timeline, changes, at)?,
        };
        Ok(Joined {
            room,
            from,
            timeline,
            state,
            summary,
        })
    }

    pub(super) fn ask<'r>(&self, room: &'r UserRoom, from: Option<i64>, up_to: i64) -> Ask<'r> {
        Ask {
            room,
            from,
            up_to,
            limit: self.timeline_limit(),
        }
    }

    pub(super) fn timelines(
        &self,
        snap: &mut Snapshot<'_>,
        asks: &[Ask<'_>],
    ) -> Result<Vec<Timeline>, storage::Error> {
        timeline::read(
            snap,
            self.client,
            asks,
            &self.request.filter.room.timeline,
            &self.ignored,
        )
    }

    /// Adds the members that a lazily loading client needs: who speaks in the timeline, the heroes and itself.
    fn add_members(
        &self,
        snap: &mut Snapshot<'_>,
        rooms: &mut [Joined],
    ) -> Result<(), storage::Error> {
        let senders: HashSet<UserKey> = rooms
            .iter()
            .flat_map(|room| room.timeline.senders())
            .collect();
        let ids = sources::ids_by_key(snap, senders)?;
        let connection = (self.client.device, 0);
        let since = self.request.since.map(|token| token.position.0);
        let given = self.sync.members_given.of(connection, since);
        for joined in rooms
            .iter_mut()
            .filter(|joined| self.wants_state(&joined.room))
        {
            let mut wanted: HashMap<UserKey, String> = joined
                .timeline
                .senders()
                .into_iter()
                .filter_map(|sender| Some((sender, ids.get(&sender)?.clone())))
                .collect();
            if self.tells_whole_state(&joined.room) {
                wanted.insert(self.client.user, self.client.user_id.clone());
                let heroes = joined.summary.iter().flatten();
                wanted.extend(heroes.map(|hero| (hero.user, hero.user_id.clone())));
            }
            if wanted.is_empty() {
                continue;
            }
            let users: HashMap<&str, UserKey> = wanted
                .iter()
                .map(|(user, id)| (id.as_str(), *user))
                .collect();
            let mut members = state::members(snap, &joined.room, &wanted)?;
            if self.request.state_at() == At::TimelineStart {
                members = state::rewind(
                    snap,
                    &joined.room,
                    &joined.timeline,
                    self.head.0,
                    members,
                    |entry| {
                        entry.event_type == MEMBER && users.contains_key(entry.state_key.as_str())
                    },
                )?;
            }
            let told: HashSet<_> = joined.state.iter().map(|entry| entry.no).collect();
            members.retain(|entry| !told.contains(&entry.no));
            let mut given = lock(&given);
            let redundant = self.request.filter.room.state.include_redundant_members
                || self.tells_whole_state(&joined.room);
            members.retain(|entry| {
                let (Some(user), Some(event)) = (users.get(entry.state_key.as_str()), entry.event)
                else {
                    return false;
                };
                redundant || !given.has(joined.room.room, *user, event)
            });
            joined.state.extend(members);
            for entry in joined
                .state
                .iter()
                .filter(|entry| entry.event_type == MEMBER)
            {
                if let (Some(user), Some(event)) =
                    (users.get(entry.state_key.as_str()), entry.event)
                {
                    given.give(joined.room.room, *user, event, self.head.0);
                }
            }
        }
        Ok(())
    }
}

/// Whether a change of state may change how the room is called or how many are in it.
fn names_or_counts(entry: &StateEntry) -> bool {
    matches!(
        entry.event_type.as_str(),
        MEMBER | "m.room.name" | "m.room.canonical_alias"
    )
}
