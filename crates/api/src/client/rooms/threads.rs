//! A room's threads: client-server API v1.19, "GET /rooms/{roomId}/threads".

use homeserver::Requester;
use homeserver::rooms::history::threads::{Ask, threads};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::events::Place;
use view::token;

use super::page_params::{limit, place};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/_matrix/client/v1/rooms/{roomId}/threads",
        get_threads,
    )]
}

/// Threads of a page unless the client says otherwise: a screenful.
const LIMIT: usize = 20;

#[derive(Deserialize)]
struct Params {
    include: Option<String>,
    limit: Option<u64>,
    from: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

async fn get_threads(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    if params.limit == Some(0) {
        return Err(ApiError::invalid_param(
            "`limit` must be greater than zero.",
        ));
    }
    let ask = Ask {
        room_id: path.get("roomId").to_owned(),
        participated: match params.include.as_deref() {
            None | Some("all") => false,
            Some("participated") => true,
            Some(_) => {
                return Err(ApiError::invalid_param(
                    "`include` must be `all` or `participated`.",
                ));
            }
        },
        before: place("from", params.from.as_deref())?.map(|from| from.place),
        limit: limit(params.limit, LIMIT),
    };
    let found = threads(&state.hs, &requester, ask).await?;
    // A thread's place in the list is the place of its newest event.
    let next = found
        .next
        .map(|place| token::after(Place { place, seq: 0 }));
    Ok(Json(Answer {
        chunk: found.chunk,
        next_batch: next,
    }))
}
