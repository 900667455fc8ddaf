//! Making an account: client-server API v1.19, "Account registration and management", "Token-authenticated registration".

use homeserver::RegistrationMode;
use homeserver::accounts::interactive_auth::{DUMMY, REGISTRATION_TOKEN};
use homeserver::accounts::names::NameError;
use homeserver::accounts::passwords::{self, WeakPassword};
use homeserver::accounts::rate_limits::{self, Counted};
use homeserver::accounts::register::{self, Permit, RegisterError, Registration};
use homeserver::accounts::registration_tokens::{self, TokenError};
use homeserver::accounts::sessions::SignIn;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::interactive_auth::{self, Passed};
use super::login::SignedInBody;
use crate::router::{Route, route};
use crate::{ApiError, ClientAddress, Json, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/_matrix/client/v3/register", register),
        route(
            Method::GET,
            "/_matrix/client/v3/register/available",
            available,
        ),
        route(
            Method::GET,
            "/_matrix/client/v1/register/m.login.registration_token/validity",
            token_validity,
        ),
    ]
}

#[derive(Deserialize)]
struct RegisterQuery {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RegisterBody {
    username: Option<String>,
    password: Option<String>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
    #[serde(default)]
    refresh_token: bool,
    auth: Option<Value>,
}

async fn register(
    state: axum::extract::State<State>,
    Query(query): Query<RegisterQuery>,
    ClientAddress(address): ClientAddress,
    Json(body): Json<RegisterBody>,
) -> Result<Json<Value>, ApiError> {
    check_kind(query.kind.as_deref())?;
    let stages: &[&'static str] = match state.hs.settings.registration {
        RegistrationMode::Closed => return Err(closed()),
        RegistrationMode::Token => &[REGISTRATION_TOKEN],
        RegistrationMode::Open => &[DUMMY, REGISTRATION_TOKEN],
    };
    // What cannot be had is said before anybody is asked for a token.
    if let Some(username) = &body.username {
        register::check_available(&state.hs, username)
            .await
            .map_err(register_error)?;
    }
    if let Some(password) = &body.password {
        passwords::check(password, body.username.as_deref().unwrap_or_default())?;
    }
    let auth = interactive_auth::auth_body(body.auth.as_ref())?;
    if auth.stage.is_some() || auth.session.is_some() {
        rate_limits::take(&state.hs, Counted::RegisterFrom(address.into()))?;
    }
    let permit = match interactive_auth::require_for_registration(&state, &auth, stages).await? {
        Passed::RegistrationToken(token) => Permit::Token(token),
        Passed::Dummy | Passed::Password => Permit::Open,
    };
    let password = body
        .password
        .ok_or_else(|| ApiError::missing_param("The request has no `password`."))?;
    let registration = Registration {
        username: body.username,
        password,
        permit,
        sign_in: (!body.inhibit_login).then_some(SignIn {
            device_id: body.device_id,
            display_name: body.initial_device_display_name,
            refresh: body.refresh_token,
            address: Some(address),
        }),
    };
    let registered = register::register(&state.hs, registration)
        .await
        .map_err(register_error)?;
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

fn check_kind(kind: Option<&str>) -> Result<(), ApiError> {
    match kind {
        None | Some("user") => Ok(()),
        Some("guest") => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "M_GUEST_ACCESS_FORBIDDEN",
            "This server has no guest accounts.",
        )),
        Some(_) => Err(ApiError::invalid_param("`kind` must be `user` or `guest`.")),
    }
}

fn closed() -> ApiError {
    ApiError::forbidden("This server takes no registrations. Ask its administrator for an account.")
}

pub(crate) fn register_error(error: RegisterError) -> ApiError {
    let bad = |errcode, error: String| ApiError::new(StatusCode::BAD_REQUEST, errcode, error);
    match error {
        RegisterError::Name(NameError::Reserved) => bad(
            "M_EXCLUSIVE",
            "This name is reserved. Choose another.".into(),
        ),
        RegisterError::Name(error) => bad(
            "M_INVALID_USERNAME",
            format!("This name is not valid: {error}."),
        ),
        RegisterError::NameTaken => bad(
            "M_USER_IN_USE",
            "This name is taken. Choose another.".into(),
        ),
        RegisterError::Password(WeakPassword::TooLong) => {
            ApiError::invalid_param(format!("{}.", WeakPassword::TooLong))
        }
        RegisterError::Password(error) => error.into(),
        RegisterError::Token(error) => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "M_FORBIDDEN",
            format!("The registration token was not accepted: {error}."),
        ),
        RegisterError::Device(error) => error.into(),
        RegisterError::Closed => closed(),
        RegisterError::Stopping(error) => error.into(),
        RegisterError::Storage(error) => error.into(),
    }
}

#[derive(Deserialize)]
struct AvailableQuery {
    username: Option<String>,
}

async fn available(
    state: axum::extract::State<State>,
    ClientAddress(address): ClientAddress,
    Query(query): Query<AvailableQuery>,
) -> Result<Json<Value>, ApiError> {
    let username = query
        .username
        .ok_or_else(|| ApiError::missing_param("The request has no `username`."))?;
    if state.hs.settings.registration == RegistrationMode::Closed {
        return Err(closed());
    }
    rate_limits::take(&state.hs, Counted::LookFrom(address.into()))?;
    register::check_available(&state.hs, &username)
        .await
        .map_err(register_error)?;
    Ok(Json(json!({ "available": true })))
}

#[derive(Deserialize)]
struct ValidityQuery {
    token: Option<String>,
}

async fn token_validity(
    state: axum::extract::State<State>,
    ClientAddress(address): ClientAddress,
    Query(query): Query<ValidityQuery>,
) -> Result<Json<Value>, ApiError> {
    let token = query
        .token
        .ok_or_else(|| ApiError::missing_param("The request has no `token`."))?;
    if state.hs.settings.registration == RegistrationMode::Closed {
        return Err(closed());
    }
    rate_limits::take(&state.hs, Counted::LookFrom(address.into()))?;
    match registration_tokens::check_token(&state.hs, &token).await {
        Ok(_) => Ok(Json(json!({ "valid": true }))),
        Err(TokenError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(Json(json!({ "valid": false }))),
    }
}
