//! A room's state: client-server API v1.19, "GET /rooms/{roomId}/state" and
//! "GET /rooms/{roomId}/state/{eventType}/{stateKey}".

use homeserver::Requester;
use homeserver::rooms::history::state::{state as all_state, state_event};
use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/state",
            get_state,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}",
            get_state_event,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/",
            get_state_event,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
            get_keyed_state_event,
        ),
    ]
}

async fn get_state(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Vec<Box<RawValue>>>, ApiError> {
    let room_id = path.get("roomId").to_owned();
    Ok(Json(all_state(&state.hs, &requester, room_id).await?))
}

#[derive(Deserialize)]
struct Params {
    format: Option<String>,
}

async fn get_state_event(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    one(&state, &requester, &path, "", params).await
}

async fn get_keyed_state_event(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    one(&state, &requester, &path, path.get("stateKey"), params).await
}

async fn one(
    state: &State,
    requester: &Requester,
    path: &PathArgs,
    state_key: &str,
    params: Params,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let content_only = match params.format.as_deref() {
        None | Some("content") => true,
        Some("event") => false,
        Some(_) => {
            return Err(ApiError::invalid_param(
                "`format` must be `content` or `event`.",
            ));
        }
    };
    let (room_id, event_type) = (
        path.get("roomId").to_owned(),
        path.get("eventType").to_owned(),
    );
    let event = state_event(
        &state.hs,
        requester,
        room_id,
        event_type,
        state_key.to_owned(),
    )
    .await?;
    if !content_only {
        return Ok(Json(event));
    }
    #[derive(Deserialize)]
    struct Event {
        content: Box<RawValue>,
    }
    match serde_json::from_str::<Event>(event.get()) {
        Ok(event) => Ok(Json(event.content)),
        // Every stored event has a content.
        Err(_) => Err(ApiError::not_found("This room has no such state.")),
    }
}
