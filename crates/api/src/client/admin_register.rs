//! Registration by programs that know the shared secret: `/_synapse/admin/v1/register`, as Synapse documents it.
//! Bridges' installers and test suites use it. Without a secret in the settings there is no such endpoint.

use homeserver::accounts::sessions::SignIn;
use homeserver::accounts::shared_secret::{self, SharedSecretError, Wanted};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::login::SignedInBody;
use super::register::register_error;
use crate::router::{Route, route};
use crate::{ApiError, ClientAddress, Json, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_synapse/admin/v1/register", nonce),
        route(Method::POST, "/_synapse/admin/v1/register", register),
    ]
}

async fn nonce(state: axum::extract::State<State>) -> Result<Json<Value>, ApiError> {
    let nonce = shared_secret::new_nonce(&state.hs).map_err(refusal)?;
    Ok(Json(json!({ "nonce": nonce })))
}

#[derive(Deserialize)]
struct RegisterBody {
    nonce: String,
    username: String,
    password: String,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
}

async fn register(
    state: axum::extract::State<State>,
    ClientAddress(address): ClientAddress,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    // Whether the endpoint is there at all comes before what the body looks like.
    if state.hs.settings.registration_shared_secret.is_none() {
        return Err(ApiError::unrecognized());
    }
    let body: RegisterBody = serde_json::from_value(body)
        .map_err(|error| ApiError::bad_json(format!("The body has the wrong shape: {error}.")))?;
    let wanted = Wanted {
        nonce: body.nonce,
        username: body.username,
        password: body.password,
        admin: body.admin,
        user_type: body.user_type,
        mac: body.mac,
        sign_in: (!body.inhibit_login).then_some(SignIn {
            device_id: body.device_id,
            display_name: body.initial_device_display_name,
            refresh: false,
            address: Some(address),
        }),
    };
    let registered = shared_secret::register(&state.hs, wanted)
        .await
        .map_err(refusal)?;
    match registered.session {
        Some(session) => serde_json::to_value(SignedInBody::new(&state, session))
            .map(Json)
            .map_err(|error| ApiError::not_json(error.to_string())),
        None => Ok(Json(json!({
            "user_id": registered.user_id,
            "home_server": state.hs.server_name,
        }))),
    }
}

fn refusal(error: SharedSecretError) -> ApiError {
    match error {
        SharedSecretError::TurnedOff => ApiError::unrecognized(),
        SharedSecretError::Nonce => ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_UNKNOWN",
            "The nonce is unknown, was used already or is older than a minute. Ask for another.",
        ),
        SharedSecretError::Mac => ApiError::forbidden("The mac is not that of the shared secret."),
        SharedSecretError::ZeroByte(name) => {
            ApiError::invalid_param(format!("`{name}` must not hold a zero byte."))
        }
        SharedSecretError::Register(error) => register_error(error),
    }
}
