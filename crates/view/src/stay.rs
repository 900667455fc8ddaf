//! Whether and until when somebody was in a room: for reads by those who left.
//!
//! Source: client-server API "Room history visibility" ("After a user has left a room, they may see any events which
//! they were allowed to see before they left the room, but no events received after they left"), Matrix v1.19.

use room::membership::Membership;
use storage::events::{self, EventRow, Place};
use storage::rooms;
use storage::{Error, RoomKey, Snapshot, UserKey, event_context};

use crate::sight::membership_of;

/// A user's last stay in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Joined now.
    Present,
    /// Was joined, and is no longer.
    Ended {
        /// The position of the event that ended it: the room's state of then is the last that the user may see.
        position: i64,
        /// The place of that event: the last that the user may see.
        place: Place,
        /// The place of the last join before it.
        joined: Place,
    },
    /// Never joined, as far as this server knows.
    Never,
}

impl Stay {
    /// Whether the user joined after this place, or is joined.
    pub fn joined_since(self, place: Place) -> bool {
        match self {
            Stay::Present => true,
            Stay::Ended { joined, .. } => joined > place,
            Stay::Never => false,
        }
    }

    /// The last place that the user may see in a room that is not open to the world.
    pub fn until(self) -> Option<Place> {
        match self {
            Stay::Present => Some(Place::END),
            Stay::Ended { place, .. } => Some(place),
            Stay::Never => None,
        }
    }
}

/// Memberships that one walk back goes through, from a leave over invites and knocks that came to nothing to the last
/// join. More than people make in years; past it the user is treated as one who never joined.
const STEPS_MAX: usize = 64;

/// A user's last stay in a room. A forgotten room is one where the user never was.
pub fn stay(snap: &mut Snapshot<'_>, room: RoomKey, user: UserKey) -> Result<Stay, Error> {
    let Some(member) = rooms::member(snap, room, user)?.filter(|member| !member.forgotten) else {
        return Ok(Stay::Never);
    };
    if member.membership == rooms::Membership::Join {
        return Ok(Stay::Present);
    }
    let mut event = events::by_key(snap, &[member.event])?.remove(&member.event);
    for _ in 0..STEPS_MAX {
        let Some(after) = event else { break };
        let Some(before) = membership_before(snap, &after)? else {
            break;
        };
        if membership_of(&before.body) == Some(Membership::Join) {
            return Ok(ended(&before, &after));
        }
        event = Some(before);
    }
    Ok(Stay::Never)
}

fn ended(join: &EventRow, leave: &EventRow) -> Stay {
    Stay::Ended {
        position: leave.position,
        place: leave.place.unwrap_or(Place::after_position(leave.position)),
        joined: join.place.unwrap_or(Place::START),
    }
}

/// The membership event that this one replaced.
fn membership_before(snap: &mut Snapshot<'_>, event: &EventRow) -> Result<Option<EventRow>, Error> {
    let Some(pair) = event.state_before.zip(event.state_no) else {
        return Ok(None);
    };
    let Some(before) = event_context::entries(snap, &[pair])?.remove(&pair) else {
        return Ok(None);
    };
    Ok(events::by_key(snap, &[before])?.remove(&before))
}
