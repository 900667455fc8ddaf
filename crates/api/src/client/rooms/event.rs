//! One event: client-server API v1.19, "GET /rooms/{roomId}/event/{eventId}", "GET /events/{eventId}" (deprecated).

use homeserver::Requester;
use homeserver::rooms::history::event::event;
use http::Method;
use serde_json::value::RawValue;

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/event/{eventId}",
            get_event,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/events/{eventId}",
            get_event_of_any_room,
        ),
    ]
}

async fn get_event(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let room_id = Some(path.get("roomId").to_owned());
    let event_id = path.get("eventId").to_owned();
    Ok(Json(event(&state.hs, &requester, room_id, event_id).await?))
}

async fn get_event_of_any_room(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let event_id = path.get("eventId").to_owned();
    Ok(Json(event(&state.hs, &requester, None, event_id).await?))
}
