//! One's own account: client-server API v1.19, "Account management", "Account deactivation", "Current account information".

use homeserver::Requester;
use homeserver::accounts::change_password::{self, ChangePasswordError};
use homeserver::accounts::{names, passwords};
use homeserver::deactivation::{self, DeactivateError};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::interactive_auth;
use crate::router::{Route, route};
use crate::{ApiError, ClientAddress, Json, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_matrix/client/v3/account/whoami", whoami),
        route(
            Method::POST,
            "/_matrix/client/v3/account/password",
            change_password,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/account/deactivate",
            deactivate,
        ),
    ]
}

async fn whoami(requester: Requester) -> Json<Value> {
    Json(json!({
        "user_id": requester.user_id,
        "device_id": requester.device_id,
        "is_guest": requester.is_guest,
    }))
}

#[derive(Deserialize)]
struct PasswordBody {
    new_password: String,
    /// Whether all other devices are signed out: yes, unless the client says no.
    logout_devices: Option<bool>,
    auth: Option<Value>,
}

async fn change_password(
    state: axum::extract::State<State>,
    requester: Requester,
    ClientAddress(address): ClientAddress,
    Json(body): Json<PasswordBody>,
) -> Result<Json<Value>, ApiError> {
    // What cannot be had is said before anybody is asked to authenticate.
    passwords::check(&body.new_password, names::localpart(&requester.user_id))?;
    let endpoint = "POST account/password";
    let (auth, address) = (body.auth.as_ref(), Some(address));
    interactive_auth::require_from(&state, &requester, auth, endpoint, address).await?;
    let sign_out = body.logout_devices.unwrap_or(true);
    change_password::change_password(&state.hs, &requester, &body.new_password, sign_out)
        .await
        .map_err(|error| match error {
            ChangePasswordError::Password(error) => ApiError::from(error),
            ChangePasswordError::Stopping(error) => error.into(),
            ChangePasswordError::Storage(error) => error.into(),
        })?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct DeactivateBody {
    #[serde(default)]
    erase: bool,
    auth: Option<Value>,
}

async fn deactivate(
    state: axum::extract::State<State>,
    requester: Requester,
    ClientAddress(address): ClientAddress,
    Json(body): Json<DeactivateBody>,
) -> Result<Json<Value>, ApiError> {
    let endpoint = "POST account/deactivate";
    let (auth, address) = (body.auth.as_ref(), Some(address));
    interactive_auth::require_from(&state, &requester, auth, endpoint, address).await?;
    match deactivation::deactivate(&state.hs, &requester.user_id, body.erase).await {
        // No identity server was ever told of an address.
        Ok(()) => Ok(Json(json!({ "id_server_unbind_result": "no-support" }))),
        Err(DeactivateError::NoSuchAccount) => {
            Err(ApiError::not_found("There is no such account."))
        }
        Err(DeactivateError::Storage(error)) => Err(error.into()),
    }
}
