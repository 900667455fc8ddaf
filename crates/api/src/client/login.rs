//! Signing in, staying signed in and signing out: client-server API v1.19, "Legacy API", "Login", "Refreshing access tokens".

use homeserver::Requester;
use homeserver::accounts::login::{self, Identifier, LoginError};
use homeserver::accounts::sessions::{self, DeviceError, RefreshError, SignIn, SignedIn};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::interactive_auth;
use super::requester::locked;
use crate::router::{Route, route};
use crate::{ApiError, ClientAddress, Json, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_matrix/client/v3/login", flows),
        route(Method::POST, "/_matrix/client/v3/login", log_in),
        route(
            Method::POST,
            "/_matrix/client/v1/login/get_token",
            get_token,
        ),
        route(Method::POST, "/_matrix/client/v3/refresh", refresh),
        route(Method::POST, "/_matrix/client/v3/logout", log_out),
        route(Method::POST, "/_matrix/client/v3/logout/all", log_out_all),
    ]
}

/// `GET /login`: exactly what works.
async fn flows() -> Json<Value> {
    Json(json!({
        "flows": [
            { "type": "m.login.password" },
            { "type": "m.login.token", "get_login_token": true },
        ]
    }))
}

/// Who somebody says to be, in the spec's shape and in the deprecated ones from before it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawIdentifier {
    identifier: Option<Value>,
    /// Deprecated.
    user: Option<String>,
    /// Deprecated.
    medium: Option<String>,
    /// Deprecated.
    address: Option<String>,
}

/// Reads an identifier; none where there is none ("Identifier types").
pub(crate) fn identifier_of(raw: &RawIdentifier) -> Result<Option<Identifier>, ApiError> {
    let Some(identifier) = &raw.identifier else {
        return Ok(match (&raw.user, &raw.medium, &raw.address) {
            (Some(user), _, _) => Some(Identifier::User(user.clone())),
            (None, Some(medium), Some(address)) => Some(Identifier::Threepid {
                medium: medium.clone(),
                address: address.clone(),
            }),
            _ => None,
        });
    };
    let member = |name: &str| {
        identifier
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| ApiError::bad_json(format!("`identifier` has no text `{name}`.")))
    };
    match member("type")?.as_str() {
        "m.id.user" => Ok(Some(Identifier::User(member("user")?))),
        "m.id.thirdparty" => Ok(Some(Identifier::Threepid {
            medium: member("medium")?,
            address: member("address")?,
        })),
        "m.id.phone" => Ok(Some(Identifier::Threepid {
            medium: "msisdn".into(),
            // A canonical number has digits alone.
            address: member("phone")?
                .chars()
                .filter(char::is_ascii_digit)
                .collect(),
        })),
        _ => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_UNKNOWN",
            "`identifier` is of a type that this server does not know.",
        )),
    }
}

#[derive(Deserialize)]
struct LoginBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    identifier: RawIdentifier,
    password: Option<String>,
    token: Option<String>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

/// The answer to a login.
#[derive(Serialize)]
pub(crate) struct SignedInBody {
    user_id: String,
    access_token: String,
    device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
    /// Deprecated, but some clients still want it.
    home_server: String,
}

impl SignedInBody {
    pub(crate) fn new(state: &State, session: SignedIn) -> Self {
        Self {
            user_id: session.user_id,
            access_token: session.access_token,
            device_id: session.device_id,
            refresh_token: session.refresh_token,
            expires_in_ms: session.expires_in_ms,
            home_server: state.hs.server_name.clone(),
        }
    }
}

async fn log_in(
    state: axum::extract::State<State>,
    ClientAddress(address): ClientAddress,
    Json(body): Json<LoginBody>,
) -> Result<Json<SignedInBody>, ApiError> {
    let wish = SignIn {
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        refresh: body.refresh_token,
        address: Some(address),
    };
    let session = match body.kind.as_str() {
        "m.login.password" => {
            let identifier = identifier_of(&body.identifier)?
                .ok_or_else(|| ApiError::missing_param("The request has no `identifier`."))?;
            let password = body
                .password
                .ok_or_else(|| ApiError::missing_param("The request has no `password`."))?;
            login::login_by_password(&state.hs, &identifier, &password, wish).await
        }
        "m.login.token" => {
            let token = body
                .token
                .ok_or_else(|| ApiError::missing_param("The request has no `token`."))?;
            login::login_by_token(&state.hs, &token, wish).await
        }
        _ => {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "M_UNKNOWN",
                "This server has no such login type. `GET /login` lists those it has.",
            ));
        }
    }
    .map_err(login_error)?;
    Ok(Json(SignedInBody::new(&state, session)))
}

fn login_error(error: LoginError) -> ApiError {
    match error {
        LoginError::Refused => ApiError::forbidden(
            "The name or the password is wrong, or the token is no longer good.",
        ),
        LoginError::Locked => locked(),
        LoginError::TooMany(error) => error.into(),
        LoginError::Device(error) => error.into(),
        LoginError::Stopping(error) => error.into(),
        LoginError::Storage(error) => error.into(),
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::DeviceId => ApiError::invalid_param(format!("{error}.")),
            DeviceError::DisplayName => {
                ApiError::new(StatusCode::BAD_REQUEST, "M_TOO_LARGE", format!("{error}."))
            }
        }
    }
}

/// `POST /v1/login/get_token`: a token for another device of the requester.
async fn get_token(
    state: axum::extract::State<State>,
    requester: Requester,
    ClientAddress(address): ClientAddress,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    let endpoint = "POST login/get_token";
    interactive_auth::require_from(
        &state,
        &requester,
        body.get("auth"),
        endpoint,
        Some(address),
    )
    .await?;
    let login_token = login::new_login_token(&state.hs, &requester).await?;
    Ok(Json(json!({
        "login_token": login_token,
        "expires_in_ms": login::LOGIN_TOKEN_LIFETIME_MS,
    })))
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
}

async fn refresh(
    state: axum::extract::State<State>,
    Json(body): Json<RefreshBody>,
) -> Result<Json<Value>, ApiError> {
    match sessions::refresh(&state.hs, &body.refresh_token).await {
        Ok(new) => Ok(Json(json!({
            "access_token": new.access_token,
            "refresh_token": new.refresh_token,
            "expires_in_ms": new.expires_in_ms,
        }))),
        Err(RefreshError::Unknown) => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "M_UNKNOWN_TOKEN",
            "This refresh token is unknown or was used already. Sign in again.",
        )
        .with("soft_logout", false)),
        Err(RefreshError::Storage(error)) => Err(error.into()),
    }
}

async fn log_out(
    state: axum::extract::State<State>,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    sessions::logout(&state.hs, &requester).await?;
    Ok(Json(json!({})))
}

async fn log_out_all(
    state: axum::extract::State<State>,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    sessions::logout_all(&state.hs, requester.user).await?;
    Ok(Json(json!({})))
}
