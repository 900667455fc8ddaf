//! The routes that read rooms, in the spec's order.

use super::{context, event, members, messages, relations, state_read, threads, timestamp};
use crate::router::Route;

pub(crate) fn routes() -> Vec<Route> {
    let parts = [
        event::routes(),
        members::routes(),
        state_read::routes(),
        messages::routes(),
        timestamp::routes(),
        relations::routes(),
        threads::routes(),
        context::routes(),
    ];
    parts.into_iter().flatten().collect()
}
