//! Making a room: client-server API v1.19, "POST /createRoom". Room, first events, alias and listing are one write.

use std::sync::Arc;

use room::versions::Rules;
use ruma_common::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};
use storage::append::NewRoom;
use storage::{Counter, RoomKey, Tx, params};

use super::decide::{Decision, LocalEvent, Sender};
use super::head::Head;
use super::lane::decide_on;
use super::membership::{join_content, unreachable};
use super::send::{SendError, intern_user, sender_of};
use crate::{Homeserver, Requester};

/// Whom a request may invite at once: each is an event that is signed and written before the answer.
pub const INVITES_MAX: usize = 500;

/// What the settings of a new room start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    PrivateChat,
    /// All invited have the creator's power.
    TrustedPrivateChat,
    PublicChat,
}

/// A room to be made.
#[derive(Debug, Clone)]
pub struct CreateRoom {
    pub room_version: Option<String>,
    pub preset: Preset,
    /// Listed in the directory of this server.
    pub published: bool,
    pub alias_localpart: Option<String>,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub invite: Vec<OwnedUserId>,
    pub is_direct: bool,
    pub creation_content: Map<String, Value>,
    /// (type, state_key, content)
    pub initial_state: Vec<(String, String, Value)>,
    pub power_level_content_override: Map<String, Value>,
}

/// Why a room was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("this server makes no rooms of version {0}")]
    UnsupportedVersion(String),
    #[error("the alias {0} is taken")]
    AliasTaken(String),
    #[error("{0:?} can be no alias: it must not be empty, and hold no colon, white space or NUL")]
    InvalidAlias(String),
    #[error("at most {INVITES_MAX} users can be invited at once")]
    TooManyInvites,
    #[error("{0}")]
    InvalidState(String),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl From<storage::Error> for CreateError {
    fn from(error: storage::Error) -> Self {
        CreateError::Send(error.into())
    }
}

/// How often a room is made anew when another of the same content was made in the same millisecond.
const ATTEMPTS_MAX: u64 = 5;

/// Makes a room, its creator joined.
pub async fn create_room(
    hs: &Homeserver,
    requester: &Requester,
    request: CreateRoom,
) -> Result<OwnedRoomId, CreateError> {
    for later_ms in 0..ATTEMPTS_MAX {
        let ts = hs.now_ms() + later_ms;
        let planned = plan(hs, requester, request.clone(), None, ts).await?;
        match write_room(hs, requester, planned).await {
            // From room version 12 on the id is the hash of the create event: equal ones need another time.
            Err(CreateError::Send(SendError::Storage(storage::Error::Duplicate(why)))) => {
                tracing::debug!(why, "a room of the same id was made just now");
            }
            outcome => return outcome,
        }
    }
    Err(SendError::Busy.into())
}

async fn write_room(
    hs: &Homeserver,
    requester: &Requester,
    planned: Planned,
) -> Result<OwnedRoomId, CreateError> {
    let (room_id, room, creator) = (planned.room_id.clone(), planned.room, requester.user);
    let bytes = planned.bytes();
    let (change, alias) = (Arc::new(planned.decision.change), planned.alias);
    let written = hs
        .db
        .submit(bytes, move |tx| -> Result<(), CreateError> {
            tx.append(&change).map_err(SendError::from)?;
            put_alias(tx, alias.as_deref(), room, creator)
        })
        .await;
    written.map(|_| room_id)
}

/// Gives a room its alias, unless it is taken.
pub fn put_alias(
    tx: &mut Tx<'_>,
    alias: Option<&str>,
    room: RoomKey,
    creator: storage::UserKey,
) -> Result<(), CreateError> {
    let Some(alias) = alias else { return Ok(()) };
    let added = tx.execute(
        "INSERT INTO aliases (alias, room, creator) VALUES ($1, $2, $3) ON CONFLICT (alias) DO NOTHING",
        params![alias, room, creator],
    )?;
    if added == 0 {
        return Err(CreateError::AliasTaken(alias.to_owned()));
    }
    Ok(())
}

/// A decided room that is not written yet.
pub struct Planned {
    pub room: RoomKey,
    pub room_id: OwnedRoomId,
    pub alias: Option<String>,
    pub decision: Decision,
}

impl Planned {
    /// About how many bytes it writes.
    pub fn bytes(&self) -> usize {
        self.decision
            .change
            .events
            .iter()
            .map(|event| event.body.len())
            .sum()
    }
}

/// Decides all first events of a room, the first of them made at `ts`. `predecessor` is the content's member of that name, for an upgrade.
pub async fn plan(
    hs: &Homeserver,
    requester: &Requester,
    request: CreateRoom,
    predecessor: Option<Value>,
    ts: u64,
) -> Result<Planned, CreateError> {
    let version = request
        .room_version
        .clone()
        .unwrap_or_else(|| hs.settings.default_room_version.clone());
    let rules =
        Rules::of_name(&version).ok_or_else(|| CreateError::UnsupportedVersion(version.clone()))?;
    if request.invite.len() > INVITES_MAX {
        return Err(CreateError::TooManyInvites);
    }
    let alias = request
        .alias_localpart
        .as_deref()
        .map(|localpart| full_alias(hs, localpart))
        .transpose()?;
    let sender = sender_of(requester)?;
    let room = RoomKey(hs.db.new_ids(Counter::Room, 1).await?[0]);
    // From version 12 on the create event makes the id; this one is then only a stand-in.
    let room_id = OwnedRoomId::try_from(format!("!{}:{}", hs.random_string(18), hs.server_name))
        .map_err(|_| CreateError::InvalidState("the server's name makes no room ids".into()))?;
    let mut events = first_events(
        hs,
        requester,
        &sender,
        rules,
        &version,
        &request,
        alias.as_deref(),
        predecessor,
    )
    .await?;
    events[0].ts = Some(ts);
    let mut head = Head::new(room, room_id, rules);
    let mut decision = decide_on(hs, &mut head, &sender, &events).await?;
    decision.change.create = Some(NewRoom {
        room_id: head.room_id.to_string(),
        room_version: version,
        published: request.published,
        created_ms: hs.now_ms() as i64,
    });
    Ok(Planned {
        room,
        room_id: head.room_id.clone(),
        alias,
        decision,
    })
}

/// `#localpart:server`, checked.
pub fn full_alias(hs: &Homeserver, localpart: &str) -> Result<String, CreateError> {
    let allowed = !localpart.is_empty()
        && !localpart.contains([':', '\0'])
        && !localpart.contains(char::is_whitespace);
    let alias = format!("#{localpart}:{}", hs.server_name);
    // Ids have at most 255 bytes (appendices, "Room aliases").
    if allowed && alias.len() <= 255 {
        Ok(alias)
    } else {
        Err(CreateError::InvalidAlias(localpart.to_owned()))
    }
}

/// The events in the order that the spec gives them.
#[expect(
    clippy::too_many_arguments,
    reason = "what a room starts from, each of another kind"
)]
async fn first_events(
    hs: &Homeserver,
    requester: &Requester,
    sender: &Sender,
    rules: &'static Rules,
    version: &str,
    request: &CreateRoom,
    alias: Option<&str>,
    predecessor: Option<Value>,
) -> Result<Vec<LocalEvent>, CreateError> {
    let state =
        |event_type: &str, content: Value| LocalEvent::state(event_type, "", content.to_string());
    let overridden = |event_type: &str| {
        request
            .initial_state
            .iter()
            .any(|(known, key, _)| known == event_type && key.is_empty())
    };
    let mut events = vec![
        state(
            "m.room.create",
            create_content(rules, version, sender, request, predecessor),
        ),
        LocalEvent::member(
            sender.user_id.as_str(),
            sender.key,
            true,
            join_content(hs, requester, Map::new()).await?.to_string(),
        ),
    ];
    if !overridden("m.room.power_levels") {
        events.push(state(
            "m.room.power_levels",
            power_levels(rules, sender, request),
        ));
    }
    if let Some(alias) = alias.filter(|_| !overridden("m.room.canonical_alias")) {
        events.push(state("m.room.canonical_alias", json!({ "alias": alias })));
    }
    let (join_rule, guest_access) = match request.preset {
        Preset::PublicChat => ("public", "forbidden"),
        Preset::PrivateChat | Preset::TrustedPrivateChat => ("invite", "can_join"),
    };
    for (event_type, content) in [
        ("m.room.join_rules", json!({ "join_rule": join_rule })),
        (
            "m.room.history_visibility",
            json!({ "history_visibility": "shared" }),
        ),
        (
            "m.room.guest_access",
            json!({ "guest_access": guest_access }),
        ),
    ] {
        if !overridden(event_type) {
            events.push(state(event_type, content));
        }
    }
    for (event_type, state_key, content) in &request.initial_state {
        if matches!(event_type.as_str(), "m.room.create" | "m.room.member") {
            return Err(CreateError::InvalidState(format!(
                "`initial_state` must not hold {event_type}"
            )));
        }
        events.push(LocalEvent::state(
            event_type,
            state_key,
            content.to_string(),
        ));
    }
    if let Some(name) = &request.name {
        events.push(state("m.room.name", json!({ "name": name })));
    }
    if let Some(topic) = &request.topic {
        events.push(state("m.room.topic", topic_content(topic)));
    }
    for user_id in &request.invite {
        if !hs.is_local(user_id.as_str()) {
            return Err(unreachable(user_id.as_str()).into());
        }
        let user = intern_user(hs, user_id.as_str()).await?;
        let mut content = json!({ "membership": "invite" });
        if request.is_direct {
            content["is_direct"] = true.into();
        }
        events.push(LocalEvent::member(
            user_id.as_str(),
            user,
            true,
            content.to_string(),
        ));
    }
    Ok(events)
}

/// A topic in plain text, in both forms that clients read.
fn topic_content(topic: &str) -> Value {
    json!({ "topic": topic, "m.topic": { "m.text": [{ "body": topic }] } })
}

fn create_content(
    rules: &Rules,
    version: &str,
    sender: &Sender,
    request: &CreateRoom,
    predecessor: Option<Value>,
) -> Value {
    let mut content = request.creation_content.clone();
    content.insert("room_version".into(), version.into());
    if !rules.auth.creator_is_sender {
        content.insert("creator".into(), sender.user_id.as_str().into());
    } else {
        content.remove("creator");
    }
    if let Some(predecessor) = predecessor {
        content.insert("predecessor".into(), predecessor);
    }
    if rules.auth.creators_have_infinite_power && request.preset == Preset::TrustedPrivateChat {
        let mut creators: Vec<Value> = content
            .get("additional_creators")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for user_id in &request.invite {
            if !creators.iter().any(|known| known == user_id.as_str()) {
                creators.push(user_id.as_str().into());
            }
        }
        content.insert("additional_creators".into(), creators.into());
    }
    Value::Object(content)
}

fn power_levels(rules: &Rules, sender: &Sender, request: &CreateRoom) -> Value {
    let mut users = Map::new();
    if !rules.auth.creators_have_infinite_power {
        users.insert(sender.user_id.to_string(), 100.into());
        if request.preset == Preset::TrustedPrivateChat {
            users.extend(
                request
                    .invite
                    .iter()
                    .map(|user_id| (user_id.to_string(), 100.into())),
            );
        }
    }
    // Creators stand above all levels from version 12 on, so that an upgrade can be theirs alone.
    let tombstone = if rules.auth.creators_have_infinite_power {
        150
    } else {
        100
    };
    let invite = if request.preset == Preset::PublicChat {
        50
    } else {
        0
    };
    let mut content = json!({
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.encryption": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
            // Every member may join a call.
            "org.matrix.msc3401.call.member": 0,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": invite,
        "historical": 100,
    });
    if let Some(content) = content.as_object_mut() {
        content.extend(request.power_level_content_override.clone());
    }
    content
}
