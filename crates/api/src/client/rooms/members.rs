//! Who is in a room: client-server API v1.19, "GET /rooms/{roomId}/members", "GET /rooms/{roomId}/joined_members".

use std::collections::BTreeMap;

use homeserver::Requester;
use homeserver::rooms::history::members::{Ask, joined_members, members};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::rooms::Membership;

use super::page_params::place;
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/members",
            get_members,
        ),
        route(
            Method::GET,
            "/_matrix/client/v3/rooms/{roomId}/joined_members",
            get_joined_members,
        ),
    ]
}

#[derive(Deserialize)]
struct Params {
    at: Option<String>,
    membership: Option<String>,
    not_membership: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    chunk: Vec<Box<RawValue>>,
}

async fn get_members(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Query(params): Query<Params>,
) -> Result<Json<Answer>, ApiError> {
    let ask = Ask {
        room_id: path.get("roomId").to_owned(),
        at: place("at", params.at.as_deref())?,
        membership: membership("membership", params.membership.as_deref())?,
        not_membership: membership("not_membership", params.not_membership.as_deref())?,
    };
    let chunk = members(&state.hs, &requester, ask).await?;
    Ok(Json(Answer { chunk }))
}

fn membership(name: &str, word: Option<&str>) -> Result<Option<Membership>, ApiError> {
    word.map(|word| {
        Membership::parse(word).ok_or_else(|| {
            ApiError::invalid_param(format!(
                "`{name}` must be one of join, invite, knock, leave and ban."
            ))
        })
    })
    .transpose()
}

#[derive(Serialize)]
struct Joined {
    joined: BTreeMap<String, Member>,
}

#[derive(Serialize)]
struct Member {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
}

async fn get_joined_members(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Joined>, ApiError> {
    let members = joined_members(&state.hs, &requester, path.get("roomId").to_owned()).await?;
    let joined = members.into_iter().map(|member| {
        let shown = Member {
            display_name: member.display_name,
            avatar_url: member.avatar_url,
        };
        (member.user_id, shown)
    });
    Ok(Json(Joined {
        joined: joined.collect(),
    }))
}
