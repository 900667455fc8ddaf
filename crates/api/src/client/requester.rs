//! Who makes a request: client-server API v1.19, "Using access tokens", "Soft logout", "Account locking", "Account suspension".

use axum::extract::{FromRequestParts, MatchedPath};
use homeserver::Requester;
use homeserver::accounts::sessions::{self, AuthenticateError};
use http::request::Parts;
use http::{Method, StatusCode, header};

use crate::{ApiError, ClientAddress, State};

/// Handlers name [`Requester`] as an argument where a request needs an access token.
impl FromRequestParts<State> for Requester {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let token = access_token(parts)?.ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "M_MISSING_TOKEN",
                "This request needs an access token.",
            )
        })?;
        authenticate(parts, state, &token).await
    }
}

/// The requester where the request carries an access token, which must then be good.
pub struct OptionalRequester(pub Option<Requester>);

impl FromRequestParts<State> for OptionalRequester {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        match access_token(parts)? {
            None => Ok(Self(None)),
            Some(token) => authenticate(parts, state, &token).await.map(Some).map(Self),
        }
    }
}

/// Signing out is open to locked accounts too.
const LOCKED_MAY: [&str; 2] = ["/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all"];

/// What a suspended account may not do: speak, be invited in or change how it looks ("Account suspension").
const SUSPENDED_MAY_NOT: [(Method, &str); 11] = [
    (Method::PUT, "/_matrix/client/v3/rooms/{roomId}/send/"),
    (Method::PUT, "/_matrix/client/v3/rooms/{roomId}/state/"),
    (Method::POST, "/_matrix/client/v3/rooms/{roomId}/join"),
    (Method::POST, "/_matrix/client/v3/rooms/{roomId}/invite"),
    (Method::POST, "/_matrix/client/v3/rooms/{roomId}/upgrade"),
    (Method::PUT, "/_matrix/client/v3/rooms/{roomId}/typing/"),
    (Method::POST, "/_matrix/client/v3/join/"),
    (Method::POST, "/_matrix/client/v3/knock/"),
    (Method::POST, "/_matrix/client/v3/createRoom"),
    (Method::PUT, "/_matrix/client/v3/profile/"),
    (Method::DELETE, "/_matrix/client/v3/profile/"),
];

async fn authenticate(
    parts: &mut Parts,
    state: &State,
    token: &str,
) -> Result<Requester, ApiError> {
    let address = parts
        .extensions
        .get::<ClientAddress>()
        .map(|client| client.0);
    let path = parts
        .extensions
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    match sessions::authenticate(&state.hs, token, address).await {
        Ok(requester) => {
            if requester.is_suspended && is_barred(&parts.method, path) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "M_USER_SUSPENDED",
                    "This account is suspended: it can read, but not write. Ask the server's administrator.",
                ));
            }
            Ok(requester)
        }
        Err(AuthenticateError::Locked(requester)) if LOCKED_MAY.contains(&path) => Ok(*requester),
        Err(error) => Err(refusal(error)),
    }
}

fn is_barred(method: &Method, path: &str) -> bool {
    SUSPENDED_MAY_NOT
        .iter()
        .any(|(barred, prefix)| method == barred && path.starts_with(prefix))
}

fn refusal(error: AuthenticateError) -> ApiError {
    let unauthorized =
        |errcode, error: &str| ApiError::new(StatusCode::UNAUTHORIZED, errcode, error);
    match error {
        AuthenticateError::Unknown => unauthorized(
            "M_UNKNOWN_TOKEN",
            "This session was signed out. Sign in again.",
        )
        .with("soft_logout", false),
        AuthenticateError::Expired => unauthorized(
            "M_UNKNOWN_TOKEN",
            "The access token has expired. Refresh it.",
        )
        .with("soft_logout", true),
        AuthenticateError::Locked(_) => locked(),
        AuthenticateError::Storage(error) => error.into(),
    }
}

/// The answer to a locked account ("Account locking").
pub(crate) fn locked() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "M_USER_LOCKED",
        "This account is locked. Ask the server's administrator.",
    )
    .with("soft_logout", true)
}

/// The access token of a request: the header's, else the query's, which is deprecated.
fn access_token(parts: &Parts) -> Result<Option<String>, ApiError> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        return match text.split_once(' ') {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
            {
                Ok(Some(token.trim().to_owned()))
            }
            _ => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "M_MISSING_TOKEN",
                "The Authorization header must be `Bearer` and an access token.",
            )),
        };
    }
    #[derive(serde::Deserialize)]
    struct Deprecated {
        access_token: Option<String>,
    }
    let query = axum::extract::Query::<Deprecated>::try_from_uri(&parts.uri);
    Ok(query.ok().and_then(|query| query.0.access_token))
}
