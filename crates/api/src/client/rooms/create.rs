//! Making and upgrading rooms: client-server API v1.19, "Creation", "Room upgrades".

use homeserver::Requester;
use homeserver::rooms::create::{CreateRoom, Preset, create_room};
use homeserver::rooms::upgrade::upgrade_room;
use http::Method;
use ruma_common::OwnedUserId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/_matrix/client/v3/createRoom", post_create),
        route(
            Method::POST,
            "/_matrix/client/v3/rooms/{roomId}/upgrade",
            post_upgrade,
        ),
    ]
}

#[derive(Deserialize)]
struct CreateBody {
    #[serde(default)]
    creation_content: Map<String, Value>,
    #[serde(default)]
    initial_state: Vec<StateEvent>,
    #[serde(default)]
    invite: Vec<String>,
    #[serde(default)]
    invite_3pid: Vec<Value>,
    #[serde(default)]
    is_direct: bool,
    name: Option<String>,
    #[serde(default)]
    power_level_content_override: Map<String, Value>,
    preset: Option<String>,
    room_alias_name: Option<String>,
    room_version: Option<String>,
    topic: Option<String>,
    visibility: Option<String>,
}

#[derive(Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    state_key: String,
    content: Map<String, Value>,
}

impl CreateBody {
    fn into_request(self) -> Result<CreateRoom, ApiError> {
        let published = match self.visibility.as_deref() {
            Some("public") => true,
            None | Some("private") => false,
            Some(other) => {
                return Err(ApiError::invalid_param(format!(
                    "`visibility` can't be {other:?}."
                )));
            }
        };
        let preset = match self.preset.as_deref() {
            Some("private_chat") => Preset::PrivateChat,
            Some("trusted_private_chat") => Preset::TrustedPrivateChat,
            Some("public_chat") => Preset::PublicChat,
            Some(other) => {
                return Err(ApiError::invalid_param(format!(
                    "`preset` can't be {other:?}."
                )));
            }
            None if published => Preset::PublicChat,
            None => Preset::PrivateChat,
        };
        if !self.invite_3pid.is_empty() {
            return Err(ApiError::new(
                http::StatusCode::BAD_REQUEST,
                "M_THREEPID_DENIED",
                "This server invites nobody by e-mail address or phone number. Invite them by their user id.",
            ));
        }
        let invite = self
            .invite
            .into_iter()
            .map(|user_id| {
                OwnedUserId::try_from(user_id.as_str()).map_err(|_| {
                    ApiError::invalid_param(format!("`invite`: {user_id:?} is not a user id."))
                })
            })
            .collect::<Result<_, _>>()?;
        let initial_state = self
            .initial_state
            .into_iter()
            .map(|event| {
                (
                    event.event_type,
                    event.state_key,
                    Value::Object(event.content),
                )
            })
            .collect();
        Ok(CreateRoom {
            room_version: self.room_version,
            preset,
            published,
            alias_localpart: self.room_alias_name,
            name: self.name,
            topic: self.topic,
            invite,
            is_direct: self.is_direct,
            creation_content: self.creation_content,
            initial_state,
            power_level_content_override: self.power_level_content_override,
        })
    }
}

async fn post_create(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    Json(body): Json<CreateBody>,
) -> Result<Json<Value>, ApiError> {
    let room_id = create_room(&state.hs, &requester, body.into_request()?).await?;
    Ok(Json(json!({ "room_id": room_id })))
}

#[derive(Deserialize)]
struct UpgradeBody {
    new_version: String,
    #[serde(default)]
    additional_creators: Vec<String>,
}

async fn post_upgrade(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<UpgradeBody>,
) -> Result<Json<Value>, ApiError> {
    let room_id = path.get("roomId");
    let new = upgrade_room(
        &state.hs,
        &requester,
        room_id,
        body.new_version,
        body.additional_creators,
    )
    .await?;
    Ok(Json(json!({ "replacement_room": new })))
}
