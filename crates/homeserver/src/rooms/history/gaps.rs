//! Holes in a room's history: events that others name and that are not here.
//!
//! A gap ends a page just after it, with a token at its edge. Asked to go on from there, the server first tries to fill
//! it: that is the one place where reading history asks other servers.

use storage::events::{self, Place};
use storage::{Error, RoomKey, Snapshot};

use crate::Homeserver;

/// The gap before an event's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub room: RoomKey,
    /// The place of the event before which events are missing.
    pub before: Place,
}

/// The gap whose edge a token stands at, if there is one.
pub fn gap_at(snap: &mut Snapshot<'_>, room: RoomKey, edge: Place) -> Result<Option<Gap>, Error> {
    let before = Place {
        seq: edge.seq.saturating_add(1),
        ..edge
    };
    let is_gap = events::has_gap_before(snap, room, before)?;
    Ok(is_gap.then_some(Gap { room, before }))
}

/// Fetches what is missing in a gap from other servers of the room, and stores it at its places.
///
/// While this server asks no others, a gap stays as it is and the reader goes on behind it.
pub async fn fill_gap(_hs: &Homeserver, gap: Gap) {
    tracing::debug!(
        room = gap.room.0,
        place = gap.before.place,
        "a gap stays open: no other server is asked"
    );
}
