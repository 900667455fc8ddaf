//! Who may read a room, and as of when.

use storage::events::Place;
use storage::rooms::{self, RoomRow};
use storage::{Error, Snapshot};
use view::{Stay, Viewer};

use crate::Requester;

/// As of when a room is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As it is: the reader is joined, or the room is open to the world.
    Now,
    /// As it was when the reader left.
    Until {
        /// The position up to which the current state is read.
        position: i64,
        /// The last place that is read.
        place: Place,
    },
}

/// A room that the reader may read.
#[derive(Debug, Clone)]
pub struct Entered {
    pub room: RoomRow,
    pub access: Access,
    pub stay: Stay,
}

/// Why nothing is read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The room is not known, or the reader was never in it and it is not open to the world: nobody can tell which.
    #[error("you are not in this room, and it is not open to the world")]
    NotAllowed,
    /// The event is not known, not in this room, or not for the reader's eyes.
    #[error("this room has no such event that you may see")]
    NoSuchEvent,
    #[error("this room has no such state")]
    NoSuchState,
    #[error("no event that you may see lies in that direction")]
    NothingThere,
    #[error(transparent)]
    Storage(#[from] Error),
}

/// The requester as `view` knows it.
pub fn viewer(requester: &Requester) -> Viewer {
    Viewer {
        user: requester.user,
        user_id: requester.user_id.clone(),
        device: Some(requester.device),
    }
}

/// Finds a room and how the viewer may read it.
///
/// # Errors
/// [`ReadError::NotAllowed`]
pub fn enter(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    room_id: &str,
) -> Result<Entered, ReadError> {
    let room = rooms::find_room(snap, room_id)?.ok_or(ReadError::NotAllowed)?;
    let stay = view::stay(snap, room.key, viewer.user)?;
    let access = match stay {
        Stay::Present => Access::Now,
        _ if view::is_world_readable(snap, room.key)? => Access::Now,
        Stay::Ended {
            position, place, ..
        } => Access::Until { position, place },
        Stay::Never => return Err(ReadError::NotAllowed),
    };
    Ok(Entered { room, access, stay })
}

impl Entered {
    /// The last place that is read.
    pub fn until(&self) -> Place {
        match self.access {
            Access::Now => Place::END,
            Access::Until { place, .. } => place,
        }
    }

    /// The point after all that is read, as a token can hold it: events that come later lie behind it.
    pub fn newest(&self) -> Place {
        Place::after_position(self.room.last_place).min(self.until())
    }
}
