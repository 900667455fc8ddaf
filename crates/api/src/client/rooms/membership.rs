//! Joining, leaving, inviting and the like: client-server API v1.19, "Room membership".

use homeserver::Requester;
use homeserver::rooms::aliases::resolve_alias;
use homeserver::rooms::membership::{
    Deed, forget_room, join_room, knock_room, leave_room, set_membership,
};
use http::Method;
use ruma_common::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};
use storage::rooms::Membership;

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/_matrix/client/v3/join/{roomIdOrAlias}",
            post_join_any,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/joined_rooms",
            get_joined_rooms,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/knock/{roomIdOrAlias}",
            post_knock,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/ban",
            post_ban,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/forget",
            post_forget,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/invite",
            post_invite,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/join",
            post_join,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/kick",
            post_kick,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/leave",
            post_leave,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/unban",
            post_unban,
        ),
    ]
}

#[derive(Deserialize)]
struct OwnBody {
    reason: Option<String>,
    third_party_signed: Option<Value>,
}

#[derive(Deserialize)]
struct TargetBody {
    user_id: Option<String>,
    reason: Option<String>,
    id_server: Option<String>,
    medium: Option<String>,
}

type Shared = axum::extract::State<State>;

/// The room id that a path names, by itself or by an alias.
async fn room_id_of(state: &State, id_or_alias: &str) -> Result<String, ApiError> {
    if id_or_alias.starts_with('!') {
        return Ok(id_or_alias.to_owned());
    }
    if !id_or_alias.starts_with('#') || !id_or_alias.contains(':') {
        return Err(ApiError::invalid_param(format!(
            "{id_or_alias:?} is neither a room id nor an alias."
        )));
    }
    let room = resolve_alias(&state.hs, id_or_alias).await?;
    room.map(|room| room.room_id)
        .ok_or_else(|| ApiError::not_found("There is no room with this alias."))
}

async fn post_join_any(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<OwnBody>,
) -> Result<Json<Value>, ApiError> {
    let room_id = room_id_of(&state, path.get("roomIdOrAlias")).await?;
    join_room(
        &state.hs,
        &requester,
        &room_id,
        body.reason.as_deref(),
        body.third_party_signed,
    )
    .await?;
    Ok(Json(json!({ "room_id": room_id })))
}

async fn post_join(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<OwnBody>,
) -> Result<Json<Value>, ApiError> {
    let room_id = path.get("roomId");
    join_room(
        &state.hs,
        &requester,
        room_id,
        body.reason.as_deref(),
        body.third_party_signed,
    )
    .await?;
    Ok(Json(json!({ "room_id": room_id })))
}

async fn post_knock(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<OwnBody>,
) -> Result<Json<Value>, ApiError> {
    let room_id = room_id_of(&state, path.get("roomIdOrAlias")).await?;
    knock_room(&state.hs, &requester, &room_id, body.reason.as_deref()).await?;
    Ok(Json(json!({ "room_id": room_id })))
}

async fn post_leave(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<OwnBody>,
) -> Result<Json<Value>, ApiError> {
    leave_room(
        &state.hs,
        &requester,
        path.get("roomId"),
        body.reason.as_deref(),
    )
    .await?;
    Ok(Json(json!({})))
}

async fn post_forget(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    forget_room(&state.hs, &requester, path.get("roomId")).await?;
    Ok(Json(json!({})))
}

async fn on_target(
    state: &State,
    requester: &Requester,
    path: &PathArgs,
    body: TargetBody,
    deed: Deed,
) -> Result<Json<Value>, ApiError> {
    if deed == Deed::Invite && (body.id_server.is_some() || body.medium.is_some()) {
        return Err(ApiError::new(
            http::StatusCode::FORBIDDEN,
            "M_THREEPID_DENIED",
            "This server invites nobody by e-mail address or phone number. Invite them by their user id.",
        ));
    }
    let user_id = body
        .user_id
        .ok_or_else(|| ApiError::missing_param("`user_id` is missing."))?;
    let target = OwnedUserId::try_from(user_id.as_str())
        .map_err(|_| ApiError::invalid_param(format!("{user_id:?} is not a user id.")))?;
    set_membership(
        &state.hs,
        requester,
        path.get("roomId"),
        &target,
        deed,
        body.reason.as_deref(),
    )
    .await?;
    Ok(Json(json!({})))
}

async fn post_invite(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<TargetBody>,
) -> Result<Json<Value>, ApiError> {
    on_target(&state, &requester, &path, body, Deed::Invite).await
}

async fn post_kick(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<TargetBody>,
) -> Result<Json<Value>, ApiError> {
    on_target(&state, &requester, &path, body, Deed::Kick).await
}

async fn post_ban(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<TargetBody>,
) -> Result<Json<Value>, ApiError> {
    on_target(&state, &requester, &path, body, Deed::Ban).await
}

async fn post_unban(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<TargetBody>,
) -> Result<Json<Value>, ApiError> {
    on_target(&state, &requester, &path, body, Deed::Unban).await
}

async fn get_joined_rooms(
    axum::extract::State(state): Shared,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    let rooms = state.hs.db.rooms_of(requester.user).await?;
    let joined: Vec<_> = rooms
        .into_iter()
        .filter(|(_, membership)| *membership == Membership::Join)
        .map(|(room, _)| room)
        .collect();
    let rows = state
        .hs
        .db
        .read(move |snap| storage::rooms::rooms_by_key(snap, &joined))
        .await?;
    let mut ids: Vec<String> = rows.into_values().map(|room| room.room_id).collect();
    ids.sort_unstable();
    Ok(Json(json!({ "joined_rooms": ids })))
}
