//! Rooms: client-server API v1.19, "Rooms", "Room participation", "Room membership", "Published room directory".

pub mod aliases;
pub mod create;
mod errors;
pub mod membership;
pub mod send;
