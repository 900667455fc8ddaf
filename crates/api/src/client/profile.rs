//! Profiles: client-server API v1.19, "Profiles".

use homeserver::Requester;
use homeserver::profile::{ProfileError, delete_field, profile, put_field};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::account_data::{only_own, sentence};
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    const FIELD: &str = "/_matrix/client/v3/profile/{userId}/{keyName}";
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/profile/{userId}",
            get_profile,
        ),
        route(Method::GET, FIELD, get_profile_field),
        route(Method::PUT, FIELD, put_profile_field),
        route(Method::DELETE, FIELD, delete_profile_field),
    ]
}

type Shared = axum::extract::State<State>;

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        let sentence = sentence(&error);
        let bad = |errcode| ApiError::new(StatusCode::BAD_REQUEST, errcode, sentence.clone());
        match error {
            ProfileError::FieldTooLong => bad("M_KEY_TOO_LARGE"),
            ProfileError::TooLarge => bad("M_PROFILE_TOO_LARGE"),
            ProfileError::BadField | ProfileError::BadDisplayname | ProfileError::BadAvatar => {
                bad("M_INVALID_PARAM")
            }
            ProfileError::Storage(error) => error.into(),
        }
    }
}

async fn load(state: &State, path: &PathArgs) -> Result<Map<String, Value>, ApiError> {
    let found = profile(&state.hs, path.get("userId")).await?;
    found.ok_or_else(|| ApiError::not_found("This server knows no profile of such a user."))
}

async fn get_profile(
    axum::extract::State(state): Shared,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(Value::Object(load(&state, &path).await?)))
}

async fn get_profile_field(
    axum::extract::State(state): Shared,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let field = path.get("keyName");
    let value = load(&state, &path).await?.remove(field);
    let value = value.ok_or_else(|| ApiError::not_found("The profile has no such field."))?;
    Ok(Json(Value::Object(Map::from_iter([(
        field.to_owned(),
        value,
    )]))))
}

async fn put_profile_field(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(mut body): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let field = path.get("keyName");
    let value = body.remove(field).ok_or_else(|| {
        ApiError::missing_param(format!(
            "The body has no member {field:?}, which the path names."
        ))
    })?;
    put_field(&state.hs, &requester, field, value).await?;
    Ok(Json(json!({})))
}

async fn delete_profile_field(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    delete_field(&state.hs, &requester, path.get("keyName")).await?;
    Ok(Json(json!({})))
}
