//! Typing: client-server API v1.19, "Typing Notifications".

use homeserver::Requester;
use homeserver::typing::{TIMEOUT_DEFAULT_MS, TypingError, set_typing};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account_data::{only_own, sentence};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::PUT,
        "/_matrix/client/v3/rooms/{roomId}/typing/{userId}",
        put_typing,
    )]
}

impl From<TypingError> for ApiError {
    fn from(error: TypingError) -> Self {
        match error {
            TypingError::NotJoined => ApiError::forbidden(sentence(&error)),
            TypingError::Storage(error) => error.into(),
        }
    }
}

#[derive(Deserialize)]
struct TypingBody {
    typing: Option<bool>,
    timeout: Option<u64>,
}

async fn put_typing(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<TypingBody>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let typing = body
        .typing
        .ok_or_else(|| ApiError::missing_param("The body has no `typing`."))?;
    let timeout_ms = typing.then(|| body.timeout.unwrap_or(TIMEOUT_DEFAULT_MS));
    set_typing(&state.hs, &requester, path.get("roomId"), timeout_ms).await?;
    Ok(Json(json!({})))
}
