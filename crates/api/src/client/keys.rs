//! Keys of devices and users: client-server API v1.19, "End-to-End Encryption", "Key management API" and
//! "Cross-signing".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State as Shared;
use homeserver::encryption::claim_keys::{self, ClaimError};
use homeserver::encryption::cross_signing::{self, CrossSigningError, CrossSigningUpload};
use homeserver::encryption::key_changes;
use homeserver::encryption::query_keys::{self, QueryError};
use homeserver::encryption::signatures::{self, Refusal, SignaturesError, SignedKeys};
use homeserver::encryption::upload_keys::{self, KeyUpload, UploadError};
use homeserver::{Homeserver, Requester};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sync::Token;

use super::interactive_auth;
use crate::router::{Route, route};
use crate::{ApiError, Json, Query, State};

type Object = Map<String, Value>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/_matrix/client/v3/keys/device_signing/upload",
            upload_cross_signing_keys,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/keys/signatures/upload",
            upload_signatures,
        ),
        route(Method::GET, "/_matrix/client/v3/keys/changes", changes),
        route(Method::POST, "/_matrix/client/v3/keys/claim", claim),
        route(Method::POST, "/_matrix/client/v3/keys/query", query),
        route(Method::POST, "/_matrix/client/v3/keys/upload", upload),
    ]
}

#[derive(Deserialize)]
struct UploadBody {
    device_keys: Option<Object>,
    one_time_keys: Option<Object>,
    fallback_keys: Option<Object>,
}

async fn upload(
    Shared(hs): Shared<Arc<Homeserver>>,
    requester: Requester,
    Json(body): Json<UploadBody>,
) -> Result<Json<Value>, ApiError> {
    let upload = KeyUpload {
        device_keys: body.device_keys,
        one_time_keys: body.one_time_keys.unwrap_or_default(),
        fallback_keys: body.fallback_keys.unwrap_or_default(),
    };
    let counts = upload_keys::upload_keys(&hs, &requester, upload).await?;
    Ok(Json(json!({ "one_time_key_counts": counts })))
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let sentence = format!("{error}.");
        match error {
            UploadError::Malformed(what) => ApiError::bad_json(what),
            UploadError::OtherDevice => ApiError::invalid_param(sentence),
            UploadError::Conflict { .. } => ApiError::invalid_param(sentence),
            UploadError::TooLarge => ApiError::too_large(sentence),
            UploadError::SignedOut => {
                ApiError::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", sentence)
            }
            UploadError::Storage(error) => error.into(),
        }
    }
}

#[derive(Deserialize)]
struct QueryBody {
    /// By user id: device ids, or none for all.
    device_keys: BTreeMap<String, BTreeSet<String>>,
}

async fn query(
    Shared(hs): Shared<Arc<Homeserver>>,
    requester: Requester,
    Json(body): Json<QueryBody>,
) -> Result<Json<Value>, ApiError> {
    let keys = query_keys::query_keys(&hs, &requester, body.device_keys).await?;
    Ok(Json(json!({
        "device_keys": keys.device_keys,
        "master_keys": keys.master_keys,
        "self_signing_keys": keys.self_signing_keys,
        "user_signing_keys": keys.user_signing_keys,
        "failures": keys.failures,
    })))
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let sentence = format!("{error}.");
        match error {
            QueryError::TooManyUsers => ApiError::too_large(sentence),
            QueryError::NotAUserId(_) => ApiError::invalid_param(sentence),
            QueryError::Storage(error) => error.into(),
        }
    }
}

#[derive(Deserialize)]
struct ClaimBody {
    one_time_keys: claim_keys::Wanted,
}

async fn claim(
    Shared(hs): Shared<Arc<Homeserver>>,
    _: Requester,
    Json(body): Json<ClaimBody>,
) -> Result<Json<Value>, ApiError> {
    let claimed = claim_keys::claim_keys(&hs, body.one_time_keys).await?;
    Ok(Json(json!({
        "one_time_keys": claimed.one_time_keys,
        "failures": claimed.failures,
    })))
}

impl From<ClaimError> for ApiError {
    fn from(error: ClaimError) -> Self {
        let sentence = format!("{error}.");
        match error {
            ClaimError::TooMany => ApiError::too_large(sentence),
            ClaimError::Query(error) => error.into(),
            ClaimError::Storage(error) => error.into(),
        }
    }
}

#[derive(Deserialize)]
struct ChangesQuery {
    from: Option<String>,
    to: Option<String>,
}

async fn changes(
    Shared(hs): Shared<Arc<Homeserver>>,
    requester: Requester,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Value>, ApiError> {
    let from = query
        .from
        .ok_or_else(|| ApiError::missing_param("`from` is missing."))?;
    let from = Token::parse(&from).ok_or_else(|| not_a_token("from"))?;
    // What changed after `to` is told too, as only the newest change of each user is kept.
    if let Some(to) = query.to
        && Token::parse(&to).is_none()
    {
        return Err(not_a_token("to"));
    }
    let told = key_changes::key_changes(&hs, &requester, from.position).await?;
    Ok(Json(json!({ "changed": told.changed, "left": told.left })))
}

fn not_a_token(name: &str) -> ApiError {
    ApiError::invalid_param(format!("`{name}` is no token that /sync gave."))
}

#[derive(Deserialize)]
struct CrossSigningBody {
    master_key: Option<Object>,
    self_signing_key: Option<Object>,
    user_signing_key: Option<Object>,
    auth: Option<Value>,
}

async fn upload_cross_signing_keys(
    Shared(state): Shared<State>,
    requester: Requester,
    Json(body): Json<CrossSigningBody>,
) -> Result<Json<Value>, ApiError> {
    let upload = CrossSigningUpload {
        master_key: body.master_key,
        self_signing_key: body.self_signing_key,
        user_signing_key: body.user_signing_key,
    };
    let set = async |authenticated| {
        let upload = upload.clone();
        cross_signing::upload_cross_signing_keys(&state.hs, &requester, upload, authenticated).await
    };
    match set(false).await {
        Err(CrossSigningError::NeedsAuthentication) => {
            let endpoint = "POST keys/device_signing/upload";
            interactive_auth::require(&state, &requester, body.auth.as_ref(), endpoint).await?;
            set(true).await?;
        }
        other => other?,
    }
    Ok(Json(json!({})))
}

impl From<CrossSigningError> for ApiError {
    fn from(error: CrossSigningError) -> Self {
        let sentence = format!("{error}.");
        let bad = |errcode| ApiError::new(StatusCode::BAD_REQUEST, errcode, sentence.clone());
        match error {
            CrossSigningError::Malformed(what) => ApiError::invalid_param(what),
            CrossSigningError::NoMasterKey => bad("M_MISSING_PARAM"),
            CrossSigningError::InvalidSignature(_)
            | CrossSigningError::InvalidDeviceSignature(_) => bad("M_INVALID_SIGNATURE"),
            CrossSigningError::IsADeviceId | CrossSigningError::NeedsAuthentication => {
                ApiError::forbidden(sentence)
            }
            CrossSigningError::Storage(error) => error.into(),
        }
    }
}

async fn upload_signatures(
    Shared(hs): Shared<Arc<Homeserver>>,
    requester: Requester,
    Json(signed): Json<SignedKeys>,
) -> Result<Json<Value>, ApiError> {
    let refusals = signatures::upload_signatures(&hs, &requester, signed).await?;
    let failures: BTreeMap<_, BTreeMap<_, _>> = refusals
        .into_iter()
        .map(|(user_id, refused)| {
            let told = refused
                .into_iter()
                .map(|(key_id, refusal)| (key_id, failure(refusal)));
            (user_id, told.collect())
        })
        .collect();
    Ok(Json(json!({ "failures": failures })))
}

fn failure(refusal: Refusal) -> Value {
    let errcode = match refusal {
        Refusal::UnknownKey => "M_NOT_FOUND",
        Refusal::OtherKey => "M_INVALID_PARAM",
        Refusal::NoSignature | Refusal::InvalidSignature => "M_INVALID_SIGNATURE",
    };
    json!({ "errcode": errcode, "error": format!("{refusal}.") })
}

impl From<SignaturesError> for ApiError {
    fn from(error: SignaturesError) -> Self {
        match error {
            SignaturesError::TooMany => ApiError::too_large(format!("{error}.")),
            SignaturesError::Storage(error) => error.into(),
        }
    }
}
