//! Redacting an event: client-server API v1.19, "Redactions".

use ruma_common::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};

use super::decide::LocalEvent;
use super::send::{SendError, Transaction, find_room, send_event};
use crate::{Homeserver, Requester};

/// Redacts an event: one's own, or with the power to redact others'.
pub async fn redact_event(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    target: &OwnedEventId,
    reason: Option<&str>,
    transaction: Option<Transaction>,
) -> Result<OwnedEventId, SendError> {
    let content = match reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    redact_with(hs, requester, room_id, target, content, transaction).await
}

/// Redacts an event with a content of the client's own.
pub async fn redact_with(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    target: &OwnedEventId,
    content: Value,
    transaction: Option<Transaction>,
) -> Result<OwnedEventId, SendError> {
    if !may_redact(hs, requester, room_id, target).await? {
        return Err(SendError::Refused(
            "you need more power in this room to redact events of others",
        ));
    }
    let mut event = LocalEvent::message("m.room.redaction", content.to_string());
    event.redacts = Some(target.clone());
    send_event(hs, requester, room_id, event, transaction).await
}

/// From room version 3 on the auth rules let every redaction pass and its effect is decided by who is redacted, so
/// that is asked here, before a redaction without effect is made.
async fn may_redact(
    hs: &Homeserver,
    requester: &Requester,
    room_id: &str,
    target: &OwnedEventId,
) -> Result<bool, SendError> {
    let room = find_room(hs, room_id)
        .await?
        .ok_or(SendError::UnknownRoom)?;
    let Some(rules) = room::versions::Rules::of_name(&room.room_version) else {
        return Err(SendError::UnknownRoom);
    };
    let (key, target) = (room.key, target.to_string());
    let (create, levels, sender) = hs
        .db
        .read(move |snap| -> Result<_, storage::Error> {
            let event = storage::events::by_id(snap, &[&target])?
                .remove(&target)
                .filter(|event| event.room == key);
            let sender = match &event {
                Some(event) => storage::ids::user_ids(snap, &[event.sender])?.remove(&event.sender),
                None => None,
            };
            Ok((
                storage::events::current_state_event(snap, key, "m.room.create", "")?,
                storage::events::current_state_event(snap, key, "m.room.power_levels", "")?,
                sender,
            ))
        })
        .await?;
    // What is not here can't be judged; the redaction is kept and applies when its target comes.
    let Some(sender) = sender.and_then(|id| OwnedUserId::try_from(id).ok()) else {
        return Err(SendError::Refused(
            "the event to redact is not in this room",
        ));
    };
    let parse = |row: Option<storage::events::EventRow>| {
        row.and_then(|row| super::head::parse_stored(rules, row))
    };
    let (Some(create), levels) = (parse(create), parse(levels)) else {
        return Err(SendError::UnknownRoom);
    };
    let Ok(me) = OwnedUserId::try_from(requester.user_id.as_str()) else {
        return Ok(false);
    };
    if me == sender {
        return Ok(true);
    }
    let powers = room::power_levels::Powers::new(&create, levels.as_deref());
    Ok(powers.is_ok_and(|powers| powers.of_user(me.as_str()) >= powers.to_redact()))
}
