//! When something worth showing last happened in a room: what lists of rooms are sorted by.

use quick_cache::sync::Cache;
use storage::rooms::Membership;
use storage::sync_rooms::{self, UserRoom};
use storage::{RoomKey, Snapshot};

/// Events that bring a room to the top: MSC4186, "bump_stamp".
const TYPES: [&str; 9] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
    "org.matrix.msc3672.beacon_info",
];

/// Events that are looked at for one: first few, as mostly the newest is one; then more. Past them, the user's coming
/// counts.
const LOOKED_AT: [usize; 2] = [16, 1_000];

/// Rooms whose stamp is remembered, about 60 bytes each.
const ROOMS_MAX: usize = 50_000;

/// Stamps of rooms, with the place up to which each was looked for.
pub(crate) struct Bumps(Cache<RoomKey, (i64, i64)>);

impl Default for Bumps {
    fn default() -> Self {
        Self(Cache::new(ROOMS_MAX))
    }
}

impl Bumps {
    /// The stamp of a room for a user: greater is newer.
    pub(crate) fn of(
        &self,
        snap: &mut Snapshot<'_>,
        room: &UserRoom,
    ) -> Result<i64, storage::Error> {
        if room.membership != Membership::Join {
            return Ok(room.position);
        }
        let known = self.0.get(&room.room);
        if let Some((_, stamp)) = known.filter(|(up_to, _)| *up_to == room.last_place) {
            return Ok(stamp.max(room.began));
        }
        // A room's places only grow; a snapshot older than what is known looks for itself.
        let (after, before) = known
            .filter(|(up_to, _)| *up_to < room.last_place)
            .unwrap_or((i64::MIN, 0));
        let mut stamp = None;
        for looked_at in LOOKED_AT {
            stamp = sync_rooms::newest_place_of_types(snap, room.room, &TYPES, after, looked_at)?;
            if stamp.is_some() {
                break;
            }
        }
        let stamp = stamp.unwrap_or(before);
        self.0.insert(room.room, (room.last_place, stamp));
        Ok(stamp.max(room.began))
    }
}
