//! Server administration: client-server API v1.19, "Server administration" (locking and suspending accounts).

use homeserver::Requester;
use homeserver::accounts::standing::{self, StandingError};
use http::Method;
use serde_json::{Value, json};
use storage::accounts::Account;

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v1/admin/lock/{userId}",
            is_locked,
        ),
        route(Method::PUT, "/_matrix/client/v1/admin/lock/{userId}", lock),
        route(
            Method::GET,
            "/_matrix/client/v1/admin/suspend/{userId}",
            is_suspended,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v1/admin/suspend/{userId}",
            suspend,
        ),
    ]
}

async fn is_locked(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let account = moderated(&state, &requester, path.get("userId")).await?;
    Ok(Json(json!({ "locked": account.locked })))
}

async fn lock(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    let account = moderated(&state, &requester, path.get("userId")).await?;
    let locked = flag(&body, "locked")?;
    standing::set_locked(&state.hs, &account.user_id, locked)
        .await
        .map_err(refusal)?;
    Ok(Json(json!({ "locked": locked })))
}

async fn is_suspended(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let account = moderated(&state, &requester, path.get("userId")).await?;
    Ok(Json(json!({ "suspended": account.suspended })))
}

async fn suspend(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    let account = moderated(&state, &requester, path.get("userId")).await?;
    let suspended = flag(&body, "suspended")?;
    standing::set_suspended(&state.hs, &account.user_id, suspended)
        .await
        .map_err(refusal)?;
    Ok(Json(json!({ "suspended": suspended })))
}

fn flag(body: &Value, name: &str) -> Result<bool, ApiError> {
    body.get(name)
        .and_then(Value::as_bool)
        .ok_or_else(|| ApiError::bad_json(format!("The request has no true or false `{name}`.")))
}

/// The account that an administrator may lock or suspend. Authorization comes first: nobody else learns who has an account.
async fn moderated(
    state: &State,
    requester: &Requester,
    user_id: &str,
) -> Result<Account, ApiError> {
    if !requester.is_admin {
        return Err(ApiError::forbidden(
            "You are not an administrator of this server.",
        ));
    }
    if !state.hs.is_local(user_id) {
        return Err(ApiError::invalid_param(
            "This user does not belong to this server.",
        ));
    }
    let account = standing::account(&state.hs, user_id)
        .await
        .map_err(refusal)?;
    if account.deactivated {
        return Err(refusal(StandingError::Deactivated));
    }
    if account.is_admin {
        return Err(ApiError::forbidden("This is an administrator's account."));
    }
    Ok(account)
}

fn refusal(error: StandingError) -> ApiError {
    match error {
        StandingError::NoSuchAccount | StandingError::Deactivated => {
            ApiError::not_found("There is no such account.")
        }
        StandingError::Storage(error) => error.into(),
    }
}
