//! What lists and sync answers show of a room, kept with the room's row and changed with its state.

use room::json::parse_object;
use room::pdu::Pdu;
use serde::{Deserialize, Serialize};

/// Facts of the current state that are shown often. Absent members mean that the state has no such event, or nothing
/// readable in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_visibility: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_access: Option<String>,
    /// The `type` of the create event, such as `m.space`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_type: Option<String>,
    /// The algorithm, where the room is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// The room that follows this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// `m.federate` of the create event is false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfederated: bool,
}

impl RoomSummary {
    /// Reads what [`RoomSummary::to_json`] wrote; what is not readable is as if it were not there.
    pub fn from_json(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// A JSON object.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and booleans always serialise.
        serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec())
    }

    /// Takes a new state event into account.
    pub fn apply(&mut self, pdu: &Pdu) {
        if pdu.state_key() != Some("") {
            return;
        }
        let content = parse_object(pdu.content()).unwrap_or_default();
        let text = |key: &str| {
            content
                .get_str(key)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        match pdu.event_type() {
            "m.room.name" => self.name = text("name"),
            "m.room.topic" => self.topic = text("topic"),
            "m.room.avatar" => self.avatar_url = text("url"),
            "m.room.canonical_alias" => self.canonical_alias = text("alias"),
            "m.room.join_rules" => self.join_rule = text("join_rule"),
            "m.room.history_visibility" => self.history_visibility = text("history_visibility"),
            "m.room.guest_access" => self.guest_access = text("guest_access"),
            // Encryption can't be turned off: a later event that names no algorithm changes nothing.
            "m.room.encryption" => self.encryption = text("algorithm").or(self.encryption.take()),
            "m.room.tombstone" => self.successor = text("replacement_room"),
            "m.room.create" => {
                self.room_type = text("type");
                self.unfederated =
                    content.get("m.federate").and_then(|value| value.as_bool()) == Some(false);
            }
            _ => {}
        }
    }
}
