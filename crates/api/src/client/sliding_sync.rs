//! Simplified sliding sync (MSC4186) in the shape that today's clients speak.

use axum::extract::State as Shared;
use axum::response::Response;
use homeserver::Requester;
use http::Method;
use serde::Deserialize;
use sync::sliding::unstable::{self, Body};

use super::sync::{client, json, note_presence};
use crate::router::{Route, route};
use crate::stopping::Stopping;
use crate::{ApiError, Json, Query, State};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::POST,
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        post_sync,
    )]
}

#[derive(Debug, Deserialize)]
struct Ask {
    pos: Option<String>,
    timeout: Option<u64>,
    set_presence: Option<String>,
}

async fn post_sync(
    Shared(state): Shared<State>,
    requester: Requester,
    Query(ask): Query<Ask>,
    mut stopping: Stopping,
    Json(body): Json<Body>,
) -> Result<Response, ApiError> {
    let client = client(&requester);
    let pos = ask.pos.filter(|pos| !pos.is_empty());
    let request = body.into_request(pos, ask.timeout).map_err(|error| {
        ApiError::invalid_param(format!("The request cannot be used: {error}."))
    })?;
    note_presence(&state, &requester, ask.set_presence.as_deref()).await?;
    let pos = request.pos.clone();
    tokio::select! {
        answer = unstable::sync(&state.sync, &client, request) => Ok(json(answer?)),
        () = stopping.begins(), if pos.is_some() => Ok(json(pos.map(|pos| unstable::nothing(&pos)).unwrap_or_default())),
    }
}
