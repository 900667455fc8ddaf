//! The memberships of those whose events a page shows, where members are loaded lazily.
//!
//! Source: client-server API "Lazy-loading room members", Matrix v1.19.

use std::collections::{HashMap, HashSet};

use storage::events::{self, EventRow};
use storage::{Error, EventKey, RoomKey, Snapshot, UserKey, event_context};

/// The membership event of each sender, as of its newest event in the page. Those that are in the page themselves are
/// left out. All events are of one room.
pub fn of_senders(snap: &mut Snapshot<'_>, page: &[EventRow]) -> Result<Vec<EventRow>, Error> {
    let Some(room) = page.first().map(|event| event.room) else {
        return Ok(Vec::new());
    };
    let mut newest: HashMap<UserKey, &EventRow> = HashMap::new();
    for event in page {
        let slot = newest.entry(event.sender).or_insert(event);
        if event.place > slot.place {
            *slot = event;
        }
    }
    let keys = membership_events(snap, room, &newest)?;
    let in_page: HashSet<EventKey> = page.iter().map(|event| event.key).collect();
    let keys: Vec<EventKey> = keys
        .into_iter()
        .filter(|key| !in_page.contains(key))
        .collect();
    let mut rows: Vec<EventRow> = events::by_key(snap, &keys)?.into_values().collect();
    rows.sort_unstable_by_key(|event| event.place);
    Ok(rows)
}

fn membership_events(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    newest: &HashMap<UserKey, &EventRow>,
) -> Result<HashSet<EventKey>, Error> {
    let users: Vec<UserKey> = newest.keys().copied().collect();
    let ids = storage::ids::user_ids(snap, &users)?;
    let names: Vec<&str> = ids.values().map(String::as_str).collect();
    let numbers = event_context::member_numbers(snap, room, &names)?;
    let pairs: Vec<_> = newest
        .iter()
        .filter_map(|(user, event)| Some((event.state_before?, *numbers.get(ids.get(user)?)?)))
        .collect();
    Ok(event_context::entries(snap, &pairs)?
        .into_values()
        .collect())
}
