//! Client-server API v1.19, "Syncing": `GET /v3/sync`.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use homeserver::{Requester, presence};
use http::{Method, StatusCode, header};
use serde::Deserialize;
use storage::presence::PresenceState;
use sync::{Client, FilterProblem, SyncError, Token, v3};

use crate::router::{Route, route};
use crate::stopping::Stopping;
use crate::{ApiError, Query, State};

pub(super) fn routes() -> Vec<Route> {
    vec![route(Method::GET, "/_matrix/client/v3/sync", get_sync)]
}

#[derive(Debug, Deserialize)]
struct Ask {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    timeout: Option<u64>,
    set_presence: Option<String>,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    unstable_use_state_after: bool,
}

async fn get_sync(
    Shared(state): Shared<State>,
    requester: Requester,
    Query(ask): Query<Ask>,
    mut stopping: Stopping,
) -> Result<Response, ApiError> {
    let client = client(&requester);
    let since = match ask.since.as_deref().filter(|since| !since.is_empty()) {
        None => None,
        Some(since) => Some(Token::parse(since).ok_or_else(|| {
            ApiError::invalid_param(
                "`since` is no token that this server gave: leave it out to begin anew.",
            )
        })?),
    };
    let filter = match ask.filter.as_deref().filter(|filter| !filter.is_empty()) {
        None => Arc::default(),
        Some(filter) => sync::filter(&state.sync, &client, filter).await?,
    };
    note_presence(&state, &requester, ask.set_presence.as_deref()).await?;
    let request = v3::Request {
        since,
        filter,
        full_state: ask.full_state,
        timeout_ms: ask.timeout.unwrap_or_default(),
        use_state_after: ask.use_state_after,
        unstable_use_state_after: ask.unstable_use_state_after,
    };
    tokio::select! {
        answer = v3::sync(&state.sync, &client, request) => Ok(json(answer?)),
        () = stopping.begins(), if since.is_some() => Ok(json(since.map(v3::nothing).unwrap_or_default())),
    }
}

/// Tells that the user is there, as the client says. A presence that cannot be written holds no sync up.
pub(super) async fn note_presence(
    state: &State,
    requester: &Requester,
    set_presence: Option<&str>,
) -> Result<(), ApiError> {
    let presence = match set_presence {
        None => PresenceState::Online,
        Some(word) => PresenceState::parse(word).ok_or_else(|| {
            ApiError::invalid_param(
                "`set_presence` is none of \"online\", \"unavailable\" and \"offline\".",
            )
        })?,
    };
    if let Err(error) = presence::set_from_sync(&state.hs, requester, presence).await {
        tracing::debug!(%error, "a presence was not written");
    }
    Ok(())
}

/// Who syncs.
pub(super) fn client(requester: &Requester) -> Client {
    Client {
        user: requester.user,
        user_id: requester.user_id.clone(),
        device: requester.device,
    }
}

/// An answer that is JSON already.
pub(super) fn json(body: String) -> Response {
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::SignedOut => ApiError::new(
                StatusCode::UNAUTHORIZED,
                "M_UNKNOWN_TOKEN",
                "This device was signed out.",
            )
            .with("soft_logout", false),
            SyncError::UnknownPos => ApiError::new(
                StatusCode::BAD_REQUEST,
                "M_UNKNOWN_POS",
                "This connection is not known any more: begin anew, without `pos`.",
            ),
            SyncError::Storage(error) => error.into(),
        }
    }
}

impl From<FilterProblem> for ApiError {
    fn from(problem: FilterProblem) -> Self {
        match problem {
            FilterProblem::Unknown => ApiError::invalid_param("You have no filter with this id."),
            FilterProblem::Malformed(error) => {
                ApiError::invalid_param(format!("The filter cannot be used: {error}."))
            }
            FilterProblem::Storage(error) => error.into(),
        }
    }
}
