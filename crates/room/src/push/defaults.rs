//! The rules that everybody has: client-server API, "Predefined Rules", Matrix v1.19.

use serde_json::{Value, json};

use super::ruleset::{Kind, Rule};

/// The server's default rules of a kind for a user, the most important first.
pub(super) fn default_rules(user_id: &str, kind: Kind) -> Vec<Rule> {
    match kind {
        Kind::Override => overrides(user_id),
        Kind::Underride => underrides(),
        Kind::Content | Kind::Room | Kind::Sender => Vec::new(),
    }
}

fn overrides(user_id: &str) -> Vec<Rule> {
    let mut master = rule(".m.rule.master", json!([]), &[]);
    master.enabled = false;
    vec![
        master,
        rule(
            ".m.rule.suppress_notices",
            json!([matches("content.msgtype", "m.notice")]),
            &[],
        ),
        rule(
            ".m.rule.invite_for_me",
            json!([
                matches("type", "m.room.member"),
                matches("content.membership", "invite"),
                matches("state_key", user_id)
            ]),
            &[notify(), sound("default")],
        ),
        rule(
            ".m.rule.member_event",
            json!([matches("type", "m.room.member")]),
            &[],
        ),
        rule(
            ".m.rule.is_user_mention",
            json!([{
                "kind": "event_property_contains",
                "key": "content.m\\.mentions.user_ids",
                "value": user_id
            }]),
            &[notify(), sound("default"), highlight()],
        ),
        rule(
            ".m.rule.is_room_mention",
            json!([
                { "kind": "event_property_is", "key": "content.m\\.mentions.room", "value": true },
                { "kind": "sender_notification_permission", "key": "room" }
            ]),
            &[notify(), highlight()],
        ),
        rule(
            ".m.rule.tombstone",
            json!([
                matches("type", "m.room.tombstone"),
                matches("state_key", "")
            ]),
            &[notify(), highlight()],
        ),
        rule(
            ".m.rule.reaction",
            json!([matches("type", "m.reaction")]),
            &[],
        ),
        rule(
            ".m.rule.room.server_acl",
            json!([
                matches("type", "m.room.server_acl"),
                matches("state_key", "")
            ]),
            &[],
        ),
        rule(
            ".m.rule.suppress_edits",
            json!([{
                "kind": "event_property_is",
                "key": "content.m\\.relates_to.rel_type",
                "value": "m.replace"
            }]),
            &[],
        ),
    ]
}

fn underrides() -> Vec<Rule> {
    let two = json!({ "kind": "room_member_count", "is": "2" });
    vec![
        rule(
            ".m.rule.call",
            json!([matches("type", "m.call.invite")]),
            &[notify(), sound("ring")],
        ),
        rule(
            ".m.rule.encrypted_room_one_to_one",
            json!([two, matches("type", "m.room.encrypted")]),
            &[notify(), sound("default")],
        ),
        rule(
            ".m.rule.room_one_to_one",
            json!([two, matches("type", "m.room.message")]),
            &[notify(), sound("default")],
        ),
        rule(
            ".m.rule.message",
            json!([matches("type", "m.room.message")]),
            &[notify()],
        ),
        rule(
            ".m.rule.encrypted",
            json!([matches("type", "m.room.encrypted")]),
            &[notify()],
        ),
    ]
}

fn rule(rule_id: &str, conditions: Value, actions: &[Value]) -> Rule {
    Rule {
        actions: actions.to_vec(),
        conditions: conditions.as_array().cloned(),
        default: true,
        enabled: true,
        pattern: None,
        rule_id: rule_id.to_owned(),
    }
}

fn matches(key: &str, pattern: &str) -> Value {
    json!({ "kind": "event_match", "key": key, "pattern": pattern })
}

fn notify() -> Value {
    json!("notify")
}

fn sound(value: &str) -> Value {
    json!({ "set_tweak": "sound", "value": value })
}

fn highlight() -> Value {
    json!({ "set_tweak": "highlight" })
}
