//! What the server speaks and what its users may do: client-server API v1.19, "API Versions", "Capabilities Negotiation".

use axum::extract::State as Shared;
use homeserver::Requester;
use http::Method;
use serde_json::{Map, Value, json};

use super::features;
use crate::router::{Route, route};
use crate::{Json, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_matrix/client/versions", versions),
        route(Method::GET, "/_matrix/client/v3/capabilities", capabilities),
    ]
}

/// The newest version of the specification that is spoken: 1.19.
const MINOR_NEWEST: u32 = 19;

async fn versions() -> Json<Value> {
    // Clients look for one version in the set, not for the newest, so each is listed.
    let versions: Vec<_> = (1..=MINOR_NEWEST)
        .map(|minor| format!("v1.{minor}"))
        .collect();
    let unstable: Map<_, _> = features::UNSTABLE
        .iter()
        .map(|name| ((*name).to_owned(), Value::Bool(true)))
        .collect();
    Json(json!({ "versions": versions, "unstable_features": unstable }))
}

async fn capabilities(state: Shared<State>, requester: Requester) -> Json<Value> {
    let available: Map<_, _> = room::versions::Rules::all()
        .iter()
        .map(|rules| (rules.version().to_string(), Value::from("stable")))
        .collect();
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": {
            "default": state.hs.settings.default_room_version,
            "available": available,
        },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.profile_fields": { "enabled": true },
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": true },
        "m.forget_forced_upon_leave": { "enabled": false },
    });
    if requester.is_admin {
        capabilities["m.account_moderation"] = json!({ "lock": true, "suspend": true });
    }
    Json(json!({ "capabilities": capabilities }))
}
