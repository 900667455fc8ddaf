//! State resolution told as stories: two things happen at once, and who reads it afterwards reads the same.

#[path = "told/world.rs"]
mod world;

use std::collections::HashMap;

use room::pdu::Pdu;
use room::resolve::{Events, Known, State, resolve_states};
use room::state::lookup;
use room::versions::Rules;
use serde_json::{Value, json};
use world::{ALICE, BOB, CAROL, Told, World, join_rule, levels, member, state};

/// A room with its graph; events are called by their index.
struct Story {
    world: World,
    pdus: Vec<Pdu>,
    auth_events: Vec<Vec<usize>>,
    now: i64,
}

impl Events<usize> for Story {
    fn event(&self, id: usize) -> Option<Known<'_>> {
        self.pdus.get(id).map(|pdu| Known {
            pdu,
            rejected: false,
        })
    }

    fn auth_events(&self, id: usize) -> Option<&[usize]> {
        self.auth_events.get(id).map(Vec::as_slice)
    }
}

impl Story {
    /// A public room of Alice (100), Bob (50) and Carol (0), with its state.
    fn of_three(rules: &'static Rules) -> (Story, State<usize>) {
        let world = World::new(rules.name);
        let mut story = Story {
            world: world.clone(),
            pdus: vec![],
            auth_events: vec![],
            now: 1,
        };
        let mut state = State::new();
        for pdu in world.state {
            state.insert(
                (pdu.event_type().into(), pdu.state_key().unwrap().into()),
                story.pdus.len(),
            );
            let auth_events = if story.pdus.is_empty() || rules.room_id_is_create_event() {
                vec![]
            } else {
                vec![0]
            };
            story.auth_events.push(auth_events);
            story.pdus.push(pdu);
        }
        let users = if rules.auth.creators_have_infinite_power {
            json!({ BOB: 50 })
        } else {
            json!({ ALICE: 100, BOB: 50 })
        };
        story.happens(&mut state, levels(json!({ "users": users })));
        story.happens(&mut state, join_rule("public"));
        story.happens(&mut state, member(BOB, BOB, "join"));
        story.happens(&mut state, member(CAROL, CAROL, "join"));
        (story, state)
    }

    /// The event happens in `state`, which must allow it, and becomes part of it.
    fn happens(&mut self, state: &mut State<usize>, told: Told) -> usize {
        self.now += 1;
        let (now, id) = (self.now, self.pdus.len());
        let change = |event: &mut Value| {
            event["origin_server_ts"] = json!(now);
            event["depth"] = json!(now);
            if event.get("event_id").is_some() {
                event["event_id"] = json!(format!("$e{id}:a.example"));
            }
        };
        let pdu = self.world.event_with(&told, change);
        let keys = room::auth::selection::auth_event_keys_of(&pdu);
        let auth_events = keys
            .iter()
            .filter_map(|(kind, key)| state.get(&((*kind).into(), (*key).into())).copied());
        self.auth_events.push(auth_events.collect());
        let look = |kind: &str, key: &str| {
            state
                .get(&(kind.into(), key.into()))
                .map(|id| &self.pdus[*id])
        };
        assert_eq!(
            room::auth::authorize(&pdu, &lookup(look)),
            Ok(()),
            "{told_kind}",
            told_kind = pdu.json()
        );
        state.insert(
            (pdu.event_type().into(), pdu.state_key().unwrap().into()),
            id,
        );
        self.pdus.push(pdu);
        id
    }

    fn resolve(&self, states: &[&State<usize>]) -> State<usize> {
        let states: Vec<State<usize>> = states.iter().map(|state| (*state).clone()).collect();
        resolve_states(self.world.rules, &states, self).unwrap()
    }
}

fn at(state: &State<usize>, event_type: &str, key: &str) -> Option<usize> {
    HashMap::get(state, &(event_type.into(), key.into())).copied()
}

/// Versions from 2 on; version 1 is known to reset state.
fn sound_versions() -> impl Iterator<Item = &'static Rules> {
    Rules::all().iter().skip(1)
}

#[test]
fn a_ban_wins_over_a_concurrent_join() {
    for rules in sound_versions() {
        let (mut story, before) = Story::of_three(rules);
        let (mut here, mut there) = (before.clone(), before);
        let ban = story.happens(&mut here, member(BOB, CAROL, "ban"));
        story.happens(&mut there, member(CAROL, CAROL, "join"));
        assert_eq!(
            at(&story.resolve(&[&here, &there]), "m.room.member", CAROL),
            Some(ban),
            "{rules}"
        );
    }
}

#[test]
fn a_ban_wins_over_what_the_banned_did_meanwhile() {
    for rules in sound_versions() {
        let (mut story, mut before) = Story::of_three(rules);
        let name = story.happens(
            &mut before,
            state(ALICE, "m.room.name", "", json!({ "name": "old" })),
        );
        let (mut here, mut there) = (before.clone(), before);
        story.happens(&mut here, member(ALICE, BOB, "ban"));
        story.happens(
            &mut there,
            state(BOB, "m.room.name", "", json!({ "name": "defaced" })),
        );
        let resolved = story.resolve(&[&here, &there]);
        assert_eq!(at(&resolved, "m.room.name", ""), Some(name), "{rules}");
    }
}

#[test]
fn who_is_demoted_cannot_promote_a_friend_at_the_same_time() {
    for rules in sound_versions() {
        let (mut story, before) = Story::of_three(rules);
        let (mut here, mut there) = (before.clone(), before);
        let users = |bob: i64, carol: i64| match rules.auth.creators_have_infinite_power {
            true => json!({ "users": { BOB: bob, CAROL: carol } }),
            false => json!({ "users": { ALICE: 100, BOB: bob, CAROL: carol } }),
        };
        let demoted = story.happens(&mut here, levels(users(0, 0)));
        story.happens(
            &mut there,
            state(BOB, "m.room.power_levels", "", users(50, 50)),
        );
        assert_eq!(
            at(&story.resolve(&[&here, &there]), "m.room.power_levels", ""),
            Some(demoted),
            "{rules}"
        );
    }
}

#[test]
fn of_two_names_at_once_the_later_counts() {
    for rules in sound_versions() {
        let (mut story, before) = Story::of_three(rules);
        let (mut here, mut there) = (before.clone(), before);
        story.happens(
            &mut here,
            state(BOB, "m.room.name", "", json!({ "name": "first" })),
        );
        let later = story.happens(
            &mut there,
            state(ALICE, "m.room.name", "", json!({ "name": "second" })),
        );
        assert_eq!(
            at(&story.resolve(&[&here, &there]), "m.room.name", ""),
            Some(later),
            "{rules}"
        );
    }
}

#[test]
fn who_joined_a_public_room_is_in_it_although_it_was_closed_meanwhile() {
    for rules in sound_versions() {
        let (mut story, before) = Story::of_three(rules);
        let (mut here, mut there) = (before.clone(), before);
        let closed = story.happens(&mut here, join_rule("invite"));
        story.happens(
            &mut there,
            member("@dora:d.example", "@dora:d.example", "join"),
        );
        let resolved = story.resolve(&[&here, &there]);
        assert_eq!(
            at(&resolved, "m.room.join_rules", ""),
            Some(closed),
            "{rules}"
        );
        assert_eq!(
            at(&resolved, "m.room.member", "@dora:d.example"),
            None,
            "{rules}: the closing counts first"
        );
    }
}

#[test]
fn what_all_agree_on_stays_and_states_that_are_the_same_resolve_to_themselves() {
    for rules in Rules::all() {
        let (mut story, before) = Story::of_three(rules);
        assert_eq!(story.resolve(&[&before, &before]), before, "{rules}");
        assert_eq!(story.resolve(&[&before]), before, "{rules}");
        let mut after = before.clone();
        story.happens(
            &mut after,
            state(BOB, "m.room.topic", "", json!({ "topic": "x" })),
        );
        assert_eq!(
            story.resolve(&[&before, &after]),
            after,
            "{rules}: who knows more is not in dispute"
        );
    }
}

#[test]
fn version_1_keeps_the_newest_power_levels_that_follow_in_a_row() {
    let (mut story, before) = Story::of_three(&Rules::all()[0]);
    let (mut here, mut there) = (before.clone(), before.clone());
    let users = |bob: i64| json!({ "users": { ALICE: 100, BOB: bob } });
    story.happens(&mut here, levels(users(10)));
    let later = story.happens(&mut there, levels(users(20)));
    assert_eq!(
        at(&story.resolve(&[&here, &there]), "m.room.power_levels", ""),
        Some(later)
    );
    assert_eq!(
        at(&story.resolve(&[&there, &here]), "m.room.power_levels", ""),
        Some(later)
    );
}

/// A conflict that counts how many events were looked at, and in which nobody may go through the whole state.
struct Counted<'a> {
    story: &'a Story,
    looked_at: std::cell::Cell<usize>,
}

impl Events<usize> for Counted<'_> {
    fn event(&self, id: usize) -> Option<Known<'_>> {
        self.looked_at.set(self.looked_at.get() + 1);
        self.story.event(id)
    }

    fn auth_events(&self, id: usize) -> Option<&[usize]> {
        self.looked_at.set(self.looked_at.get() + 1);
        self.story.auth_events(id)
    }
}

struct Agreed<'a>(&'a State<usize>);

impl room::resolve::Unconflicted<usize> for Agreed<'_> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<usize> {
        at(self.0, event_type, state_key)
    }

    fn visit(&self, _: &mut dyn FnMut(usize) -> bool) {
        panic!("the whole state was asked for");
    }
}

#[test]
fn the_cost_follows_the_conflict_and_not_the_room() {
    for rules in Rules::all() {
        let looked_at = [10, 1_000].map(|members| {
            let (mut story, mut before) = Story::of_three(rules);
            for member_number in 0..members {
                let user = format!("@user{member_number}:u.example");
                story.happens(&mut before, member(&user, &user, "join"));
            }
            let (mut here, mut there) = (before.clone(), before);
            story.happens(
                &mut here,
                state(ALICE, "m.room.name", "", json!({ "name": "a" })),
            );
            story.happens(&mut here, member(BOB, CAROL, "ban"));
            story.happens(
                &mut there,
                state(BOB, "m.room.name", "", json!({ "name": "b" })),
            );
            let (agreed, conflicted) = room::resolve::split(&[here, there]);
            let conflict = room::resolve::Conflict {
                rules,
                states: &conflicted,
                unconflicted: &Agreed(&agreed),
            };
            let counted = Counted {
                story: &story,
                looked_at: Default::default(),
            };
            let resolved = room::resolve::resolve(&conflict, &counted).unwrap();
            assert_eq!(resolved.len(), 2, "{rules}");
            counted.looked_at.get()
        });
        assert_eq!(looked_at[0], looked_at[1], "{rules}");
        assert!(looked_at[1] < 300, "{rules}: {}", looked_at[1]);
    }
}
