//! The redaction algorithm of all room versions: what is left of an event when it is redacted.
//!
//! Source: rooms v1, v6, v8, v9 and v11 "Redactions", Matrix v1.19.

use crate::json::{Object, Value};
use crate::versions::{Redaction, Rules};

/// Strips from `event` (a PDU in federation format) all that the room version's redaction does not keep.
///
/// `unsigned` goes too: it is no part of the event.
pub fn redact(rules: &Rules, event: &mut Object<'_>) {
    let event_type = event.get_str("type").unwrap_or_default().to_owned();
    event.retain(|key, value| {
        if key == "content" {
            match value {
                Value::Object(content) => redact_content(&rules.redaction, &event_type, content),
                _ => *value = Value::Object(Object::default()),
            }
        }
        keeps_at_top_level(&rules.redaction, key)
    });
}

fn keeps_at_top_level(rules: &Redaction, key: &str) -> bool {
    match key {
        "event_id" | "type" | "room_id" | "sender" | "state_key" | "content" | "hashes"
        | "signatures" | "depth" | "prev_events" | "auth_events" | "origin_server_ts" => true,
        "origin" | "membership" | "prev_state" => rules.keep_origin_membership_prev_state,
        _ => false,
    }
}

fn redact_content(rules: &Redaction, event_type: &str, content: &mut Object<'_>) {
    content.retain(|key, value| match (event_type, key) {
        ("m.room.member", "membership") => true,
        ("m.room.member", "join_authorised_via_users_server") => rules.keep_join_authorised,
        ("m.room.member", "third_party_invite") if rules.keep_third_party_invite_signed => {
            match value {
                Value::Object(invite) => {
                    invite.retain(|key, _| key == "signed");
                    // Where there is no `signed`, an empty object stays: so all servers hash it.
                    true
                }
                _ => false,
            }
        }
        ("m.room.create", key) => rules.keep_create_content || key == "creator",
        ("m.room.join_rules", "join_rule") => true,
        ("m.room.join_rules", "allow") => rules.keep_join_rules_allow,
        (
            "m.room.power_levels",
            "ban" | "events" | "events_default" | "kick" | "redact" | "state_default" | "users"
            | "users_default",
        ) => true,
        ("m.room.power_levels", "invite") => rules.keep_power_levels_invite,
        ("m.room.aliases", "aliases") => rules.keep_aliases,
        ("m.room.history_visibility", "history_visibility") => true,
        ("m.room.redaction", "redacts") => rules.keep_content_redacts,
        _ => false,
    });
}
