//! Rooms as stories tell them: events given by hand, their ids and hashes made here.

#![allow(
    dead_code,
    reason = "each of the targets that include this file uses its own part of it"
)]

use room::auth::{Reason, authorize};
use room::pdu::Pdu;
use room::state::StateMap;
use room::versions::Rules;
use serde_json::{Value, json};

pub const ALICE: &str = "@alice:a.example";
pub const BOB: &str = "@bob:b.example";
pub const CAROL: &str = "@carol:c.example";
pub const ROOM: &str = "!room:a.example";

/// A room at one point: its state.
#[derive(Clone)]
pub struct World {
    pub rules: &'static Rules,
    pub state: Vec<Pdu>,
    pub room_id: String,
}

/// An event as it is told.
#[derive(Clone)]
pub struct Told {
    pub sender: String,
    pub event_type: String,
    pub state_key: Option<String>,
    pub content: Value,
}

pub fn state(sender: &str, event_type: &str, state_key: &str, content: Value) -> Told {
    Told {
        state_key: Some(state_key.to_owned()),
        ..message(sender, event_type, content)
    }
}

pub fn message(sender: &str, event_type: &str, content: Value) -> Told {
    Told {
        sender: sender.to_owned(),
        event_type: event_type.to_owned(),
        state_key: None,
        content,
    }
}

pub fn member(sender: &str, target: &str, membership: &str) -> Told {
    state(
        sender,
        "m.room.member",
        target,
        json!({ "membership": membership }),
    )
}

pub fn join_rule(rule: &str) -> Told {
    state(ALICE, "m.room.join_rules", "", json!({ "join_rule": rule }))
}

pub fn levels(content: Value) -> Told {
    state(ALICE, "m.room.power_levels", "", content)
}

impl World {
    /// A room that Alice created and is in; no power levels, no join rules.
    pub fn new(version: &str) -> World {
        Self::created(version, json!({}))
    }

    /// As [`World::new`], with more in the content of the create event.
    pub fn created(version: &str, more: Value) -> World {
        let rules = Rules::of_name(version).unwrap();
        let mut content = more;
        content["room_version"] = json!(version);
        if !rules.auth.creator_is_sender {
            content["creator"] = json!(ALICE);
        }
        let mut world = World {
            rules,
            state: Vec::new(),
            room_id: ROOM.to_owned(),
        };
        let create = world.event(&state(ALICE, "m.room.create", "", content));
        world.room_id = create.room_id().to_string();
        world.state.push(create);
        world.with(member(ALICE, ALICE, "join"))
    }

    /// The room with this in its state, whatever the rules say.
    pub fn with(mut self, told: Told) -> World {
        let pdu = self.event(&told);
        self.state
            .retain(|other| !other.is(pdu.event_type(), pdu.state_key().unwrap()));
        self.state.push(pdu);
        self
    }

    /// The event with these fields, in this room.
    pub fn event(&self, told: &Told) -> Pdu {
        self.event_with(told, |_| {})
    }

    /// As [`World::event`], its JSON changed before it is parsed.
    pub fn event_with(&self, told: &Told, change: impl FnOnce(&mut Value)) -> Pdu {
        let mut event = json!({
            "type": told.event_type, "sender": told.sender, "content": told.content, "room_id": self.room_id,
            "origin_server_ts": 1, "depth": 5, "hashes": {}, "signatures": {}, "auth_events": [], "prev_events": [],
        });
        if let Some(state_key) = &told.state_key {
            event["state_key"] = json!(state_key);
        }
        if self.rules.events_choose_their_id() {
            let server = told.sender.split_once(':').unwrap().1;
            let id = format!("$e{}-{}:{server}", self.state.len(), told.event_type);
            event["event_id"] = json!(id);
        }
        if told.event_type == "m.room.create" {
            if self.rules.room_id_is_create_event() {
                event.as_object_mut().unwrap().remove("room_id");
            }
        } else {
            event["prev_events"] = self.reference("$other:a.example");
        }
        change(&mut event);
        Pdu::parse(self.rules, &event.to_string()).unwrap()
    }

    /// A list of one event as this version writes it.
    pub fn reference(&self, event_id: &str) -> Value {
        if self.rules.events_choose_their_id() {
            json!([[event_id, {}]])
        } else {
            json!([event_id])
        }
    }

    pub fn create(&self) -> &Pdu {
        &self.state[0]
    }

    /// What the rules say of an event in this state.
    pub fn decide(&self, told: &Told) -> Result<(), Reason> {
        self.decide_event(&self.event(told))
    }

    pub fn decide_event(&self, event: &Pdu) -> Result<(), Reason> {
        authorize(event, &self.state.iter().collect::<StateMap<'_>>())
    }

    #[track_caller]
    pub fn allows(&self, told: Told) {
        assert_eq!(
            self.decide(&told),
            Ok(()),
            "{}: {} {:?} {}",
            self.rules,
            told.sender,
            told.state_key,
            told.content
        );
    }

    #[track_caller]
    pub fn forbids(&self, told: Told, reason: Reason) {
        let decided = self.decide(&told);
        assert_eq!(
            decided,
            Err(reason),
            "{}: {} {:?} {}",
            self.rules,
            told.sender,
            told.state_key,
            told.content
        );
    }
}

/// The names of the versions in a range.
pub fn versions(range: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = String> {
    range.map(|version| version.to_string())
}
