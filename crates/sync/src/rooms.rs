//! Which rooms a user must be told of, and since when.

use std::collections::{BTreeMap, HashSet};

use storage::memory::Memory;
use storage::rooms::Membership;
use storage::sync_rooms::{self, UserRoom};
use storage::{EventKey, Position, RoomKey, Snapshot, rooms, unread};

use crate::state::MEMBER;
use crate::{Client, sources};

/// The rooms in which something may have changed for the user in (since, head], by key: found through memory where
/// that knows, so that unchanged rooms are not looked at. `more` are rooms that the caller knows of.
pub(crate) fn changed(
    snap: &mut Snapshot<'_>,
    memory: &Memory,
    client: &Client,
    since: Position,
    head: Position,
    more: impl IntoIterator<Item = RoomKey>,
) -> Result<BTreeMap<RoomKey, UserRoom>, storage::Error> {
    let Some((touched, newest)) = memory.rooms_changed_after(client.user, since) else {
        return all(snap, client);
    };
    let mut rooms: BTreeMap<RoomKey, UserRoom> =
        by_key(sync_rooms::user_rooms_after(snap, client.user, since.0)?);
    let mut keys: HashSet<RoomKey> = touched.into_iter().collect();
    keys.extend(unread::rooms_read_privately(
        snap,
        client.user,
        since.0,
        head.0,
    )?);
    if newest > head {
        // Memory is ahead of this snapshot: it may have forgotten a room that the user leaves after it.
        let all = all(snap, client)?;
        keys.extend(
            all.values()
                .filter(|room| room.last_place > since.0)
                .map(|room| room.room),
        );
    }
    keys.extend(more);
    let missing: Vec<RoomKey> = keys
        .into_iter()
        .filter(|room| !rooms.contains_key(room))
        .collect();
    rooms.extend(by_key(sync_rooms::user_rooms(snap, client.user, &missing)?));
    Ok(rooms)
}

/// All rooms that the user has a membership of, by key.
pub(crate) fn all(
    snap: &mut Snapshot<'_>,
    client: &Client,
) -> Result<BTreeMap<RoomKey, UserRoom>, storage::Error> {
    Ok(by_key(sync_rooms::user_rooms_after(snap, client.user, 0)?))
}

fn by_key(rooms: Vec<UserRoom>) -> BTreeMap<RoomKey, UserRoom> {
    rooms.into_iter().map(|room| (room.room, room)).collect()
}

/// From where a joined room is told: the position, where the user was joined there and ever since; else from its
/// beginning, as to somebody who is new in it.
pub(crate) fn continues(room: &UserRoom, since: Position) -> Option<i64> {
    (room.began <= since.0).then_some(since.0)
}

/// How a user that left a room was in it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Joined at `since`.
    JoinedAtSince,
    /// Joined later, and left again.
    JoinedBetween,
    /// Never joined in the window: invited, knocking, or not at all.
    NotJoined,
}

/// What the user was to the room in the window that ends with its leaving.
pub(crate) fn before_leaving(
    snap: &mut Snapshot<'_>,
    client: &Client,
    room: &UserRoom,
    since: Position,
) -> Result<Before, storage::Error> {
    let Some(no) = rooms::state_no(snap, room.room, MEMBER, &client.user_id)? else {
        return Ok(Before::NotJoined);
    };
    let at_since = match storage::events::state_at_position(snap, room.room, since.0)? {
        Some(state) => storage::states::entries_at(snap, state, &[no])?.remove(&no),
        None => None,
    };
    let between: Vec<EventKey> =
        sync_rooms::log_of_key(snap, room.room, no, since.0, room.position)?
            .into_iter()
            .flatten()
            .collect();
    let keys: Vec<EventKey> = at_since.iter().chain(&between).copied().collect();
    let events = sources::events_by_key(snap, &keys)?;
    let joined = |key: &EventKey| {
        events.get(key).and_then(|row| membership(&row.body)) == Some(Membership::Join)
    };
    Ok(
        match (
            at_since.as_ref().is_some_and(joined),
            between.iter().any(joined),
        ) {
            (true, _) => Before::JoinedAtSince,
            (false, true) => Before::JoinedBetween,
            (false, false) => Before::NotJoined,
        },
    )
}

/// What a membership event says.
fn membership(body: &[u8]) -> Option<Membership> {
    #[derive(serde::Deserialize)]
    struct Event {
        content: Content,
    }
    #[derive(serde::Deserialize)]
    struct Content {
        membership: String,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    Membership::parse(&event.content.membership)
}
