//! Reading rooms: history, state, members, relations and threads.
//!
//! Source: client-server API "Getting events for a room", "Relationship API", "Querying threads", Matrix v1.19.
//!
//! Every read starts with [`access::enter`]: who is joined sees the room as it is, who left as it was then, and everybody
//! a room that is open to the world. Which single events may be seen is asked of `view` alone.

pub mod access;
pub mod context;
pub mod event;
pub mod gaps;
pub mod initial_sync;
pub mod lazy_members;
pub mod members;
pub mod messages;
pub mod page;
pub mod relations;
pub mod state;
pub mod threads;
pub mod timestamp;

pub use access::{Access, Entered, ReadError, viewer};

/// In which direction events are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Newest first.
    Backwards,
    /// Oldest first.
    Forwards,
}
