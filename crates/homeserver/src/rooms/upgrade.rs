//! Upgrading a room: client-server API v1.19, "Room upgrades". Tombstone and new room are one write.

use std::sync::Arc;

use ruma_common::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};
use storage::events::EventRow;
use storage::{RoomKey, params};

use super::create::{CreateError, CreateRoom, Planned, Preset, plan};
use super::decide::LocalEvent;
use super::lane::send_events_with;
use super::send::{SendError, find_room, sender_of};
use crate::{Homeserver, Requester};

/// State that the new room starts with, where the old one has it: all that makes a room what its members know.
const CARRIED: [&str; 9] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.power_levels",
];

/// Bans and space children that are carried over: each is an event of the new room.
const CARRIED_KEYED_MAX: usize = 1_000;

/// Replaces a room by a new one of another version.
pub async fn upgrade_room(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    new_version: String,
    additional_creators: Vec<String>,
) -> Result<OwnedRoomId, CreateError> {
    let old = find_room(hs, room_id)
        .await?
        .ok_or(SendError::UnknownRoom)?;
    let key = old.key;
    let state = hs.db.read(move |snap| load_state(snap, key)).await?;
    let request = successor(requester, &old, new_version, additional_creators, &state);
    let predecessor = json!({ "room_id": room_id });
    let Planned {
        room,
        room_id: new_id,
        decision,
        ..
    } = plan(hs, requester, request, Some(predecessor), hs.now_ms()).await?;
    let tombstone = json!({ "body": "This room has been replaced", "replacement_room": new_id });
    let mut events = vec![LocalEvent::state(
        "m.room.tombstone",
        "",
        tombstone.to_string(),
    )];
    events.extend(
        quieted(&state)
            .map(|levels| LocalEvent::state("m.room.power_levels", "", levels.to_string())),
    );
    let change = Arc::new(decision.change);
    let more = move |tx: &mut storage::Tx<'_>| -> Result<(), SendError> {
        tx.append(&change)?;
        tx.execute(
            "UPDATE aliases SET room = $2 WHERE room = $1",
            params![key, room],
        )?;
        tx.execute(
            "UPDATE rooms SET published = FALSE WHERE id = $1",
            params![key],
        )?;
        Ok(())
    };
    send_events_with(hs, key, &sender_of(requester)?, &events, more).await?;
    Ok(new_id)
}

/// The old room's state that matters here.
fn load_state(
    snap: &mut storage::Snapshot<'_>,
    room: RoomKey,
) -> Result<Vec<(String, EventRow)>, storage::Error> {
    let rows = snap.query(
        "SELECT c.event, k.state_key FROM current_state c
         JOIN state_keys k ON k.room = c.room AND k.state_no = c.state_no
         JOIN events e ON e.id = c.event
         WHERE c.room = $1 AND (k.type IN ($2[]) OR k.type IN ($3[])) LIMIT $4",
        params![
            room,
            CARRIED
                .iter()
                .chain(["m.room.create", "m.room.canonical_alias"].iter())
                .map(|event_type| event_type.as_bytes().to_vec())
                .collect::<Vec<_>>(),
            vec![b"m.space.child".to_vec()],
            CARRIED_KEYED_MAX
        ],
    )?;
    let bans = snap.query(
        "SELECT m.event, u.user_id FROM members m JOIN users u ON u.id = m.user_key
         WHERE m.room = $1 AND m.membership = $2 LIMIT $3",
        params![room, storage::rooms::Membership::Ban, CARRIED_KEYED_MAX],
    )?;
    let mut keyed: Vec<(storage::EventKey, String)> = rows
        .iter()
        .map(|row| {
            (
                storage::EventKey(row.int(0)),
                String::from_utf8_lossy(&row.bytes(1)).into_owned(),
            )
        })
        .collect();
    keyed.extend(
        bans.iter()
            .map(|row| (storage::EventKey(row.int(0)), row.text(1))),
    );
    let keys: Vec<_> = keyed.iter().map(|(key, _)| *key).collect();
    let mut events = storage::events::by_key(snap, &keys)?;
    Ok(keyed
        .into_iter()
        .filter_map(|(key, state_key)| Some((state_key, events.remove(&key)?)))
        .collect())
}

fn content_of(row: &EventRow) -> Value {
    let event: Value = serde_json::from_slice(&row.body).unwrap_or_default();
    event["content"].clone()
}

fn content<'s>(state: &'s [(String, EventRow)], event_type: &str) -> Option<(&'s EventRow, Value)> {
    let (_, row) = state
        .iter()
        .find(|(state_key, row)| state_key.is_empty() && row.event_type == event_type)?;
    Some((row, content_of(row)))
}

fn successor(
    requester: &Requester,
    old: &storage::rooms::RoomRow,
    new_version: String,
    additional_creators: Vec<String>,
    state: &[(String, EventRow)],
) -> CreateRoom {
    let creators_above_levels = room::versions::Rules::of_name(&new_version)
        .is_some_and(|rules| rules.auth.creators_have_infinite_power);
    let mut creation_content = Map::new();
    if let Some((_, create)) = content(state, "m.room.create") {
        for member in ["type", "m.federate"] {
            if let Some(value) = create.get(member) {
                creation_content.insert(member.into(), value.clone());
            }
        }
    }
    if creators_above_levels && !additional_creators.is_empty() {
        creation_content.insert(
            "additional_creators".into(),
            additional_creators.clone().into(),
        );
    }
    let mut initial_state = Vec::new();
    for event_type in CARRIED {
        let Some((_, mut value)) = content(state, event_type) else {
            continue;
        };
        if event_type == "m.room.power_levels" {
            if creators_above_levels
                && let Some(users) = value.get_mut("users").and_then(Value::as_object_mut)
            {
                users.remove(&requester.user_id);
                additional_creators
                    .iter()
                    .for_each(|creator| drop(users.remove(creator)));
            }
            // Without it an upgrader of less than the top power could not set what follows.
            if !creators_above_levels {
                value["users"][&requester.user_id] = value["users"][&requester.user_id]
                    .as_i64()
                    .unwrap_or_default()
                    .max(100)
                    .into();
            }
        }
        initial_state.push((event_type.to_owned(), String::new(), value));
    }
    for (state_key, row) in state
        .iter()
        .filter(|(_, row)| row.event_type == "m.space.child")
    {
        initial_state.push((row.event_type.clone(), state_key.clone(), content_of(row)));
    }
    CreateRoom {
        room_version: Some(new_version),
        preset: Preset::PrivateChat,
        published: old.published,
        alias_localpart: None,
        name: None,
        topic: None,
        invite: Vec::<OwnedUserId>::new(),
        is_direct: false,
        creation_content,
        initial_state,
        power_level_content_override: Map::new(),
    }
}

/// The old room's power levels, raised so that ordinary members can no longer speak or invite there.
fn quieted(state: &[(String, EventRow)]) -> Option<Value> {
    let (_, mut levels) = content(state, "m.room.power_levels")?;
    let above_default = levels["users_default"]
        .as_i64()
        .unwrap_or_default()
        .saturating_add(1);
    for member in ["events_default", "invite"] {
        let level = levels[member]
            .as_i64()
            .unwrap_or_default()
            .max(above_default)
            .max(50);
        levels[member] = level.into();
    }
    Some(levels)
}
