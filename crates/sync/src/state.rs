//! A room's state as a client is told of it: all of it or what changed, before the timeline or at its end.

use std::collections::{BTreeMap, HashMap};

use storage::sync_rooms::{self, StateEntry, UserRoom};
use storage::{EventKey, Snapshot, StateNo, UserKey, events, states};

use crate::timeline::Timeline;

pub(crate) const MEMBER: &str = "m.room.member";

/// At which point the state is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Before the timeline's first event: the client applies the timeline to it.
    TimelineStart,
    /// After the timeline's last event (`state_after`).
    TimelineEnd,
}

/// The changes of a room's current state in (from, up_to].
pub(crate) fn changes(
    snap: &mut Snapshot<'_>,
    room: &UserRoom,
    from: i64,
    up_to: i64,
) -> Result<Vec<StateEntry>, storage::Error> {
    if up_to <= from {
        return Ok(Vec::new());
    }
    sync_rooms::state_changes(snap, room.room, from, up_to)
}

/// What a client that knows the room's state at `from` is told; `all` are the changes up to the answer's end.
pub(crate) fn delta(
    snap: &mut Snapshot<'_>,
    room: &UserRoom,
    from: i64,
    timeline: &Timeline,
    all: Vec<StateEntry>,
    at: At,
) -> Result<Vec<StateEntry>, storage::Error> {
    if at == At::TimelineEnd || all.is_empty() {
        return Ok(all);
    }
    let mut before: BTreeMap<StateNo, StateEntry> = changes(snap, room, from, timeline.state_at)?
        .into_iter()
        .map(|entry| (entry.no, entry))
        .collect();
    // The timeline brings its own state events. What it does not bring (resolution chose another event, a filter took
    // it out) must be told before it.
    let brought = newest_by_no(timeline);
    for entry in all {
        if brought.get(&entry.no).copied() != entry.event {
            before.insert(entry.no, entry);
        }
    }
    Ok(before.into_values().collect())
}

/// The last event of the timeline for each state key.
fn newest_by_no(timeline: &Timeline) -> HashMap<StateNo, EventKey> {
    let events = timeline.events.iter();
    events
        .filter_map(|event| Some((event.state_no?, event.key)))
        .collect()
}

/// Turns entries of the current state at `up_to` into those at the timeline's start. `current` may be a part of the
/// state: `wanted` says which keys it was chosen by.
pub(crate) fn rewind(
    snap: &mut Snapshot<'_>,
    room: &UserRoom,
    timeline: &Timeline,
    up_to: i64,
    current: Vec<StateEntry>,
    wanted: impl Fn(&StateEntry) -> bool,
) -> Result<Vec<StateEntry>, storage::Error> {
    let changed = changes(snap, room, timeline.state_at, up_to)?;
    if changed.is_empty() {
        return Ok(current);
    }
    let numbers: Vec<StateNo> = changed.iter().map(|entry| entry.no).collect();
    let earlier = match events::state_at_position(snap, room.room, timeline.state_at)? {
        Some(state) => states::entries_at(snap, state, &numbers)?,
        None => BTreeMap::new(),
    };
    let brought = newest_by_no(timeline);
    let mut entries: BTreeMap<StateNo, StateEntry> =
        current.into_iter().map(|entry| (entry.no, entry)).collect();
    for mut entry in changed.into_iter().filter(|entry| wanted(entry)) {
        if brought.get(&entry.no).copied() != entry.event {
            entries.insert(entry.no, entry);
            continue;
        }
        entry.event = earlier.get(&entry.no).copied();
        match entry.event {
            Some(_) => entries.insert(entry.no, entry),
            None => entries.remove(&entry.no),
        };
    }
    Ok(entries.into_values().collect())
}

/// The whole state of a room at a position that is not the head: of rooms that the user left.
pub(crate) fn whole_at(
    snap: &mut Snapshot<'_>,
    room: &UserRoom,
    position: i64,
) -> Result<Vec<StateEntry>, storage::Error> {
    let Some(state) = events::state_at_position(snap, room.room, position)? else {
        return Ok(Vec::new());
    };
    let entries = states::entries(snap, state)?;
    let numbers: Vec<StateNo> = entries.keys().copied().collect();
    let names = sync_rooms::state_names(snap, room.room, &numbers)?;
    Ok(names
        .into_iter()
        .map(|mut name| {
            name.event = entries.get(&name.no).copied();
            name
        })
        .collect())
}

/// The members of a room among these users, at the head.
pub(crate) fn members(
    snap: &mut Snapshot<'_>,
    room: &UserRoom,
    users: &HashMap<UserKey, String>,
) -> Result<Vec<StateEntry>, storage::Error> {
    let ids: Vec<&str> = users.values().map(String::as_str).collect();
    sync_rooms::current_states_of_keys(snap, &[room.room], MEMBER, &ids)
}
