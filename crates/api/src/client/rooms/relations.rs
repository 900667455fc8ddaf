//! What relates to an event: client-server API v1.19, "GET /rooms/{roomId}/relations/{eventId}" and its two longer forms.

use homeserver::Requester;
use homeserver::rooms::history::relations::{Ask, relations};
use homeserver::rooms::history::{Direction, ReadError};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page_params::{direction, limit, place};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}",
            get_relations,
        ),
        route(
            Method::GET,
            "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}",
            get_relations_by_kind,
        ),
        route(
            Method::GET,
            "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
            get_relations_by_kind_and_type,
        ),
    ]
}

/// Events of a page unless the client says otherwise: a screenful of a thread.
const LIMIT: usize = 20;

#[derive(Deserialize)]
struct Params {
    from: Option<String>,
    to: Option<String>,
    dir: Option<String>,
    limit: Option<u64>,
    recurse: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recursion_depth: Option<usize>,
}

async fn get_relations(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    list(&state, &requester, &path, None, None, params).await
}

async fn get_relations_by_kind(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    list(
        &state,
        &requester,
        &path,
        Some(path.get("relType")),
        None,
        params,
    )
    .await
}

async fn get_relations_by_kind_and_type(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    let (rel_type, event_type) = (path.get("relType"), path.get("eventType"));
    list(
        &state,
        &requester,
        &path,
        Some(rel_type),
        Some(event_type),
        params,
    )
    .await
}

async fn list(
    state: &State,
    requester: &Requester,
    path: &PathArgs,
    rel_type: Option<&str>,
    event_type: Option<&str>,
    params: Params,
) -> Result<Json<Answer>, ApiError> {
    let ask = Ask {
        room_id: path.get("roomId").to_owned(),
        event_id: path.get("eventId").to_owned(),
        rel_type: rel_type.map(str::to_owned),
        event_type: event_type.map(str::to_owned),
        direction: direction(params.dir.as_deref())?.unwrap_or(Direction::Backwards),
        from: place("from", params.from.as_deref())?,
        to: place("to", params.to.as_deref())?,
        limit: limit(params.limit, LIMIT).max(1),
        recurse: params.recurse.unwrap_or_default(),
    };
    let asked_recurse = params.recurse.is_some();
    let related = match relations(&state.hs, requester, ask).await {
        // The spec has one answer for whatever the requester may not see: 404.
        Err(ReadError::NotAllowed) => return Err(ReadError::NoSuchEvent.into()),
        related => related?,
    };
    Ok(Json(Answer {
        chunk: related.chunk,
        next_batch: related.next_batch,
        prev_batch: related.prev_batch,
        // Mandatory where `recurse` was given, true or not: without recursion, one level is looked at.
        recursion_depth: asked_recurse.then(|| related.recursion_depth.unwrap_or(1)),
    }))
}
