//! The event closest to a time: client-server API v1.19, "GET /rooms/{roomId}/timestamp_to_event".

use homeserver::Requester;
use homeserver::rooms::history::timestamp::timestamp_to_event;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page_params::required_direction;
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event",
        get_event,
    )]
}

#[derive(Deserialize)]
struct Params {
    ts: Option<i64>,
    dir: Option<String>,
}

async fn get_event(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Value>, ApiError> {
    let ts = params
        .ts
        .ok_or_else(|| ApiError::missing_param("`ts` is missing: milliseconds since 1970."))?;
    let direction = required_direction(params.dir.as_deref())?;
    let room_id = path.get("roomId").to_owned();
    let closest = timestamp_to_event(&state.hs, &requester, room_id, ts, direction).await?;
    Ok(Json(json!({
        "event_id": closest.event_id,
        "origin_server_ts": closest.origin_server_ts,
    })))
}
