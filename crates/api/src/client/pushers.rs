//! Pushers: client-server API v1.19, "Push Notifications".

use homeserver::Requester;
use homeserver::pushers::{PusherError, pushers, set_pusher};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::account_data::sentence;
use crate::router::{Route, route};
use crate::{ApiError, Json, State};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_matrix/client/v3/pushers", get_pushers),
        route(Method::POST, "/_matrix/client/v3/pushers/set", post_pusher),
    ]
}

type Shared = axum::extract::State<State>;

impl From<PusherError> for ApiError {
    fn from(error: PusherError) -> Self {
        let sentence = sentence(&error);
        match error {
            PusherError::Missing(_) => ApiError::missing_param(sentence),
            PusherError::Invalid(_) => ApiError::invalid_param(sentence),
            PusherError::TooMany => {
                ApiError::new(StatusCode::FORBIDDEN, "M_RESOURCE_LIMIT_EXCEEDED", sentence)
            }
            PusherError::Storage(error) => error.into(),
        }
    }
}

async fn get_pushers(
    axum::extract::State(state): Shared,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    let pushers = pushers(&state.hs, &requester).await?;
    Ok(Json(json!({ "pushers": pushers })))
}

async fn post_pusher(
    axum::extract::State(state): Shared,
    requester: Requester,
    Json(body): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    set_pusher(&state.hs, &requester, body).await?;
    Ok(Json(json!({})))
}
