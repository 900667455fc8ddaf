//! The spec's own test vectors for signing, and tables for redaction and event formats.
//!
//! Source: appendices "Cryptographic Test Vectors", rooms v1 to v12 "Redactions", Matrix v1.19.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use room::canonical::{Numbers, canonicalize, write_object};
use room::json::parse_object;
use room::pdu::{Pdu, PduError};
use room::redact::redact;
use room::sign::{KnownKey, ServerKey, VerifyError, sign_event, sign_json, verify, verify_json};
use room::versions::Rules;

fn key() -> ServerKey {
    let seed = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    )
    .decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
    .unwrap();
    ServerKey::from_seed("domain".try_into().unwrap(), "1", &seed.try_into().unwrap())
}

fn known(_: &ruma_common::ServerName, _: &str) -> Option<KnownKey> {
    Some(KnownKey {
        key: key().public(),
        valid_until_ts: i64::MAX,
    })
}

fn rules(version: &str) -> &'static Rules {
    Rules::of_name(version).unwrap()
}

#[test]
fn json_is_signed_as_the_appendix_signs_it() {
    let table = [
        (
            "{}",
            r#"{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}"#,
        ),
        (
            r#"{"one": 1, "two": "Two"}"#,
            r#"{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}"#,
        ),
    ];
    for (json, signed) in table {
        assert_eq!(sign_json(json, &key()).as_deref(), Ok(signed));
        assert_eq!(
            verify_json(signed, "domain", "ed25519:1", &key().public()),
            Ok(())
        );
        assert!(
            verify_json(
                &signed.replacen('{', r#"{"x":0,"#, 1),
                "domain",
                "ed25519:1",
                &key().public()
            )
            .is_err()
        );
        assert!(verify_json(signed, "elsewhere", "ed25519:1", &key().public()).is_err());
        assert!(verify_json(signed, "domain", "ed25519:2", &key().public()).is_err());
    }
}

#[test]
fn events_are_signed_as_the_appendix_signs_them() {
    let table = [
        (
            r#"{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},"hashes":{},"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}"#,
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            r#"{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain","origin_server_ts":1000000,"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","signatures":{},"unsigned":{"age_ts":1000000}}"#,
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ];
    for (event, hash, signature) in table {
        let mut event = parse_object(event).unwrap();
        sign_event(rules("1"), &mut event, &key()).unwrap();
        let hashes = event.get("hashes").unwrap().as_object().unwrap();
        assert_eq!(hashes.get_str("sha256"), Some(hash));
        let signatures = event
            .get("signatures")
            .unwrap()
            .as_object()
            .unwrap()
            .get("domain")
            .unwrap();
        assert_eq!(
            signatures.as_object().unwrap().get_str("ed25519:1"),
            Some(signature)
        );
    }
}

fn redacted(version: &str, event: &str) -> String {
    let mut event = parse_object(event).unwrap();
    redact(rules(version), &mut event);
    let mut out = String::new();
    write_object(&event, |_| true, Numbers::Strict, &mut out).unwrap();
    out
}

/// Checks what is left of `content` of an event of `event_type` in each range of versions.
fn check_redaction(
    event_type: &str,
    content: &str,
    expected: &[(std::ops::RangeInclusive<usize>, &str)],
) {
    for (versions, left) in expected {
        for version in versions.clone() {
            let event = format!(r#"{{"type":"{event_type}","content":{content}}}"#);
            let left = canonicalize(
                &format!(r#"{{"type":"{event_type}","content":{left}}}"#),
                Numbers::Strict,
            )
            .unwrap();
            assert_eq!(
                redacted(&version.to_string(), &event),
                left,
                "{event_type} in version {version}"
            );
        }
    }
}

#[test]
fn redaction_keeps_what_each_version_says() {
    check_redaction(
        "m.room.message",
        r#"{"body":"x","membership":"join"}"#,
        &[(1..=12, "{}")],
    );
    check_redaction(
        "m.room.member",
        r#"{"membership":"join","displayname":"x","join_authorised_via_users_server":"@a:b","third_party_invite":{"display_name":"x","signed":{"token":"t"}}}"#,
        &[
            (1..=8, r#"{"membership":"join"}"#),
            (
                9..=10,
                r#"{"membership":"join","join_authorised_via_users_server":"@a:b"}"#,
            ),
            (
                11..=12,
                r#"{"membership":"join","join_authorised_via_users_server":"@a:b","third_party_invite":{"signed":{"token":"t"}}}"#,
            ),
        ],
    );
    check_redaction(
        "m.room.member",
        r#"{"membership":"invite","third_party_invite":{"display_name":"x"}}"#,
        &[
            (1..=10, r#"{"membership":"invite"}"#),
            (
                11..=12,
                r#"{"membership":"invite","third_party_invite":{}}"#,
            ),
        ],
    );
    check_redaction(
        "m.room.create",
        r#"{"creator":"@a:b","m.federate":false,"room_version":"1"}"#,
        &[
            (1..=10, r#"{"creator":"@a:b"}"#),
            (
                11..=12,
                r#"{"creator":"@a:b","m.federate":false,"room_version":"1"}"#,
            ),
        ],
    );
    check_redaction(
        "m.room.join_rules",
        r#"{"join_rule":"restricted","allow":[],"x":1}"#,
        &[
            (1..=7, r#"{"join_rule":"restricted"}"#),
            (8..=12, r#"{"join_rule":"restricted","allow":[]}"#),
        ],
    );
    let kept = r#""ban":1,"events":{},"events_default":2,"kick":3,"redact":4,"state_default":5,"users":{},"users_default":6"#;
    check_redaction(
        "m.room.power_levels",
        &format!(r#"{{{kept},"invite":7,"notifications":{{"room":8}}}}"#),
        &[
            (1..=10, &format!("{{{kept}}}")),
            (11..=12, &format!(r#"{{{kept},"invite":7}}"#)),
        ],
    );
    check_redaction(
        "m.room.aliases",
        r##"{"aliases":["#a:b"],"x":1}"##,
        &[(1..=5, r##"{"aliases":["#a:b"]}"##), (6..=12, "{}")],
    );
    check_redaction(
        "m.room.history_visibility",
        r#"{"history_visibility":"shared","x":1}"#,
        &[(1..=12, r#"{"history_visibility":"shared"}"#)],
    );
    check_redaction(
        "m.room.redaction",
        r#"{"redacts":"$a","reason":"x"}"#,
        &[(1..=10, "{}"), (11..=12, r#"{"redacts":"$a"}"#)],
    );
}

#[test]
fn redaction_strips_the_top_level() {
    let event = r#"{"type":"x","content":{},"redacts":"$a","origin":"b","membership":"join","prev_state":[],"age_ts":1,"unsigned":{},"depth":1,"state_key":""}"#;
    let old = r#"{"content":{},"depth":1,"membership":"join","origin":"b","prev_state":[],"state_key":"","type":"x"}"#;
    assert_eq!(redacted("10", event), old);
    assert_eq!(
        redacted("11", event),
        r#"{"content":{},"depth":1,"state_key":"","type":"x"}"#
    );
}

const EVENT: &str = r#"{"auth_events":[],"content":{"body":"hi"},"depth":3,"hashes":{},"origin_server_ts":1,"prev_events":[],"room_id":"!r:domain","sender":"@a:domain","type":"m.room.message"}"#;

fn signed(version: &str) -> String {
    let mut event = parse_object(EVENT).unwrap();
    sign_event(rules(version), &mut event, &key()).unwrap();
    let mut out = String::new();
    write_object(&event, |_| true, Numbers::Strict, &mut out).unwrap();
    out
}

#[test]
fn the_event_id_is_the_reference_hash_from_version_3() {
    let id =
        |version: &str| Pdu::parse(rules(version), EVENT).map(|pdu| pdu.event_id().to_string());
    let (third, fourth) = (id("3").unwrap(), id("4").unwrap());
    assert_eq!(third.len(), 44);
    assert_eq!(third.replace('+', "-").replace('/', "_"), fourth);
    let hash = ruma_signatures::reference_hash(
        &serde_json::from_str(EVENT).unwrap(),
        &ruma_common::RoomVersionId::V4.rules().unwrap(),
    );
    assert_eq!(fourth, format!("${}", hash.unwrap()));
    assert_eq!(id("1"), Err(PduError::Missing("event_id")));
}

#[test]
fn a_signed_event_verifies_and_a_changed_one_is_redacted() {
    let intact = Pdu::parse(rules("11"), &signed("11")).unwrap();
    assert_eq!(
        verify(intact, &known).unwrap().content(),
        r#"{"body":"hi"}"#
    );
    let changed = Pdu::parse(rules("11"), &signed("11").replace("hi", "ho")).unwrap();
    assert_eq!(verify(changed, &known).unwrap().content(), "{}");
}

#[test]
fn a_wrong_missing_or_unknown_signature_is_told_apart() {
    let verify_with = |text: &str, keys: &dyn room::sign::Keys| {
        verify(Pdu::parse(rules("11"), text).unwrap(), keys)
            .map(|verified| verified.event_id().to_string())
    };
    let text = signed("11");
    assert!(matches!(
        verify_with(&text.replace("\"depth\":3", "\"depth\":4"), &known),
        Err(VerifyError::WrongSignature(_))
    ));
    assert!(matches!(
        verify_with(EVENT, &known),
        Err(VerifyError::NotSigned(_))
    ));
    let no_key = |_: &ruma_common::ServerName, _: &str| None;
    assert!(matches!(
        verify_with(&text, &no_key),
        Err(VerifyError::MissingKeys(_))
    ));
    let expired = |_: &ruma_common::ServerName, _: &str| {
        Some(KnownKey {
            key: key().public(),
            valid_until_ts: 0,
        })
    };
    assert!(matches!(
        verify_with(&text, &expired),
        Err(VerifyError::ExpiredKey(_))
    ));
    let old = Pdu::parse(rules("4"), &signed("4")).unwrap();
    assert!(
        verify(old, &expired).is_ok(),
        "before version 5 expiry does not count"
    );
}

#[test]
fn what_breaks_the_event_format_is_dropped() {
    let table: [(&str, &str); 12] = [
        ("\"depth\":3", "\"depth\":-1"),
        ("\"depth\":3", "\"depth\":\"3\""),
        ("\"depth\":3,", ""),
        ("\"content\":{\"body\":\"hi\"}", "\"content\":[]"),
        ("\"prev_events\":[]", "\"prev_events\":[1]"),
        ("\"prev_events\":[]", "\"prev_events\":[[\"$a:b\",{}]]"),
        ("\"auth_events\":[]", "\"auth_events\":{}"),
        ("@a:domain", "a:domain"),
        ("!r:domain", "#r:domain"),
        ("m.room.message\"", "m.room.message\",\"state_key\":1"),
        ("\"body\":\"hi\"", "\"body\":1.5"),
        ("\"origin_server_ts\":1", "\"origin_server_ts\":null"),
    ];
    for (from, to) in table {
        assert!(
            Pdu::parse(rules("11"), &EVENT.replace(from, to)).is_err(),
            "{to}"
        );
    }
    let prev_events = |count: usize| {
        EVENT.replace(
            "\"prev_events\":[]",
            &format!("\"prev_events\":{:?}", vec!["$a"; count]),
        )
    };
    assert!(Pdu::parse(rules("11"), &prev_events(20)).is_ok());
    assert_eq!(
        Pdu::parse(rules("11"), &prev_events(21)).unwrap_err(),
        PduError::TooManyEvents("prev_events")
    );
    let body = |bytes: usize| EVENT.replace("hi", &"x".repeat(bytes));
    let fits = 65_536 - EVENT.len() + 2;
    assert!(Pdu::parse(rules("11"), &body(fits)).is_ok());
    assert_eq!(
        Pdu::parse(rules("11"), &body(fits + 1)).unwrap_err(),
        PduError::TooLarge(65_537)
    );
    let long = |bytes: usize| EVENT.replace("m.room.message", &"x".repeat(bytes));
    assert!(Pdu::parse(rules("11"), &long(255)).is_ok());
    assert_eq!(
        Pdu::parse(rules("11"), &long(256)).unwrap_err(),
        PduError::NameTooLong("type")
    );
}

#[test]
fn unsigned_is_no_part_of_an_event() {
    let padded = EVENT.replacen(
        '{',
        &format!(r#"{{"unsigned":{{"age":1,"x":"{}"}},"#, "x".repeat(70_000)),
        1,
    );
    let pdu = Pdu::parse(rules("11"), &padded).unwrap();
    assert_eq!(pdu.json(), EVENT);
    assert_eq!(
        pdu.event_id(),
        Pdu::parse(rules("11"), EVENT).unwrap().event_id()
    );
}

#[test]
fn floats_pass_until_version_5() {
    let event = EVENT.replace("\"hi\"", "1.50");
    assert!(Pdu::parse(rules("6"), &event).is_err());
    assert_eq!(
        Pdu::parse(rules("5"), &event).unwrap().content(),
        r#"{"body":1.5}"#
    );
}

#[test]
fn the_unpadded_seed_has_loose_bits() {
    // Guards the helper above: the appendix's seed is not strict base64.
    assert!(
        STANDARD_NO_PAD
            .decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
            .is_err()
    );
}
