//! The client-server API, v1.19: its routes in the order of the spec's list of endpoints.

use crate::router::Route;

/// Each part of the API lists its own routes; the order here is the spec's.
pub(crate) fn routes() -> Vec<Route> {
    let parts: [Vec<Route>; 0] = [];
    parts.into_iter().flatten().collect()
}
