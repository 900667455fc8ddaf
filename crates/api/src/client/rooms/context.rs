//! What happened around an event: client-server API v1.19, "GET /rooms/{roomId}/context/{eventId}".

use homeserver::Requester;
use homeserver::rooms::history::context::{Ask, context};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page_params::{filter, limit};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/_matrix/client/v3/rooms/{roomId}/context/{eventId}",
        get_context,
    )]
}

/// Events around it unless the client says otherwise: the spec's number.
const LIMIT: usize = 10;

#[derive(Deserialize)]
struct Params {
    limit: Option<u64>,
    filter: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    start: String,
    end: String,
    event: Box<RawValue>,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    state: Vec<Box<RawValue>>,
}

async fn get_context(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    let ask = Ask {
        room_id: path.get("roomId").to_owned(),
        event_id: path.get("eventId").to_owned(),
        limit: limit(params.limit, LIMIT),
        filter: filter(params.filter.as_deref())?,
    };
    let found = context(&state.hs, &requester, ask).await?;
    Ok(Json(Answer {
        start: found.start,
        end: found.end,
        event: found.event,
        events_before: found.events_before,
        events_after: found.events_after,
        state: found.state,
    }))
}
