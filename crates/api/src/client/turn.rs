//! Relays for calls: client-server API v1.19, "Voice over IP".

use homeserver::Requester;
use http::Method;
use serde_json::{Value, json};

use crate::Json;
use crate::router::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/_matrix/client/v3/voip/turnServer",
        get_turn_server,
    )]
}

/// No relay is set up on this server: clients then connect to each other without one.
async fn get_turn_server(_: Requester) -> Json<Value> {
    Json(json!({}))
}
