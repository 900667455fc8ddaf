//! Account data and tags: client-server API v1.19, "Client Config" and "Room Tagging".

use homeserver::Requester;
use homeserver::account_data::{
    AccountDataError, account_data, delete_account_data, delete_tag, put_account_data, put_tag,
    tags,
};
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(super) fn routes() -> Vec<Route> {
    const GLOBAL: &str = "/_matrix/client/v3/user/{userId}/account_data/{type}";
    const ROOM: &str = "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}";
    const TAGS: &str = "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags";
    const TAG: &str = "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}";
    // Deleting is MSC3391: not in the spec yet, and asked for under its unstable name.
    const GONE: &str =
        "/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}";
    const GONE_ROOM: &str = "/_matrix/client/unstable/org.matrix.msc3391/user/{userId}/rooms/{roomId}/account_data/{type}";
    vec![
        route(Method::GET, GLOBAL, get_global),
        route(Method::PUT, GLOBAL, put_global),
        route(Method::GET, ROOM, get_room),
        route(Method::PUT, ROOM, put_room),
        route(Method::GET, TAGS, get_tags),
        route(Method::PUT, TAG, put_room_tag),
        route(Method::DELETE, TAG, delete_room_tag),
        route(Method::DELETE, GONE, delete_global),
        route(Method::DELETE, GONE_ROOM, delete_room),
    ]
}

type Shared = axum::extract::State<State>;

/// Refuses what is another user's.
pub(super) fn only_own(requester: &Requester, user_id: &str) -> Result<(), ApiError> {
    if requester.user_id == user_id {
        return Ok(());
    }
    Err(ApiError::forbidden("This belongs to another user."))
}

impl From<AccountDataError> for ApiError {
    fn from(error: AccountDataError) -> Self {
        let sentence = sentence(&error);
        match error {
            AccountDataError::Reserved(_) => {
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", sentence)
            }
            AccountDataError::BadType | AccountDataError::BadTag => {
                ApiError::invalid_param(sentence)
            }
            AccountDataError::BadOrder => ApiError::bad_json(sentence),
            AccountDataError::TooLarge(_) => ApiError::too_large(sentence),
            AccountDataError::Full => {
                ApiError::new(StatusCode::FORBIDDEN, "M_RESOURCE_LIMIT_EXCEEDED", sentence)
            }
            AccountDataError::UnknownRoom => ApiError::not_found(sentence),
            AccountDataError::Storage(error) => error.into(),
        }
    }
}

/// An error as a sentence for people: a capital first, a full stop last.
pub(super) fn sentence(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

async fn get(
    state: &State,
    requester: &Requester,
    path: &PathArgs,
    room_id: Option<&str>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    only_own(requester, path.get("userId"))?;
    let content = account_data(&state.hs, requester, room_id, path.get("type")).await?;
    // What is stored was written as JSON.
    let text = content.and_then(|content| String::from_utf8(content).ok());
    text.and_then(|text| RawValue::from_string(text).ok())
        .map(Json)
        .ok_or_else(|| ApiError::not_found("There is no account data of this type."))
}

async fn get_global(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Box<RawValue>>, ApiError> {
    get(&state, &requester, &path, None).await
}

async fn get_room(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Box<RawValue>>, ApiError> {
    get(&state, &requester, &path, Some(room_id(&path)?)).await
}

async fn put_global(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(content): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    put_account_data(&state.hs, &requester, None, path.get("type"), content).await?;
    Ok(Json(json!({})))
}

async fn put_room(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(content): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let room_id = room_id(&path)?;
    put_account_data(
        &state.hs,
        &requester,
        Some(room_id),
        path.get("type"),
        content,
    )
    .await?;
    Ok(Json(json!({})))
}

async fn delete_global(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    delete_account_data(&state.hs, &requester, None, path.get("type")).await?;
    Ok(Json(json!({})))
}

async fn delete_room(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let room_id = room_id(&path)?;
    delete_account_data(&state.hs, &requester, Some(room_id), path.get("type")).await?;
    Ok(Json(json!({})))
}

async fn get_tags(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    let tags = tags(&state.hs, &requester, room_id(&path)?).await?;
    Ok(Json(json!({ "tags": tags })))
}

async fn put_room_tag(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(info): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    put_tag(
        &state.hs,
        &requester,
        room_id(&path)?,
        path.get("tag"),
        info,
    )
    .await?;
    Ok(Json(json!({})))
}

async fn delete_room_tag(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    only_own(&requester, path.get("userId"))?;
    delete_tag(&state.hs, &requester, room_id(&path)?, path.get("tag")).await?;
    Ok(Json(json!({})))
}

fn room_id(path: &PathArgs) -> Result<&str, ApiError> {
    let room_id = path.get("roomId");
    if room_id.starts_with('!') && !room_id.contains('\0') {
        return Ok(room_id);
    }
    Err(ApiError::invalid_param(format!(
        "{room_id:?} is no room id."
    )))
}
