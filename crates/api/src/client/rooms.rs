//! Rooms: client-server API v1.19, "Rooms", "Room participation", "Room membership", "Published room directory".

pub mod aliases;
pub mod create;
mod errors;
pub mod membership;
pub mod send;

use crate::router::Route;

pub(crate) fn routes() -> Vec<Route> {
    let parts = [aliases::routes(), create::routes(), membership::routes(), send::routes()];
    parts.into_iter().flatten().collect()
}
