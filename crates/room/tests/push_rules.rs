//! Push rules by tables: each default rule and each kind of condition, as the spec describes them.

use std::collections::BTreeMap;

use room::power_levels::Level;
use room::push::{
    Context, Kind, Neighbours, Outcome, Owner, Power, Rule, Rules, Ruleset, Subject, outcome,
};
use serde_json::{Value, json};

const ME: &str = "@me:b";

fn context(member_count: u64, sender: i64) -> Context {
    Context {
        member_count,
        power: Power {
            sender: Level::Int(sender),
            notifications: BTreeMap::from([("team".to_owned(), 20)]),
        },
    }
}

fn judge(rules: &Ruleset, event: &Value, context: &Context) -> Outcome {
    let content = event["content"].to_string();
    let text = |name: &str| event[name].as_str();
    let subject = Subject::new(
        text("type").unwrap_or("m.room.message"),
        text("sender").unwrap_or("@you:b"),
        "!room:b",
        text("state_key"),
        &content,
    );
    let owner = Owner {
        user_id: ME,
        displayname: Some("Ma*x"),
    };
    outcome(&Rules::of(rules), &subject, context, &owner)
}

/// Notify, highlight, sound, in one word each.
fn short(outcome: &Outcome) -> String {
    let mut words = Vec::new();
    words.extend(outcome.notify.then_some("notify"));
    words.extend(outcome.highlight.then_some("highlight"));
    words.extend(outcome.sound.as_deref());
    words.join(" ")
}

#[test]
fn the_default_rules_say_what_the_spec_says() {
    let rules = Ruleset::server_default(ME);
    let mentions = |mentions: Value| json!({ "content": { "body": "x", "m.mentions": mentions } });
    let state =
        |kind: &str, content: Value| json!({ "type": kind, "state_key": "", "content": content });
    let member = |who: &str, membership: &str| json!({ "type": "m.room.member", "state_key": who, "content": { "membership": membership } });
    let plain = |kind: &str| json!({ "type": kind, "content": {} });
    let cases = [
        (plain("m.room.message"), 3, 0, "notify"),
        (plain("m.room.message"), 2, 0, "notify default"),
        (plain("m.room.encrypted"), 3, 0, "notify"),
        (plain("m.room.encrypted"), 2, 0, "notify default"),
        (plain("m.call.invite"), 3, 0, "notify ring"),
        (plain("m.reaction"), 2, 0, ""),
        (plain("m.sticker"), 2, 0, ""),
        (
            json!({ "sender": ME, "content": { "body": "x" } }),
            2,
            100,
            "",
        ),
        (
            json!({ "content": { "msgtype": "m.notice", "body": "x" } }),
            2,
            0,
            "",
        ),
        (member(ME, "invite"), 2, 0, "notify default"),
        (member("@other:b", "invite"), 2, 0, ""),
        (member(ME, "join"), 2, 0, ""),
        (
            mentions(json!({ "user_ids": [ME] })),
            3,
            0,
            "notify highlight default",
        ),
        (
            mentions(json!({ "user_ids": ["@Me:b", "@me:bb"] })),
            3,
            0,
            "notify",
        ),
        (mentions(json!({ "user_ids": ME })), 3, 0, "notify"),
        (mentions(json!({ "room": true })), 3, 50, "notify highlight"),
        (mentions(json!({ "room": true })), 3, 49, "notify"),
        (mentions(json!({ "room": "true" })), 3, 50, "notify"),
        (
            json!({ "content": { "body": "@room me Ma*x" } }),
            3,
            100,
            "notify",
        ),
        (
            state("m.room.tombstone", json!({})),
            3,
            0,
            "notify highlight",
        ),
        (plain("m.room.tombstone"), 3, 0, ""),
        (state("m.room.server_acl", json!({})), 2, 0, ""),
        (
            json!({ "content": { "m.relates_to": { "rel_type": "m.replace" } } }),
            2,
            0,
            "",
        ),
        (
            json!({ "content": { "m.relates_to": { "rel_type": "m.thread" } } }),
            3,
            0,
            "notify",
        ),
    ];
    for (event, members, power, wanted) in cases {
        let outcome = judge(&rules, &event, &context(members, power));
        assert_eq!(short(&outcome), wanted, "{event} {members} {power}");
    }
}

#[test]
fn the_default_rules_are_those_of_the_spec_in_its_order() {
    let rules = Ruleset::server_default(ME);
    let ids = |kind| -> Vec<&str> {
        rules
            .of_kind(kind)
            .iter()
            .map(|rule| &*rule.rule_id)
            .collect()
    };
    let overrides = [
        "master",
        "suppress_notices",
        "invite_for_me",
        "member_event",
        "is_user_mention",
        "is_room_mention",
        "tombstone",
        "reaction",
        "room.server_acl",
        "suppress_edits",
    ];
    assert_eq!(
        ids(Kind::Override),
        overrides.map(|id| format!(".m.rule.{id}"))
    );
    let underrides = [
        "call",
        "encrypted_room_one_to_one",
        "room_one_to_one",
        "message",
        "encrypted",
    ];
    assert_eq!(
        ids(Kind::Underride),
        underrides.map(|id| format!(".m.rule.{id}"))
    );
    assert_eq!(
        (
            ids(Kind::Content).len(),
            ids(Kind::Room).len(),
            ids(Kind::Sender).len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn the_master_rule_silences_all() {
    let mut rules = Ruleset::server_default(ME);
    rules
        .set_enabled(Kind::Override, ".m.rule.master", true)
        .unwrap();
    let event = json!({ "content": { "body": "x" } });
    let outcome = judge(&rules, &event, &context(2, 0));
    assert_eq!((short(&outcome).as_str(), outcome.room_wide), ("", true));
}

fn with(
    kind: Kind,
    rule_id: &str,
    conditions: Value,
    pattern: Option<&str>,
    actions: Value,
) -> Ruleset {
    let mut rules = Ruleset::server_default(ME);
    let rule = Rule {
        actions: actions.as_array().unwrap().clone(),
        conditions: conditions.as_array().cloned(),
        default: false,
        enabled: true,
        pattern: pattern.map(str::to_owned),
        rule_id: rule_id.to_owned(),
    };
    rules.put(kind, rule, Neighbours::default()).unwrap();
    rules
}

#[test]
fn each_condition_holds_when_the_spec_says() {
    let event = json!({
        "type": "m.example",
        "state_key": "key",
        "content": {
            "body": "An example event, dear MA*X.",
            "topic": "Lunch plans",
            "m.federate": true,
            "count": 5, "half": 0.5, "none": null,
            "dots.in.key": { "back\\slash": "yes" },
            "list": ["#a:b", 7, true, null, ["nested"]],
            "empty": ""
        }
    });
    let matches =
        |key: &str, pattern: &str| json!({ "kind": "event_match", "key": key, "pattern": pattern });
    let is = |key: &str, value: Value| json!({ "kind": "event_property_is", "key": key, "value": value });
    let has = |value: Value| json!({ "kind": "event_property_contains", "key": "content.list", "value": value });
    let count = |is: &str| json!({ "kind": "room_member_count", "is": is });
    let may = |key: &str| json!({ "kind": "sender_notification_permission", "key": key });
    let cases = [
        (matches("content.topic", "lunc?*"), true),
        (matches("content.topic", "LUNCH"), false),
        (matches("content.topic", "*"), true),
        (matches("content.count", "*"), false),
        (matches("content.missing", "*"), false),
        (matches("content.empty", "*"), true),
        (matches("content.body", "ex*ple"), true),
        (matches("content.body", "xample"), false),
        (matches("type", "m.ex*"), true),
        (matches("state_key", "KEY"), true),
        (matches("sender", "@you:b"), true),
        (matches("room_id", "!room:b"), true),
        (
            matches("content.dots\\.in\\.key.back\\\\slash", "yes"),
            true,
        ),
        (matches("content.dots.in.key.back\\slash", "yes"), false),
        (is("content.m\\.federate", json!(true)), true),
        (is("content.m\\.federate", json!("true")), false),
        (is("content.m\\.federate", json!(1)), false),
        (is("content.count", json!(5)), true),
        (is("content.count", json!(5.5)), false),
        (is("content.half", json!(0.5)), false),
        (is("content.none", json!(null)), true),
        (is("content.missing", json!(null)), false),
        (is("content.topic", json!("lunch plans")), false),
        (is("content.topic", json!("Lunch plans")), true),
        (is("content.list", json!(["#a:b"])), false),
        (has(json!("#a:b")), true),
        (has(json!(":b")), false),
        (has(json!(7)), true),
        (has(json!(true)), true),
        (has(json!(null)), true),
        (has(json!("nested")), false),
        (json!({ "kind": "contains_display_name" }), true),
        (count("10"), true),
        (count("==10"), true),
        (count("<10"), false),
        (count("<=10"), true),
        (count(">9"), true),
        (count(">=11"), false),
        (count("=10"), false),
        (count("<"), false),
        (count(""), false),
        (may("team"), true),
        (may("room"), false),
        (json!({ "kind": "org.example.unknown" }), false),
        (json!({ "kind": "event_match", "key": "type" }), false),
    ];
    for (condition, holds) in cases {
        let rules = with(
            Kind::Override,
            "x",
            json!([condition]),
            None,
            json!(["notify"]),
        );
        let outcome = judge(&rules, &event, &context(10, 20));
        assert_eq!(outcome.notify, holds, "{condition}");
    }
}

#[test]
fn rules_are_asked_in_the_order_of_their_kinds() {
    let event = json!({ "content": { "body": "some cake", "m.mentions": { "user_ids": [ME] } } });
    let judge = |rules: &Ruleset| judge(rules, &event, &context(3, 0));
    // A mention is an override rule of the server: before content, room and sender rules, after own override rules.
    let content = with(Kind::Content, "x", json!(null), Some("cake"), json!([]));
    assert!(judge(&content).highlight);
    let own = json!([{ "kind": "event_match", "key": "room_id", "pattern": "!room:b" }]);
    let mute = with(Kind::Override, "!room:b", own, None, json!([]));
    let muted = judge(&mute);
    assert_eq!((short(&muted).as_str(), muted.notify), ("", false));
    let quiet = json!({ "content": { "body": "some cake" } });
    for (kind, rule_id, pattern) in [
        (Kind::Content, "x", Some("CAKE")),
        (Kind::Room, "!room:b", None),
        (Kind::Sender, "@you:b", None),
    ] {
        let rules = with(kind, rule_id, json!(null), pattern, json!([]));
        let outcome = super_judge(&rules, &quiet);
        assert!(!outcome.notify, "{kind:?}");
        let other = with(
            kind,
            "@other:b",
            json!(null),
            pattern.map(|_| "tea"),
            json!([]),
        );
        assert!(super_judge(&other, &quiet).notify, "{kind:?}");
    }
}

fn super_judge(rules: &Ruleset, event: &Value) -> Outcome {
    judge(rules, event, &context(3, 0))
}

#[test]
fn actions_say_how_to_notify() {
    let event = json!({ "content": { "body": "x" } });
    for (actions, wanted) in [
        (
            json!(["notify", { "set_tweak": "highlight" }]),
            "notify highlight",
        ),
        (
            json!(["notify", { "set_tweak": "highlight", "value": false }]),
            "notify",
        ),
        (
            json!(["notify", { "set_tweak": "sound", "value": "beer.wav" }]),
            "notify beer.wav",
        ),
        (json!(["notify", { "set_tweak": "flash" }]), "notify"),
        (json!([{ "set_tweak": "highlight" }]), ""),
        (json!(["dont_notify"]), ""),
        (json!(["coalesce"]), ""),
        (json!([]), ""),
    ] {
        let rules = with(Kind::Override, "x", json!([]), None, actions.clone());
        assert_eq!(
            short(&judge(&rules, &event, &context(3, 0))),
            wanted,
            "{actions}"
        );
    }
}

#[test]
fn rules_of_different_users_are_one_where_they_say_the_same() {
    let of = |user_id| Rules::of(&Ruleset::server_default(user_id));
    assert_eq!(of("@a:b"), of("@c:d"));
    assert_ne!(
        of("@a:b"),
        Rules::of(&with(Kind::Room, "!r:b", json!(null), None, json!([])))
    );
}

#[test]
fn nobody_is_mentioned_by_an_empty_id() {
    let content = json!({ "m.mentions": { "user_ids": [""] } }).to_string();
    let subject = Subject::new("m.room.message", "@you:b", "!room:b", None, &content);
    let nobody = Owner {
        user_id: "",
        displayname: None,
    };
    let verdict = outcome(&Rules::server_default(), &subject, &context(3, 0), &nobody);
    assert_eq!(short(&verdict), "notify");
}
