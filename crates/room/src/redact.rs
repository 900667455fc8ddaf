//! The redaction algorithm of all room versions: what is left of an event when it is redacted.
//!
//! Source: rooms v1, v6, v8, v9 and v11 "Redactions", Matrix v1.19.

use crate::canonical::{CanonicalError, write_members, write_value};
use crate::json::{Object, Value};
use crate::versions::{Redaction, Rules};

/// Strips from `event` (a PDU in federation format) all that the room version's redaction does not keep.
///
/// `unsigned` goes too: it is no part of the event.
pub fn redact(rules: &Rules, event: &mut Object<'_>) {
    let rules = &rules.redaction;
    let event_type = event.get_str("type").unwrap_or_default().to_owned();
    event.retain(|key, value| {
        if key == "content" {
            match value {
                Value::Object(content) => content.retain(|key, value| {
                    let keep = keeps_in_content(rules, &event_type, key, value);
                    if let (Keep::OnlySigned, Value::Object(invite)) = (keep, value) {
                        invite.retain(|key, _| key == "signed");
                    }
                    keep != Keep::Nothing
                }),
                _ => *value = Value::Object(Object::default()),
            }
        }
        keeps_at_top_level(rules, key)
    });
}

/// Appends the canonical form of what [`redact`] leaves of `event`, but its `signatures`: what is hashed and signed.
///
/// # Errors
/// Where the event has no canonical form in this room version.
pub(crate) fn write_redacted_unsigned(
    rules: &Rules,
    event: &Object<'_>,
    out: &mut String,
) -> Result<(), CanonicalError> {
    let numbers = rules.numbers();
    let rules = &rules.redaction;
    let event_type = event.get_str("type").unwrap_or_default();
    let kept = |key: &str| key != "signatures" && keeps_at_top_level(rules, key);
    write_members(
        event.iter().filter(|(key, _)| kept(key)),
        out,
        |key, value, out| match (key, value) {
            ("content", Value::Object(content)) => {
                let kept = content.iter().filter(|(key, value)| {
                    keeps_in_content(rules, event_type, key, value) != Keep::Nothing
                });
                write_members(kept, out, |key, value, out| {
                    match (keeps_in_content(rules, event_type, key, value), value) {
                        (Keep::OnlySigned, Value::Object(invite)) => {
                            let signed = invite.iter().filter(|(key, _)| *key == "signed");
                            write_members(signed, out, |_, value, out| {
                                write_value(value, numbers, out)
                            })
                        }
                        _ => write_value(value, numbers, out),
                    }
                })
            }
            ("content", _) => {
                out.push_str("{}");
                Ok(())
            }
            _ => write_value(value, numbers, out),
        },
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// Of the object its member `signed`. Where there is none an empty object stays: so all servers hash it.
    OnlySigned,
    Nothing,
}

fn keeps_at_top_level(rules: &Redaction, key: &str) -> bool {
    match key {
        "event_id" | "type" | "room_id" | "sender" | "state_key" | "content" | "hashes"
        | "signatures" | "depth" | "prev_events" | "auth_events" | "origin_server_ts" => true,
        "origin" | "membership" | "prev_state" => rules.keep_origin_membership_prev_state,
        _ => false,
    }
}

fn keeps_in_content(rules: &Redaction, event_type: &str, key: &str, value: &Value<'_>) -> Keep {
    let keeps = match (event_type, key) {
        ("m.room.member", "membership") => true,
        ("m.room.member", "join_authorised_via_users_server") => rules.keep_join_authorised,
        ("m.room.member", "third_party_invite") => {
            return match rules.keep_third_party_invite_signed && value.as_object().is_some() {
                true => Keep::OnlySigned,
                false => Keep::Nothing,
            };
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
    };
    if keeps { Keep::All } else { Keep::Nothing }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical::{Numbers, write_object};
    use crate::json::parse_object;

    proptest! {
        /// What is hashed is what redaction leaves: the two ways to it agree.
        #[test]
        fn writing_what_is_kept_is_writing_the_redacted_event(version in 0..12usize, kind in 0..9usize, keys in 0..4096u32) {
            let kinds = ["m.room.member", "m.room.create", "m.room.join_rules", "m.room.power_levels", "m.room.aliases",
                "m.room.history_visibility", "m.room.redaction", "m.room.message", "x"];
            let in_content = ["membership", "join_authorised_via_users_server", "third_party_invite", "creator", "join_rule",
                "allow", "ban", "invite", "aliases", "history_visibility", "redacts", "body"];
            let mut content = serde_json::json!({});
            for (bit, key) in in_content.iter().enumerate().filter(|(bit, _)| keys & (1 << bit) != 0) {
                content[key] = if bit == 2 { serde_json::json!({"signed": 1, "display_name": 2}) } else { serde_json::json!(bit) };
            }
            let event = serde_json::json!({"type": kinds[kind], "content": content, "origin": 1, "redacts": 2, "depth": 3,
                "signatures": {}, "hashes": {}, "unsigned": {}, "prev_state": []}).to_string();
            let mut event = parse_object(&event).unwrap();
            let rules = &Rules::all()[version];
            let mut written = String::new();
            write_redacted_unsigned(rules, &event, &mut written).unwrap();
            redact(rules, &mut event);
            let mut redacted = String::new();
            write_object(&event, |key| key != "signatures", Numbers::Strict, &mut redacted).unwrap();
            prop_assert_eq!(written, redacted);
        }
    }
}
