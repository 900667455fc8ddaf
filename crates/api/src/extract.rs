//! How requests are read, with the spec's errors for what cannot be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use homeserver::Homeserver;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ApiError;

/// What handlers share.
#[derive(Clone)]
pub struct State {
    pub hs: Arc<Homeserver>,
    /// What syncs remember between requests.
    pub sync: Arc<sync::Sync>,
}

impl State {
    pub fn new(hs: Arc<Homeserver>) -> Self {
        let sync = Arc::new(sync::Sync::new(hs.db.clone()));
        Self { hs, sync }
    }
}

impl FromRef<State> for Arc<sync::Sync> {
    fn from_ref(state: &State) -> Self {
        state.sync.clone()
    }
}

impl FromRef<State> for Arc<Homeserver> {
    fn from_ref(state: &State) -> Self {
        state.hs.clone()
    }
}

/// A JSON body: an answer's, or a request's. A request's body must be an object, of at most 64 levels of nesting.
/// An empty body reads as `{}`, as clients send none where all members are optional.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

/// Request bodies: far above an event's 64 KiB, as key uploads and backups are larger. Uploads of media are apart.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Nesting of a request's JSON: clients need about 10, the parser's stack bears far more.
const JSON_DEPTH_MAX: usize = 100;

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read_body(request).await?;
        parse_json(&bytes).map(Json)
    }
}

/// Reads a body within its bound.
pub async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|_| {
            ApiError::too_large(format!(
                "The body is larger than {BODY_BYTES_MAX} bytes or broke off."
            ))
        })
}

/// Reads JSON, telling what is no JSON (`M_NOT_JSON`) from what has the wrong shape (`M_BAD_JSON`).
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    if depth(bytes) > JSON_DEPTH_MAX {
        return Err(ApiError::bad_json(format!(
            "The JSON is nested more than {JSON_DEPTH_MAX} levels deep."
        )));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| ApiError::not_json("The body is not UTF-8."))?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(ApiError::not_json(format!(
            "The body is not JSON: {error}."
        )));
    }
    serde_json::from_str(text)
        .map_err(|error| ApiError::bad_json(format!("The body has the wrong shape: {error}.")))
}

/// The deepest nesting of brackets outside of strings.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query string, typed. Repeated names need `Vec` members read by [`pairs`].
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|error| {
                ApiError::invalid_param(format!(
                    "The query string has the wrong shape: {}.",
                    error.body_text()
                ))
            })
    }
}

/// The path's variables by their names in the route, percent-decoded.
#[derive(Debug, Clone)]
pub struct PathArgs(HashMap<String, String>);

impl PathArgs {
    /// A variable of the route. A name that the route lacks is a defect of ours.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .map(String::as_str)
            .unwrap_or_else(|| panic!("the route has no variable {name}"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathArgs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(args)| PathArgs(args))
            .map_err(|_| ApiError::invalid_param("The path is not valid percent-encoded UTF-8."))
    }
}

/// The address of the client, behind proxies that the settings trust. Put into the request by the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // Tests call the router without a listener.
        let unknown = ClientAddress(IpAddr::from([127, 0, 0, 1]));
        Ok(parts
            .extensions
            .get::<ClientAddress>()
            .copied()
            .unwrap_or(unknown))
    }
}
