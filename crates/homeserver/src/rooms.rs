//! What the server does with rooms, one verb per file. Events of our own are made in a room's lane ([`lane`]).

pub mod aliases;
pub mod create;
pub mod decide;
pub mod head;
pub mod history;
pub mod lane;
pub mod membership;
pub mod redact;
pub mod send;
pub mod summary;
pub mod upgrade;
