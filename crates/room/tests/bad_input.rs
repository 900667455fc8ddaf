//! What comes from elsewhere may be anything: it is refused, or it is an event whose client form is sound.

use proptest::prelude::*;
use room::client_format::{ClientBody, Unsigned};
use room::json::DEPTH_MAX;
use room::pdu::Pdu;
use room::relations::relations;
use room::versions::Rules;
use serde_json::{Value, json};

/// Any JSON that is not deep, with the keys and values that the code looks for among others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop_oneof![
            Just("join"),
            Just("invite"),
            Just("@a:b"),
            Just("$a"),
            Just("m.replace"),
            Just("public")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![
            "\\PC{0,6}",
            prop_oneof![
                Just("membership"),
                Just("users"),
                Just("third_party_invite"),
                Just("signed"),
                Just("m.relates_to"),
                Just("event_id"),
                Just("rel_type"),
                Just("join_rule"),
                Just("redacts"),
                Just("additional_creators"),
            ]
            .prop_map(ToOwned::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An event of which one field is anything.
fn any_event() -> impl Strategy<Value = (usize, Value)> {
    let kinds = prop_oneof![
        Just("m.room.member"),
        Just("m.room.create"),
        Just("m.room.power_levels"),
        Just("m.room.join_rules"),
        Just("m.room.redaction"),
        Just("m.room.message"),
    ];
    let fields = prop_oneof![
        3 => Just("content"), 1 => Just("state_key"), 1 => Just("prev_events"), 1 => Just("auth_events"), 1 => Just("depth"),
        1 => Just("room_id"), 1 => Just("sender"), 1 => Just("hashes"), 1 => Just("unsigned"), 1 => Just("redacts"), 1 => Just("x"),
    ];
    (0..12usize, kinds, fields, any_json()).prop_map(|(version, kind, field, value)| {
        let mut event = json!({
            "type": kind, "state_key": "", "sender": "@a:b", "room_id": "!r:b", "depth": 1, "origin_server_ts": 1,
            "content": {}, "prev_events": [], "auth_events": [], "hashes": {}, "signatures": {}, "event_id": "$a:b",
        });
        event[field] = value;
        (version, event)
    })
}

proptest! {
    #[test]
    fn bytes_are_refused_or_read_and_never_a_panic(bytes: Vec<u8>, version in 0..12usize) {
        let _ = Pdu::parse_bytes(&Rules::all()[version], &bytes);
    }

    #[test]
    fn an_event_with_anything_in_it_is_refused_or_sound((version, event) in any_event()) {
        let rules = &Rules::all()[version];
        let Ok(pdu) = Pdu::parse(rules, &event.to_string()) else { return Ok(()) };
        // What is kept reads back as the same event, however it is read.
        let again = Pdu::parse(rules, pdu.json()).unwrap();
        prop_assert_eq!(again.json(), pdu.json());
        prop_assert_eq!(again.event_id(), pdu.event_id());
        let stored = Pdu::from_stored(rules, pdu.event_id().to_owned(), pdu.json()).unwrap();
        prop_assert_eq!(format!("{stored:?}"), format!("{pdu:?}"));
        let redacted = pdu.redacted();
        let twice = redacted.redacted();
        prop_assert_eq!(twice.json(), redacted.json());
        let _ = (relations(pdu.content()), room::auth::authorize(&pdu, &room::state::StateMap::default()));
        // Its client form says what the event says, and no more.
        let client: Value = serde_json::from_str(&ClientBody::of(&pdu).event(Some(pdu.room_id()), &Unsigned::default())).unwrap();
        let kept: Value = serde_json::from_str(pdu.json()).unwrap();
        prop_assert_eq!(&client["type"], &kept["type"]);
        prop_assert_eq!(&client["sender"], &kept["sender"]);
        prop_assert_eq!(client["event_id"].as_str(), Some(pdu.event_id().as_str()));
        prop_assert_eq!(client["room_id"].as_str(), Some(pdu.room_id().as_str()));
        if pdu.event_type() != "m.room.redaction" {
            prop_assert_eq!(&client["content"], &kept["content"]);
        }
        for hidden in ["hashes", "signatures", "prev_events", "auth_events", "depth", "unsigned"] {
            prop_assert!(client.get(hidden).is_none());
        }
    }
}

#[test]
fn deep_json_is_refused_wherever_it_stands() {
    for rules in Rules::all() {
        let deep = |levels: usize| {
            let content = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
            format!(
                r#"{{"type":"x","sender":"@a:b","room_id":"!r:b","event_id":"$a:b","depth":1,"origin_server_ts":1,"content":{content},
                   "prev_events":[],"auth_events":[],"hashes":{{}},"signatures":{{}}}}"#
            )
        };
        assert!(Pdu::parse(rules, &deep(DEPTH_MAX - 1)).is_ok(), "{rules}");
        for levels in [DEPTH_MAX, 1_000, 100_000] {
            assert!(
                Pdu::parse(rules, &deep(levels)).is_err(),
                "{rules}: {levels}"
            );
        }
    }
}
