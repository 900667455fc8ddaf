//! What somebody who is invited or knocks may see of a room: stripped state.
//!
//! Source: client-server API "Stripped state", Matrix v1.19.

use room::client_format::ClientBody;
use room::versions::Rules;
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::events::{self, EventRow};
use storage::rooms::RoomRow;
use storage::{Error, Snapshot, event_context};

/// What a room is shown by, in the spec's order; all have the empty state key.
pub const STRIPPED_TYPES: [&str; 7] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
];

/// The current state of a room that an invited user or a knocker may see: [`STRIPPED_TYPES`] and the memberships of
/// `members` (the inviter). Each has `type`, `state_key`, `sender` and `content` alone.
pub fn stripped_state(
    snap: &mut Snapshot<'_>,
    room: &RoomRow,
    members: &[&str],
) -> Result<Vec<Box<RawValue>>, Error> {
    let wanted = STRIPPED_TYPES
        .iter()
        .map(|event_type| (*event_type, ""))
        .chain(members.iter().map(|user_id| ("m.room.member", *user_id)));
    let mut pairs = Vec::new();
    for (event_type, state_key) in wanted {
        let no = event_context::state_numbers(snap, &[room.key], event_type, state_key)?;
        pairs.extend(room.state.zip(no.get(&room.key).copied()));
    }
    let entries = event_context::entries(snap, &pairs)?;
    let keys: Vec<_> = entries.values().copied().collect();
    let rows = events::by_key(snap, &keys)?;
    Ok(pairs
        .iter()
        .filter_map(|pair| rows.get(entries.get(pair)?))
        .filter_map(|event| strip(room, event))
        .collect())
}

/// One state event, stripped. A redacted one is shown as redacted.
fn strip(room: &RoomRow, event: &EventRow) -> Option<Box<RawValue>> {
    #[derive(Deserialize, serde::Serialize)]
    struct Stripped {
        content: Box<RawValue>,
        sender: String,
        state_key: String,
        r#type: String,
    }
    let rules = Rules::of_name(&room.room_version)?;
    let body = crate::present::shown_body(rules, event)?;
    let event = ClientBody::of_stored(rules, &event.event_id, &event.event_type, &body);
    let stripped: Stripped = serde_json::from_str(&format!("{}}}", event.as_str())).ok()?;
    serde_json::value::to_raw_value(&stripped).ok()
}
