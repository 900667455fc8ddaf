//! Rooms: client-server API v1.19, "Rooms", "Room participation", "Room membership", "Published room directory".

pub mod aliases;
mod context;
pub mod create;
mod errors;
mod event;
mod members;
pub mod membership;
mod messages;
mod page_params;
mod reading;
mod relations;
pub mod send;
mod state_read;
mod threads;
mod timestamp;

use crate::router::Route;

pub(crate) fn routes() -> Vec<Route> {
    let parts = [
        aliases::routes(),
        create::routes(),
        membership::routes(),
        send::routes(),
        reading::routes(),
    ];
    parts.into_iter().flatten().collect()
}
