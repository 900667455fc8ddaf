//! Tokens for other services: client-server API v1.19, "OpenID".

use homeserver::Requester;
use homeserver::openid::{LIFETIME_MS, request_token};
use http::Method;
use serde_json::{Map, Value, json};

use super::account_data::only_own;
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::POST,
        "/_matrix/client/v3/user/{userId}/openid/request_token",
        post_request_token,
    )]
}

async fn post_request_token(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(_): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let token = request_token(&state.hs, &requester).await?;
    Ok(Json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "matrix_server_name": state.hs.server_name,
        "expires_in": LIFETIME_MS / 1_000,
    })))
}
