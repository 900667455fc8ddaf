//! From a draft to an admitted event: what we make verifies, and what becomes of an event by what is known of it.

use std::collections::HashMap;

use room::admit::{Admission, Facts, Head, Missing, admit};
use room::auth::{AuthEvent, Reason};
use room::draft::{Draft, DraftError, sign_template};
use room::pdu::{Pdu, PduError};
use room::sign::{KnownKey, ServerKey, Verified, verify};
use room::state::{RoomState, StateMap};
use room::versions::Rules;
use ruma_common::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, ServerName};

const ALICE: &str = "@alice:a.example";
const BOB: &str = "@bob:b.example";

fn key(server: &str) -> ServerKey {
    ServerKey::from_seed(server.try_into().unwrap(), "1", &[server.as_bytes()[0]; 32])
}

fn keys(server: &ServerName, _: &str) -> Option<KnownKey> {
    Some(KnownKey {
        key: key(server.as_str()).public(),
        valid_until_ts: i64::MAX,
    })
}

/// A room that grows event by event, each drafted on the state of all before it.
struct Story {
    rules: &'static Rules,
    room_id: OwnedRoomId,
    events: HashMap<OwnedEventId, Pdu>,
    last: Vec<OwnedEventId>,
    /// The ids of the state.
    state: Vec<OwnedEventId>,
}

impl Story {
    fn new(version: &str) -> Story {
        let rules = Rules::of_name(version).unwrap();
        let room_id = "!room:a.example".try_into().unwrap();
        let mut story = Story {
            rules,
            room_id,
            events: HashMap::new(),
            last: vec![],
            state: vec![],
        };
        let create = story.says(
            ALICE,
            "m.room.create",
            Some(""),
            &format!(r#"{{"creator":"{ALICE}","room_version":"{version}"}}"#),
        );
        story.room_id = create.room_id().to_owned();
        story.says(
            ALICE,
            "m.room.member",
            Some(ALICE),
            r#"{"membership":"join"}"#,
        );
        story.says(
            ALICE,
            "m.room.join_rules",
            Some(""),
            r#"{"join_rule":"public"}"#,
        );
        story
    }

    fn draft(
        &self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: &str,
    ) -> Verified {
        self.try_draft(sender, event_type, state_key, content)
            .unwrap()
    }

    fn try_draft(
        &self,
        sender: &str,
        event_type: &str,
        key_of_state: Option<&str>,
        content: &str,
    ) -> Result<Verified, DraftError> {
        let sender: OwnedUserId = sender.try_into().unwrap();
        let draft = Draft {
            rules: self.rules,
            room_id: &self.room_id,
            sender: &sender,
            event_type,
            state_key: key_of_state,
            content,
            redacts: None,
            prev_events: &self.last,
            depth: 1 + self.events.len() as i64,
            origin_server_ts: 1_000 + self.events.len() as i64,
        };
        draft.sign(&self.state(), &key(sender.server_name().as_str()))
    }

    fn says(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: &str,
    ) -> Pdu {
        let pdu = self
            .draft(sender, event_type, state_key, content)
            .into_pdu();
        self.last = vec![pdu.event_id().to_owned()];
        if let Some(state_key) = state_key {
            self.state
                .retain(|id| !self.events[id].is(event_type, state_key));
            self.state.push(pdu.event_id().to_owned());
        }
        self.events.insert(pdu.event_id().to_owned(), pdu.clone());
        pdu
    }

    fn state(&self) -> StateMap<'_> {
        self.state.iter().map(|id| &self.events[id]).collect()
    }

    fn create(&self) -> Option<AuthEvent<'_>> {
        self.events
            .values()
            .find(|pdu| pdu.is("m.room.create", ""))
            .map(|pdu| AuthEvent {
                pdu,
                rejected: false,
            })
    }

    fn admit(
        &self,
        event: Verified,
        state_before: Option<&dyn RoomState>,
        current: &dyn RoomState,
    ) -> Admission {
        let auth_event = |id: &EventId| {
            self.events.get(id).map(|pdu| AuthEvent {
                pdu,
                rejected: false,
            })
        };
        let head = Head {
            room_id: &self.room_id,
            create: self.create(),
            current_state: current,
        };
        admit(
            &head,
            event,
            &Facts {
                auth_event: &auth_event,
                state_before,
            },
        )
    }
}

fn versions() -> impl Iterator<Item = &'static str> {
    Rules::all().iter().map(|rules| rules.name)
}

#[test]
fn what_we_draft_is_verified_and_accepted_in_every_version() {
    for version in versions() {
        let mut story = Story::new(version);
        let join = story.draft(BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        let sent = Pdu::parse(story.rules, join.json()).unwrap();
        assert_eq!(sent.event_id(), join.event_id(), "{version}");
        assert_eq!(sent.json(), join.json(), "{version}");
        let verified = verify(sent, &keys).unwrap();
        assert_eq!(verified.content(), r#"{"membership":"join"}"#, "{version}");
        let state = story.state();
        assert!(
            matches!(
                story.admit(verified, Some(&state), &state),
                Admission::Accepted(_)
            ),
            "{version}"
        );
        story.says(BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        let message = story.draft(BOB, "m.room.message", None, r#"{"body":"hi"}"#);
        let state = story.state();
        assert!(
            matches!(
                story.admit(message, Some(&state), &state),
                Admission::Accepted(_)
            ),
            "{version}"
        );
    }
}

#[test]
fn the_room_id_is_the_create_event_from_version_12() {
    for version in versions() {
        let story = Story::new(version);
        let create = story.create().unwrap().pdu;
        let as_room_id = create.event_id().as_str().replacen('$', "!", 1);
        assert_eq!(
            story.room_id.as_str() == as_room_id,
            version == "12",
            "{version}"
        );
        assert_eq!(
            create.json().contains("\"room_id\""),
            version != "12",
            "{version}"
        );
        let named = story
            .events
            .values()
            .any(|pdu| pdu.auth_events().contains(&create.event_id().to_owned()));
        assert_eq!(
            named,
            version != "12",
            "{version}: auth_events name the create event"
        );
    }
}

#[test]
fn a_stored_event_comes_back_as_it_was() {
    for version in versions() {
        let story = Story::new(version);
        for pdu in story.events.values() {
            let back =
                Pdu::from_stored(story.rules, pdu.event_id().to_owned(), pdu.json()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{pdu:?}"));
        }
    }
}

#[test]
fn a_template_is_signed_by_who_asked_for_it() {
    for version in versions() {
        let story = Story::new(version);
        let bob: OwnedUserId = BOB.try_into().unwrap();
        let draft = Draft {
            rules: story.rules,
            room_id: &story.room_id,
            sender: &bob,
            event_type: "m.room.member",
            state_key: Some(BOB),
            content: r#"{"membership":"join"}"#,
            redacts: None,
            prev_events: &story.last,
            depth: 9,
            origin_server_ts: 5,
        };
        let template = draft.template(&story.state()).unwrap();
        let join = sign_template(story.rules, &template, &key("b.example")).unwrap();
        let verified = verify(Pdu::parse(story.rules, join.json()).unwrap(), &keys).unwrap();
        let state = story.state();
        assert!(
            matches!(
                story.admit(verified, Some(&state), &state),
                Admission::Accepted(_)
            ),
            "{version}"
        );
    }
}

#[test]
fn a_second_signature_changes_neither_id_nor_validity() {
    for version in versions() {
        let story = Story::new(version);
        let invite = story
            .draft(
                ALICE,
                "m.room.member",
                Some(BOB),
                r#"{"membership":"invite"}"#,
            )
            .into_pdu();
        let cosigned = invite.cosigned(&key("b.example")).unwrap();
        assert_eq!(cosigned.event_id(), invite.event_id());
        assert!(cosigned.json().contains("b.example\":{\"ed25519"));
        assert!(
            verify(Pdu::parse(story.rules, cosigned.json()).unwrap(), &keys).is_ok(),
            "{version}"
        );
    }
}

#[test]
fn a_draft_with_floats_or_too_much_is_refused() {
    for version in versions() {
        let story = Story::new(version);
        let refused = |content: &str| {
            story
                .try_draft(ALICE, "m.room.message", None, content)
                .unwrap_err()
        };
        assert!(
            matches!(refused(r#"{"x":1.5}"#), DraftError::Content(_)),
            "{version}"
        );
        assert!(matches!(refused("[]"), DraftError::Content(_)), "{version}");
        let long = format!(r#"{{"body":"{}"}}"#, "x".repeat(65_536));
        assert!(
            matches!(refused(&long), DraftError::Format(PduError::TooLarge(_))),
            "{version}"
        );
    }
}

#[test]
fn an_event_that_the_current_state_forbids_is_soft_failed() {
    for version in versions() {
        let mut story = Story::new(version);
        story.says(BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        let message = story.draft(BOB, "m.room.message", None, r#"{"body":"late"}"#);
        let before = story.state.clone();
        story.says(ALICE, "m.room.member", Some(BOB), r#"{"membership":"ban"}"#);
        let before: StateMap<'_> = before.iter().map(|id| &story.events[id]).collect();
        let admission = story.admit(message, Some(&before), &story.state());
        assert!(
            matches!(admission, Admission::SoftFailed(_, Reason::SenderNotJoined)),
            "{version}: {admission:?}"
        );
    }
}

#[test]
fn an_event_that_the_state_before_it_forbids_is_rejected() {
    for version in versions() {
        let mut story = Story::new(version);
        story.says(BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        // It names the join that allows it, and leaves out the ban that came after.
        let message = story.draft(BOB, "m.room.message", None, r#"{"body":"hi"}"#);
        story.says(ALICE, "m.room.member", Some(BOB), r#"{"membership":"ban"}"#);
        let admission = story.admit(message, Some(&story.state()), &story.state());
        assert!(
            matches!(admission, Admission::Rejected(_, Reason::SenderNotJoined)),
            "{version}: {admission:?}"
        );
    }
}

#[test]
fn an_event_that_its_own_auth_events_forbid_is_rejected_whatever_the_state() {
    for version in versions() {
        let mut story = Story::new(version);
        // Drafted while Bob was not there, so that no auth event lets him in.
        let message = story.draft(BOB, "m.room.message", None, r#"{"body":"hi"}"#);
        story.says(BOB, "m.room.member", Some(BOB), r#"{"membership":"join"}"#);
        let admission = story.admit(message, Some(&story.state()), &story.state());
        assert!(
            matches!(admission, Admission::Rejected(_, Reason::SenderNotJoined)),
            "{version}: {admission:?}"
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    for version in versions() {
        let mut story = Story::new(version);
        let message = story.draft(ALICE, "m.room.message", None, r#"{"body":"hi"}"#);
        let Admission::Incomplete(message, missing) = story.admit(message, None, &story.state())
        else {
            panic!()
        };
        assert_eq!(
            missing,
            Missing {
                auth_events: vec![],
                state_before: true
            }
        );
        let join = story
            .state()
            .get("m.room.member", ALICE)
            .unwrap()
            .event_id()
            .to_owned();
        story.events.remove(&join);
        story.state.retain(|id| *id != join);
        let Admission::Incomplete(_, missing) = story.admit(message, None, &story.state()) else {
            panic!()
        };
        assert_eq!(
            missing,
            Missing {
                auth_events: vec![join],
                state_before: false
            }
        );
    }
}

#[test]
fn an_event_of_another_room_is_rejected() {
    for version in versions() {
        let mut story = Story::new(version);
        let message = story.draft(ALICE, "m.room.message", None, r#"{"body":"hi"}"#);
        story.room_id = "!elsewhere:a.example".try_into().unwrap();
        let admission = story.admit(message, Some(&story.state()), &story.state());
        assert!(
            matches!(admission, Admission::Rejected(_, Reason::OtherRoom(_))),
            "{version}"
        );
    }
}
