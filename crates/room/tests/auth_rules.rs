//! The authorization rules, one by one: what each allows and what it forbids, in each version that has it.
//!
//! Source: rooms v1 to v12 "Authorisation rules", Matrix v1.19.

#[path = "told/world.rs"]
mod world;

use room::auth::{AuthEvent, Deed, Reason, check_auth_events, check_create};
use room::sign::{ServerKey, sign_json};
use serde_json::{Value, json};
use world::{ALICE, BOB, CAROL, Told, World, join_rule, levels, member, message, state, versions};

/// A public room with Alice (100) and Bob (50).
fn room_of_two(version: &str) -> World {
    let users = match version {
        "12" => json!({ BOB: 50 }),
        _ => json!({ ALICE: 100, BOB: 50 }),
    };
    World::new(version)
        .with(join_rule("public"))
        .with(levels(json!({ "users": users })))
        .with(member(BOB, BOB, "join"))
}

// Rule 1: m.room.create

#[test]
fn a_create_event_founds_a_room() {
    for version in versions(1..=12) {
        assert_eq!(
            check_create(World::new(&version).create()),
            Ok(()),
            "{version}"
        );
    }
}

#[test]
fn a_create_event_follows_nothing() {
    for version in versions(1..=12) {
        let world = World::new(&version);
        let create = state(ALICE, "m.room.create", "", json!({ "creator": ALICE }));
        let event = world.event_with(&create, |event| {
            event["prev_events"] = world.reference("$a:a.example")
        });
        assert_eq!(
            check_create(&event),
            Err(Reason::CreateHasPrevEvents),
            "{version}"
        );
    }
}

#[test]
fn a_create_event_makes_its_room_id_or_is_of_its_server() {
    let create = |sender| state(sender, "m.room.create", "", json!({ "creator": sender }));
    for version in versions(1..=11) {
        let event = World::new(&version).event(&create(BOB));
        assert_eq!(
            check_create(&event),
            Err(Reason::CreateOfOtherServer),
            "{version}"
        );
    }
    let event = World::new("12").event_with(&create(ALICE), |event| {
        event["room_id"] = json!(world::ROOM)
    });
    assert_eq!(check_create(&event), Err(Reason::CreateHasRoomId));
}

#[test]
fn a_create_event_names_a_version_that_is_known() {
    for version in versions(1..=12) {
        for (name, known) in [
            (json!("1"), true),
            (json!("12"), true),
            (json!("13"), false),
            (json!(1), false),
        ] {
            let create = state(
                ALICE,
                "m.room.create",
                "",
                json!({ "creator": ALICE, "room_version": name }),
            );
            let decided = check_create(&World::new(&version).event(&create));
            assert_eq!(
                matches!(decided, Err(Reason::UnknownRoomVersion(_))),
                !known,
                "{version} {name}"
            );
        }
    }
}

#[test]
fn a_create_event_names_its_creator_until_version_10() {
    for version in versions(1..=12) {
        let decided = check_create(&World::new(&version).event(&state(
            ALICE,
            "m.room.create",
            "",
            json!({}),
        )));
        let expected = if version.parse::<u8>().unwrap() <= 10 {
            Err(Reason::CreateHasNoCreator)
        } else {
            Ok(())
        };
        assert_eq!(decided, expected, "{version}");
    }
}

#[test]
fn additional_creators_are_user_ids() {
    let decide = |version: &str, creators: Value| {
        let create = state(
            ALICE,
            "m.room.create",
            "",
            json!({ "creator": ALICE, "additional_creators": creators }),
        );
        check_create(&World::new(version).event(&create))
    };
    assert_eq!(decide("12", json!([BOB, CAROL])), Ok(()));
    assert_eq!(decide("12", json!([])), Ok(()));
    for wrong in [
        json!("x"),
        json!([1]),
        json!(["bob"]),
        json!(["@bob"]),
        json!({}),
        json!(null),
    ] {
        assert_eq!(
            decide("12", wrong.clone()),
            Err(Reason::MalformedAdditionalCreators),
            "{wrong}"
        );
        assert_eq!(
            decide("11", wrong),
            Ok(()),
            "before version 12 nobody looks"
        );
    }
}

// Rules 2 and 3: auth_events

/// Decides on a message of Alice's that names these events (by index in the state) and the rejected one among them.
fn decide_auth_events(
    world: &World,
    named: &[usize],
    rejected: Option<usize>,
) -> Result<(), Reason> {
    let event = world.event(&message(ALICE, "m.room.message", json!({})));
    let auth_event = |at: usize| AuthEvent {
        pdu: &world.state[at],
        rejected: rejected == Some(at),
    };
    let auth_events: Vec<_> = named.iter().map(|at| auth_event(*at)).collect();
    check_auth_events(&event, &auth_events, Some(auth_event(0)))
}

#[test]
fn auth_events_are_those_that_bear_on_the_event() {
    for version in versions(1..=12) {
        // The state: create, Alice's join, power levels, join rules.
        let world = World::new(&version)
            .with(levels(json!({})))
            .with(join_rule("public"));
        let id = |at: usize| world.state[at].event_id().to_owned();
        let base: &[usize] = if version == "12" { &[] } else { &[0] };
        let with = |more: &[usize]| [base, more].concat();
        assert_eq!(
            decide_auth_events(&world, &with(&[1, 2]), None),
            Ok(()),
            "{version}"
        );
        assert_eq!(
            decide_auth_events(&world, &with(&[1]), None),
            Ok(()),
            "{version}: one too few is no reason"
        );
        assert_eq!(
            decide_auth_events(&world, &with(&[1, 3]), None),
            Err(Reason::UnexpectedAuthEvent(id(3))),
            "{version}"
        );
        assert_eq!(
            decide_auth_events(&world, &with(&[1, 1]), None),
            Err(Reason::DuplicateAuthEvent(id(1))),
            "{version}"
        );
        assert_eq!(
            decide_auth_events(&world, &with(&[1, 2]), Some(2)),
            Err(Reason::RejectedAuthEvent(id(2))),
            "{version}"
        );
    }
}

#[test]
fn the_create_event_is_named_until_version_11_and_never_from_version_12() {
    for version in versions(1..=11) {
        assert_eq!(
            decide_auth_events(&World::new(&version), &[1], None),
            Err(Reason::NoCreateEvent),
            "{version}"
        );
    }
    let world = World::new("12");
    let named = Reason::UnexpectedAuthEvent(world.create().event_id().to_owned());
    assert_eq!(decide_auth_events(&world, &[0, 1], None), Err(named));
    let room = || Reason::NoSuchRoom(world.create().room_id().to_owned());
    assert_eq!(
        decide_auth_events(&world, &[1], Some(0)),
        Err(room()),
        "a rejected create event founds no room"
    );
    let event = world.event(&message(ALICE, "m.room.message", json!({})));
    assert_eq!(check_auth_events(&event, &[], None), Err(room()));
    let other = World::created("12", json!({ "other": true }));
    let create = AuthEvent {
        pdu: other.create(),
        rejected: false,
    };
    assert_eq!(check_auth_events(&event, &[], Some(create)), Err(room()));
}

#[test]
fn auth_events_of_another_room_give_no_power() {
    for version in versions(1..=12) {
        let (world, mut other) = (
            World::new(&version),
            World::created(&version, json!({ "other": true })),
        );
        if version != "12" {
            other.room_id = "!other:a.example".to_owned();
        }
        let foreign = other.event(&member(ALICE, ALICE, "join"));
        let event = world.event(&message(ALICE, "m.room.message", json!({})));
        let auth_event = |pdu| AuthEvent {
            pdu,
            rejected: false,
        };
        let named = match version.as_str() {
            "12" => vec![auth_event(&foreign)],
            _ => vec![auth_event(world.create()), auth_event(&foreign)],
        };
        let decided = check_auth_events(&event, &named, Some(auth_event(world.create())));
        assert_eq!(
            decided,
            Err(Reason::AuthEventOfOtherRoom(foreign.event_id().to_owned())),
            "{version}"
        );
    }
}

// Rule 4: m.federate

#[test]
fn a_room_that_does_not_federate_is_for_users_of_its_server() {
    for version in versions(1..=12) {
        let world =
            World::created(&version, json!({ "m.federate": false })).with(join_rule("public"));
        world.allows(member("@dora:a.example", "@dora:a.example", "join"));
        world.forbids(member(BOB, BOB, "join"), Reason::NotFederated);
    }
}

// m.room.aliases

#[test]
fn aliases_are_the_state_of_a_server_until_version_5() {
    for version in versions(1..=5) {
        let world = World::new(&version);
        world.allows(state(BOB, "m.room.aliases", "b.example", json!({})));
        world.forbids(
            state(BOB, "m.room.aliases", "a.example", json!({})),
            Reason::AliasesOfOtherServer,
        );
        world.forbids(
            message(BOB, "m.room.aliases", json!({})),
            Reason::AliasesOfOtherServer,
        );
    }
    for version in versions(6..=12) {
        World::new(&version).forbids(
            state(BOB, "m.room.aliases", "b.example", json!({})),
            Reason::SenderNotJoined,
        );
    }
}

// Rule 5: m.room.member

#[test]
fn a_membership_is_the_state_of_a_user_and_of_a_known_kind() {
    for version in versions(1..=12) {
        let world = World::new(&version);
        world.forbids(
            message(ALICE, "m.room.member", json!({ "membership": "join" })),
            Reason::MemberWithoutStateKey,
        );
        for content in [
            json!({}),
            json!({ "membership": "wat" }),
            json!({ "membership": 1 }),
        ] {
            world.forbids(
                state(ALICE, "m.room.member", ALICE, content),
                Reason::UnknownMembership,
            );
        }
    }
}

#[test]
fn the_creator_joins_right_after_the_create_event() {
    for version in versions(1..=12) {
        let mut world = World::created(&version, json!({ "additional_creators": [BOB] }));
        world.state.truncate(1);
        let create = world.reference(world.create().event_id().as_str());
        let first = |user: &str| {
            world.event_with(&member(user, user, "join"), |event| {
                event["prev_events"] = create.clone()
            })
        };
        assert_eq!(world.decide_event(&first(ALICE)), Ok(()), "{version}");
        assert_eq!(
            world.decide_event(&first(BOB)),
            Err(Reason::NotInvited),
            "{version}: nor do additional creators"
        );
        world.forbids(member(ALICE, ALICE, "join"), Reason::NotInvited);
    }
}

#[test]
fn joins_by_join_rule() {
    for version in versions(1..=12) {
        let number: u8 = version.parse().unwrap();
        for (rule, since) in [
            ("invite", 1),
            ("public", 1),
            ("knock", 7),
            ("restricted", 8),
            ("knock_restricted", 10),
            ("private", 99),
        ] {
            let world = World::new(&version).with(join_rule(rule));
            let known = number >= since;
            let stranger = match (rule, known) {
                ("public", _) => Ok(()),
                ("restricted" | "knock_restricted", true) => Err(Reason::JoinNotAuthorised),
                (_, true) => Err(Reason::NotInvited),
                (_, false) => Err(Reason::JoinRuleForbids),
            };
            assert_eq!(
                world.decide(&member(BOB, BOB, "join")),
                stranger,
                "{version} {rule}"
            );
            for before in ["invite", "join"] {
                let expected = if known {
                    Ok(())
                } else {
                    Err(Reason::JoinRuleForbids)
                };
                let world = world.clone().with(member(ALICE, BOB, before));
                assert_eq!(
                    world.decide(&member(BOB, BOB, "join")),
                    expected,
                    "{version} {rule} {before}"
                );
            }
            let banned = world.clone().with(member(ALICE, BOB, "ban"));
            banned.forbids(member(BOB, BOB, "join"), Reason::Banned);
            world.forbids(member(ALICE, BOB, "join"), Reason::NotForAnother);
        }
        World::new(&version).forbids(member(BOB, BOB, "join"), Reason::NotInvited);
    }
}

#[test]
fn a_restricted_join_needs_a_joined_voucher_who_may_invite() {
    let by = |voucher: Value| {
        state(
            CAROL,
            "m.room.member",
            CAROL,
            json!({ "membership": "join", "join_authorised_via_users_server": voucher }),
        )
    };
    for version in versions(8..=12) {
        let world = room_of_two(&version).with(join_rule("restricted"));
        world.allows(by(json!(BOB)));
        world.allows(by(json!(ALICE)));
        world.forbids(by(json!("@nobody:b.example")), Reason::JoinNotAuthorised);
        world.forbids(by(json!(7)), Reason::MalformedJoinAuthorised);
        world.forbids(member(CAROL, CAROL, "join"), Reason::JoinNotAuthorised);
        let left = world.clone().with(member(BOB, BOB, "leave"));
        left.forbids(by(json!(BOB)), Reason::JoinNotAuthorised);
        let users = if version == "12" {
            json!({ BOB: 50 })
        } else {
            json!({ ALICE: 100, BOB: 50 })
        };
        let strict = world
            .clone()
            .with(levels(json!({ "users": users, "invite": 51 })));
        strict.forbids(by(json!(BOB)), Reason::JoinNotAuthorised);
        strict.allows(by(json!(ALICE)));
        let banned = world.with(member(ALICE, CAROL, "ban"));
        banned.forbids(by(json!(ALICE)), Reason::Banned);
    }
}

#[test]
fn invites() {
    for version in versions(1..=12) {
        let world = room_of_two(&version);
        world.allows(member(BOB, CAROL, "invite"));
        world.forbids(
            member(CAROL, "@dora:d.example", "invite"),
            Reason::SenderNotJoined,
        );
        world.forbids(member(ALICE, BOB, "invite"), Reason::AlreadyJoined);
        world
            .clone()
            .with(member(ALICE, CAROL, "ban"))
            .forbids(member(BOB, CAROL, "invite"), Reason::Banned);
        world
            .clone()
            .with(member(ALICE, CAROL, "leave"))
            .allows(member(BOB, CAROL, "invite"));
        let strict = world.with(levels(json!({ "users": { BOB: 50 }, "invite": 51 })));
        strict.forbids(
            member(BOB, CAROL, "invite"),
            Reason::LacksPower(Deed::Invite),
        );
    }
}

fn third_party_world(version: &str, made_by: &str) -> World {
    let key = identity_key().public().to_base64();
    let content = json!({ "display_name": "c", "public_keys": [{ "public_key": key }], "public_key": "AAAA" });
    room_of_two(version).with(state(
        made_by,
        "m.room.third_party_invite",
        "token",
        content,
    ))
}

fn identity_key() -> ServerKey {
    ServerKey::from_seed("identity.example".try_into().unwrap(), "0", &[3; 32])
}

fn third_party_invite(sender: &str, mxid: &str, token: &str) -> Told {
    let signed = sign_json(
        &json!({ "mxid": mxid, "token": token }).to_string(),
        &identity_key(),
    )
    .unwrap();
    let signed: Value = serde_json::from_str(&signed).unwrap();
    let content = json!({ "membership": "invite", "third_party_invite": { "signed": signed, "display_name": "c" } });
    state(sender, "m.room.member", CAROL, content)
}

#[test]
fn a_third_party_invite_is_taken_up_by_who_proves_the_address() {
    for version in versions(1..=12) {
        let world = third_party_world(&version, BOB);
        world.allows(third_party_invite(BOB, CAROL, "token"));
        world.forbids(
            third_party_invite(BOB, ALICE, "token"),
            Reason::ThirdPartyInviteForOther,
        );
        world.forbids(
            third_party_invite(BOB, CAROL, "other"),
            Reason::NoThirdPartyInvite,
        );
        world.forbids(
            third_party_invite(ALICE, CAROL, "token"),
            Reason::ThirdPartyInviteByOther,
        );
        let mut forged = third_party_invite(BOB, CAROL, "token");
        forged.content["third_party_invite"]["signed"]["more"] = json!(1);
        world.forbids(forged, Reason::ThirdPartyInviteNotSigned);
        for wrong in [
            json!({}),
            json!({ "signed": {} }),
            json!({ "signed": { "mxid": CAROL } }),
            json!(1),
        ] {
            let invite = state(
                BOB,
                "m.room.member",
                CAROL,
                json!({ "membership": "invite", "third_party_invite": wrong }),
            );
            world.forbids(invite, Reason::MalformedThirdPartyInvite);
        }
        let banned = world.with(member(ALICE, CAROL, "ban"));
        banned.forbids(third_party_invite(BOB, CAROL, "token"), Reason::Banned);
    }
}

#[test]
fn leaving_is_for_who_is_there_invited_or_knocking() {
    for version in versions(1..=12) {
        let world = World::new(&version);
        let number: u8 = version.parse().unwrap();
        for (before, since) in [("invite", 1), ("join", 1), ("knock", 7)] {
            let expected = if number >= since {
                Ok(())
            } else {
                Err(Reason::NothingToLeave)
            };
            let world = world.clone().with(member(ALICE, BOB, before));
            assert_eq!(
                world.decide(&member(BOB, BOB, "leave")),
                expected,
                "{version} {before}"
            );
        }
        for before in ["leave", "ban"] {
            world
                .clone()
                .with(member(ALICE, BOB, before))
                .forbids(member(BOB, BOB, "leave"), Reason::NothingToLeave);
        }
        world.forbids(member(BOB, BOB, "leave"), Reason::NothingToLeave);
    }
}

#[test]
fn kicks_bans_and_unbans_take_power_and_a_weaker_target() {
    for version in versions(1..=12) {
        let world = room_of_two(&version).with(member(CAROL, CAROL, "join"));
        for (membership, deed) in [("leave", Deed::Kick), ("ban", Deed::Ban)] {
            world.allows(member(ALICE, BOB, membership));
            world.allows(member(BOB, CAROL, membership));
            world.forbids(member(BOB, ALICE, membership), Reason::LacksPower(deed));
            world.forbids(
                member(CAROL, "@dora:d.example", membership),
                Reason::LacksPower(deed),
            );
            world.forbids(
                member("@dora:d.example", CAROL, membership),
                Reason::SenderNotJoined,
            );
            let equal = world
                .clone()
                .with(levels(json!({ "users": { BOB: 50, CAROL: 50 } })));
            equal.forbids(member(BOB, CAROL, membership), Reason::LacksPower(deed));
        }
        let banned = world.with(member(ALICE, CAROL, "ban"));
        banned.allows(member(BOB, CAROL, "leave"));
        banned
            .with(levels(json!({ "users": { BOB: 50 }, "ban": 51 })))
            .forbids(member(BOB, CAROL, "leave"), Reason::LacksPower(Deed::Unban));
    }
}

#[test]
fn knocking_by_join_rule_and_version() {
    for version in versions(1..=12) {
        let number: u8 = version.parse().unwrap();
        for (rule, since) in [
            ("knock", 7),
            ("knock_restricted", 10),
            ("public", 99),
            ("invite", 99),
            ("restricted", 99),
        ] {
            let expected = match (number >= since, number >= 7) {
                (true, _) => Ok(()),
                (false, true) => Err(Reason::KnockNotAllowed),
                (false, false) => Err(Reason::UnknownMembership),
            };
            let world = World::new(&version).with(join_rule(rule));
            assert_eq!(
                world.decide(&member(BOB, BOB, "knock")),
                expected,
                "{version} {rule}"
            );
        }
    }
    for version in versions(7..=12) {
        let world = World::new(&version).with(join_rule("knock"));
        world.forbids(member(ALICE, BOB, "knock"), Reason::NotForAnother);
        for before in ["ban", "invite", "join"] {
            world
                .clone()
                .with(member(ALICE, BOB, before))
                .forbids(member(BOB, BOB, "knock"), Reason::KnockNotNeeded);
        }
        for before in ["leave", "knock"] {
            world
                .clone()
                .with(member(ALICE, BOB, before))
                .allows(member(BOB, BOB, "knock"));
        }
    }
}

// Rules 6 to 9

#[test]
fn only_members_send() {
    for version in versions(1..=12) {
        let world = room_of_two(&version);
        world.allows(message(BOB, "m.room.message", json!({})));
        for membership in ["leave", "ban", "invite"] {
            let world = world.clone().with(member(ALICE, BOB, membership));
            world.forbids(
                message(BOB, "m.room.message", json!({})),
                Reason::SenderNotJoined,
            );
        }
    }
}

#[test]
fn third_party_invites_take_the_power_to_invite_and_no_other() {
    for version in versions(1..=12) {
        let invite = |sender| state(sender, "m.room.third_party_invite", "t", json!({}));
        let world = room_of_two(&version).with(member(CAROL, CAROL, "join"));
        world.allows(invite(CAROL));
        let strict = world.with(levels(json!({ "users": { BOB: 50 }, "invite": 50, "events": { "m.room.third_party_invite": 99 } })));
        strict.allows(invite(BOB));
        strict.forbids(invite(CAROL), Reason::LacksPower(Deed::Invite));
    }
}

#[test]
fn sending_takes_the_power_of_its_type() {
    for version in versions(1..=12) {
        let content = json!({ "users": { BOB: 50 }, "events": { "m.low": 0, "m.high": 51 }, "events_default": 10, "state_default": 50 });
        let world = room_of_two(&version)
            .with(member(CAROL, CAROL, "join"))
            .with(levels(content));
        let lacks = Reason::LacksPower(Deed::Send);
        world.allows(state(BOB, "m.any", "", json!({})));
        world.allows(message(BOB, "m.any", json!({})));
        world.forbids(message(BOB, "m.high", json!({})), lacks.clone());
        world.forbids(message(CAROL, "m.any", json!({})), lacks.clone());
        world.allows(state(CAROL, "m.low", "", json!({})));
        world.forbids(state(CAROL, "m.any", "", json!({})), lacks);
    }
}

#[test]
fn without_power_levels_the_creator_alone_sets_state() {
    for version in versions(1..=12) {
        let world = World::new(&version).with(member(BOB, BOB, "join"));
        world.allows(state(ALICE, "m.room.name", "", json!({})));
        world.allows(message(BOB, "m.room.message", json!({})));
        world.forbids(
            state(BOB, "m.room.name", "", json!({})),
            Reason::LacksPower(Deed::Send),
        );
    }
}

#[test]
fn the_state_of_a_user_is_set_by_that_user() {
    for version in versions(1..=12) {
        let world = room_of_two(&version);
        world.allows(state(BOB, "m.own", BOB, json!({})));
        world.forbids(
            state(ALICE, "m.own", BOB, json!({})),
            Reason::StateOfAnotherUser,
        );
        world.forbids(
            state(ALICE, "m.own", "@", json!({})),
            Reason::StateOfAnotherUser,
        );
        world.allows(state(ALICE, "m.own", "b@", json!({})));
    }
}

// Rule 10: m.room.power_levels

fn changed(sender: &str, content: Value) -> Told {
    state(sender, "m.room.power_levels", "", content)
}

/// A room where Bob (50) may change power levels.
fn room_with_levels(version: &str, mut content: Value) -> World {
    content["users"][BOB] = json!(50);
    room_of_two(version).with(levels(content))
}

#[test]
fn nobody_raises_a_level_above_their_own_or_lowers_one_that_is() {
    for version in versions(1..=12) {
        for name in [
            "users_default",
            "events_default",
            "state_default",
            "ban",
            "redact",
            "kick",
            "invite",
        ] {
            let of = |level: i64| json!({ "users": { BOB: 50 }, name: level, "events": { "m.room.power_levels": 0 } });
            let at = |level| room_with_levels(&version, of(level));
            at(10).allows(changed(BOB, of(50)));
            at(10).forbids(changed(BOB, of(51)), Reason::NewLevelAboveOwn(name.into()));
            at(51).forbids(changed(BOB, of(10)), Reason::LevelAboveOwn(name.into()));
            at(51).allows(changed(BOB, of(51)));
            let gone = json!({ "users": { BOB: 50 }, "events": { "m.room.power_levels": 0 } });
            at(51).forbids(
                changed(BOB, gone.clone()),
                Reason::LevelAboveOwn(name.into()),
            );
            at(50).allows(changed(BOB, gone));
        }
    }
}

#[test]
fn nobody_touches_event_levels_above_their_own() {
    for version in versions(1..=12) {
        let of = |level: i64| json!({ "users": { BOB: 50 }, "events": { "m.x": level, "m.room.power_levels": 0 } });
        let none = json!({ "users": { BOB: 50 }, "events": { "m.room.power_levels": 0 } });
        let at = |level| room_with_levels(&version, of(level));
        at(10).allows(changed(BOB, of(50)));
        at(10).forbids(
            changed(BOB, of(51)),
            Reason::NewLevelAboveOwn("events.m.x".into()),
        );
        at(51).forbids(
            changed(BOB, of(50)),
            Reason::LevelAboveOwn("events.m.x".into()),
        );
        at(51).forbids(
            changed(BOB, none.clone()),
            Reason::LevelAboveOwn("events.m.x".into()),
        );
        room_with_levels(&version, none).forbids(
            changed(BOB, of(51)),
            Reason::NewLevelAboveOwn("events.m.x".into()),
        );
    }
}

#[test]
fn notification_levels_are_guarded_from_version_6() {
    for version in versions(1..=12) {
        let of = |level: i64| json!({ "users": { BOB: 50 }, "notifications": { "room": level } });
        let decided = room_with_levels(&version, of(51)).decide(&changed(BOB, of(10)));
        let guarded = version.parse::<u8>().unwrap() >= 6;
        let expected = if guarded {
            Err(Reason::LevelAboveOwn("notifications.room".into()))
        } else {
            Ok(())
        };
        assert_eq!(decided, expected, "{version}");
    }
}

#[test]
fn nobody_changes_the_power_of_their_equals_but_their_own() {
    for version in versions(1..=12) {
        let of = |bob: i64, carol: i64| json!({ "users": { BOB: bob, CAROL: carol } });
        let at = |carol| room_with_levels(&version, of(50, carol));
        at(49).allows(changed(BOB, of(50, 0)));
        at(0).allows(changed(BOB, of(50, 50)));
        at(0).forbids(
            changed(BOB, of(50, 51)),
            Reason::NewLevelAboveOwn(format!("users.{CAROL}")),
        );
        at(50).forbids(
            changed(BOB, of(50, 0)),
            Reason::UserOfSamePower(CAROL.into()),
        );
        at(50).forbids(
            changed(BOB, json!({ "users": { BOB: 50 } })),
            Reason::UserOfSamePower(CAROL.into()),
        );
        at(0).allows(changed(BOB, of(10, 0)));
        at(0).forbids(
            changed(BOB, of(51, 0)),
            Reason::NewLevelAboveOwn(format!("users.{BOB}")),
        );
    }
}

#[test]
fn malformed_power_levels_are_refused_by_everyone() {
    for version in versions(1..=12) {
        let world = World::new(&version);
        for wrong in [
            json!({ "users": [] }),
            json!({ "users": { "bob": 1 } }),
            json!({ "users": { BOB: [] } }),
        ] {
            assert!(
                matches!(
                    world.decide(&changed(ALICE, wrong)),
                    Err(Reason::MalformedPowerLevels(_))
                ),
                "{version}"
            );
        }
        let stringy = json!({ "ban": "50", "users": { BOB: "50" } });
        let refused = matches!(
            world.decide(&changed(ALICE, stringy)),
            Err(Reason::MalformedPowerLevels(_))
        );
        assert_eq!(refused, version.parse::<u8>().unwrap() >= 10, "{version}");
    }
}

#[test]
fn creators_are_above_all_and_stand_in_no_power_levels_from_version_12() {
    let world = World::created("12", json!({ "additional_creators": [BOB] }))
        .with(member(BOB, BOB, "join"))
        .with(member(CAROL, CAROL, "join"))
        .with(levels(
            json!({ "users": { CAROL: 1_000_000 }, "events": { "m.x": 9_000_000 } }),
        ));
    for creator in [ALICE, BOB] {
        world.allows(message(creator, "m.x", json!({})));
        world.allows(member(creator, CAROL, "ban"));
        world.forbids(member(CAROL, creator, "ban"), Reason::LacksPower(Deed::Ban));
        world.forbids(
            changed(ALICE, json!({ "users": { creator: 1 } })),
            Reason::CreatorInPowerLevels,
        );
    }
    world.forbids(member(ALICE, BOB, "leave"), Reason::LacksPower(Deed::Kick));
    let before = World::created("11", json!({ "additional_creators": [BOB] }))
        .with(member(BOB, BOB, "join"));
    before.forbids(
        state(BOB, "m.x", "", json!({})),
        Reason::LacksPower(Deed::Send),
    );
}

// m.room.redaction (versions 1 and 2)

#[test]
fn redactions_across_servers_take_power_in_versions_1_and_2() {
    let redact = |world: &World, sender: &str, target: &str| {
        let told = message(sender, "m.room.redaction", json!({}));
        world.decide_event(&world.event_with(&told, |event| event["redacts"] = json!(target)))
    };
    for version in versions(1..=2) {
        let world = room_of_two(&version).with(member(CAROL, CAROL, "join"));
        assert_eq!(redact(&world, BOB, "$x:a.example"), Ok(()), "{version}");
        assert_eq!(redact(&world, CAROL, "$x:c.example"), Ok(()), "{version}");
        assert_eq!(
            redact(&world, CAROL, "$x:a.example"),
            Err(Reason::RedactionOfOtherServer),
            "{version}"
        );
    }
    for version in versions(3..=12) {
        let world = room_of_two(&version).with(member(CAROL, CAROL, "join"));
        assert_eq!(redact(&world, CAROL, "$x:a.example"), Ok(()), "{version}");
    }
}
