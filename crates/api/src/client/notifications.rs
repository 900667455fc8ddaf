//! The list of notifications: client-server API v1.19, "Listing Notifications".

use homeserver::Requester;
use homeserver::notifications::notifications;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, Query, State};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/_matrix/client/v3/notifications",
        get_notifications,
    )]
}

/// Notifications in an answer where the client does not say.
const LIMIT_DEFAULT: usize = 30;

#[derive(Deserialize)]
struct Asked {
    from: Option<String>,
    limit: Option<usize>,
    only: Option<String>,
}

async fn get_notifications(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    let before = asked.from.as_deref().map(str::parse).transpose();
    let before =
        before.map_err(|_| ApiError::invalid_param("`from` is no token of this server."))?;
    let highlights = asked.only.as_deref() == Some("highlight");
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    let page = notifications(&state.hs, &requester, before, limit, highlights).await?;
    let notifications: Vec<Value> = page
        .notifications
        .into_iter()
        .map(|notification| {
            json!({
                "actions": notification.actions,
                "event": notification.event,
                "read": notification.read,
                "room_id": notification.room_id,
                "ts": notification.ts,
            })
        })
        .collect();
    let mut body = json!({ "notifications": notifications });
    if let Some(next) = page.next {
        body["next_token"] = next.to_string().into();
    }
    Ok(Json(body))
}
