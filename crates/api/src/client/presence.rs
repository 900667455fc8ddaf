//! Presence: client-server API v1.19, "Presence".

use homeserver::Requester;
use homeserver::presence::{PresenceError, presence, set_presence};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use storage::presence::PresenceState;

use super::account_data::{only_own, sentence};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    const STATUS: &str = "/_matrix/client/v3/presence/{userId}/status";
    vec![
        route(Method::GET, STATUS, get_status),
        route(Method::PUT, STATUS, put_status),
    ]
}

type Shared = axum::extract::State<State>;

/// A user acted within this time: it is active now.
const ACTIVE_MS: u64 = 60_000;

impl From<PresenceError> for ApiError {
    fn from(error: PresenceError) -> Self {
        let sentence = sentence(&error);
        match error {
            PresenceError::NotShared => ApiError::forbidden(sentence),
            PresenceError::TooLong => ApiError::too_large(sentence),
            PresenceError::Storage(error) => error.into(),
        }
    }
}

async fn get_status(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let Some(presence) = presence(&state.hs, &requester, path.get("userId")).await? else {
        return Ok(Json(json!({ "presence": "offline" })));
    };
    let ago = state.hs.now_ms().saturating_sub(presence.active_ms);
    let mut body = json!({
        "presence": presence.state.as_str(),
        "last_active_ago": ago,
        "currently_active": presence.state == PresenceState::Online && ago < ACTIVE_MS,
    });
    if let Some(status) = presence.status_msg {
        body["status_msg"] = status.into();
    }
    Ok(Json(body))
}

#[derive(Deserialize)]
struct StatusBody {
    presence: Option<String>,
    status_msg: Option<String>,
}

async fn put_status(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<StatusBody>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let word = body
        .presence
        .ok_or_else(|| ApiError::missing_param("The body has no `presence`."))?;
    let wanted = PresenceState::parse(&word).ok_or_else(|| {
        ApiError::invalid_param("`presence` is \"online\", \"offline\" or \"unavailable\".")
    })?;
    set_presence(&state.hs, &requester, wanted, body.status_msg).await?;
    Ok(Json(json!({})))
}
