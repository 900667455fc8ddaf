//! Bridged networks: client-server API v1.19, "Third-party Networks". None is set up on this server.

use homeserver::Requester;
use http::Method;
use serde_json::{Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json};

pub(super) fn routes() -> Vec<Route> {
    let lookups = [
        "/_matrix/client/v3/thirdparty/location",
        "/_matrix/client/v3/thirdparty/location/{protocol}",
        "/_matrix/client/v3/thirdparty/protocol/{protocol}",
        "/_matrix/client/v3/thirdparty/user",
        "/_matrix/client/v3/thirdparty/user/{protocol}",
    ];
    let protocols = route(
        Method::GET,
        "/_matrix/client/v3/thirdparty/protocols",
        get_protocols,
    );
    let lookups = lookups.map(|path| route(Method::GET, path, get_nothing));
    lookups.into_iter().chain([protocols]).collect()
}

async fn get_protocols(_: Requester) -> Json<Value> {
    Json(json!({}))
}

async fn get_nothing(_: Requester) -> ApiError {
    ApiError::not_found("No bridged network is known to this server.")
}
