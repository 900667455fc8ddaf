//! Aliases and the published room directory: client-server API v1.19, "Room aliases", "Published room directory".

use homeserver::Requester;
use homeserver::rooms::aliases::{
    PublicRoom, PublicRoomsFilter, add_alias, aliases_of, is_published, public_rooms, remove_alias,
    resolve_alias, set_published,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/directory/list/room/{roomId}",
            get_listing,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/directory/list/room/{roomId}",
            put_listing,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/directory/room/{roomAlias}",
            get_alias,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/directory/room/{roomAlias}",
            put_alias,
        ),
        route(
            Method::DELETE,
            "/_matrix/client/v3/directory/room/{roomAlias}",
            delete_alias,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/publicRooms",
            get_public_rooms,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/publicRooms",
            post_public_rooms,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/aliases",
            get_aliases,
        ),
    ]
}

type Shared = axum::extract::State<State>;

/// The alias of a path, checked for its shape.
fn alias_of(path: &PathArgs) -> Result<&str, ApiError> {
    let alias = path.get("roomAlias");
    let is_alias = alias.starts_with('#')
        && alias
            .split_once(':')
            .is_some_and(|(local, server)| local.len() > 1 && !server.is_empty());
    if is_alias && alias.len() <= 255 && !alias.contains('\0') {
        Ok(alias)
    } else {
        Err(ApiError::invalid_param(format!(
            "{alias:?} is not a room alias."
        )))
    }
}

async fn get_alias(
    axum::extract::State(state): Shared,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let room = resolve_alias(&state.hs, alias_of(&path)?).await?;
    let room = room.ok_or_else(|| ApiError::not_found("There is no room with this alias."))?;
    Ok(Json(
        json!({ "room_id": room.room_id, "servers": [state.hs.server_name] }),
    ))
}

#[derive(Deserialize)]
struct AliasBody {
    room_id: String,
}

async fn put_alias(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<AliasBody>,
) -> Result<Json<Value>, ApiError> {
    add_alias(&state.hs, &requester, alias_of(&path)?, &body.room_id).await?;
    Ok(Json(json!({})))
}

async fn delete_alias(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    remove_alias(&state.hs, &requester, alias_of(&path)?).await?;
    Ok(Json(json!({})))
}

async fn get_aliases(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let aliases = aliases_of(&state.hs, &requester, path.get("roomId")).await?;
    Ok(Json(json!({ "aliases": aliases })))
}

async fn get_listing(
    axum::extract::State(state): Shared,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let published = is_published(&state.hs, path.get("roomId")).await?;
    Ok(Json(
        json!({ "visibility": if published { "public" } else { "private" } }),
    ))
}

#[derive(Deserialize)]
struct ListingBody {
    visibility: Option<String>,
}

async fn put_listing(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<ListingBody>,
) -> Result<Json<Value>, ApiError> {
    let published = match body.visibility.as_deref() {
        None | Some("public") => true,
        Some("private") => false,
        Some(other) => {
            return Err(ApiError::invalid_param(format!(
                "`visibility` can't be {other:?}."
            )));
        }
    };
    set_published(&state.hs, &requester, path.get("roomId"), published).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct PublicRoomsQuery {
    limit: Option<u64>,
    since: Option<String>,
    server: Option<String>,
}

#[derive(Default, Deserialize)]
struct PublicRoomsBody {
    limit: Option<u64>,
    since: Option<String>,
    filter: Option<FilterBody>,
    #[serde(default)]
    include_all_networks: bool,
    third_party_instance_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct FilterBody {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

async fn get_public_rooms(
    axum::extract::State(state): Shared,
    Query(query): Query<PublicRoomsQuery>,
) -> Result<Json<Value>, ApiError> {
    let body = PublicRoomsBody {
        limit: query.limit,
        since: query.since,
        ..PublicRoomsBody::default()
    };
    list(&state, query.server.as_deref(), body).await
}

async fn post_public_rooms(
    axum::extract::State(state): Shared,
    _requester: Requester,
    Query(query): Query<PublicRoomsQuery>,
    Json(body): Json<PublicRoomsBody>,
) -> Result<Json<Value>, ApiError> {
    list(&state, query.server.as_deref(), body).await
}

/// Rooms on one page, where the client names no number or a larger one.
const PAGE_MAX: u64 = 500;

async fn list(
    state: &State,
    server: Option<&str>,
    body: PublicRoomsBody,
) -> Result<Json<Value>, ApiError> {
    if server.is_some_and(|server| server != state.hs.server_name) {
        return Err(ApiError::new(
            http::StatusCode::NOT_FOUND,
            "M_NOT_FOUND",
            "The directories of other servers cannot be reached from this server.",
        ));
    }
    if body.third_party_instance_id.is_some() && !body.include_all_networks {
        // No bridged network has rooms here.
        return Ok(Json(json!({ "chunk": [], "total_room_count_estimate": 0 })));
    }
    let from = match body.since.as_deref() {
        None => 0,
        Some(since) => since.parse().map_err(|_| {
            ApiError::invalid_param(format!("{since:?} is not a token of this list."))
        })?,
    };
    let filter = body.filter.unwrap_or_default();
    let filter = PublicRoomsFilter {
        search_term: filter.generic_search_term,
        room_types: filter.room_types,
    };
    let limit = body.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let page = public_rooms(&state.hs, filter, from, limit as usize).await?;
    let mut answer = Map::new();
    answer.insert("chunk".into(), page.rooms.iter().map(listed).collect());
    answer.insert("total_room_count_estimate".into(), page.total.into());
    for (key, token) in [("next_batch", page.next), ("prev_batch", page.previous)] {
        if let Some(token) = token {
            answer.insert(key.into(), token.to_string().into());
        }
    }
    Ok(Json(Value::Object(answer)))
}

fn listed(listed: &PublicRoom) -> Value {
    let summary = &listed.summary;
    let mut entry = json!({
        "room_id": listed.room.room_id,
        "num_joined_members": listed.room.joined_members,
        "world_readable": summary.history_visibility.as_deref() == Some("world_readable"),
        "guest_can_join": summary.guest_access.as_deref() == Some("can_join"),
        "join_rule": summary.join_rule.as_deref().unwrap_or("invite"),
        "room_version": listed.room.room_version,
    });
    let optional = [
        ("name", &summary.name),
        ("topic", &summary.topic),
        ("avatar_url", &summary.avatar_url),
        ("canonical_alias", &summary.canonical_alias),
        ("room_type", &summary.room_type),
        ("encryption", &summary.encryption),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            entry[key] = value.as_str().into();
        }
    }
    entry
}
