//! Rooms made up at random from a seed: graphs of events with forks, allowed and forbidden ones.
//!
//! Each event is decided on the state that our own resolution gives before it, so the graph is one that a server could
//! have. The same seed gives the same room.

#![allow(
    dead_code,
    reason = "each of the targets that include this file uses its own part of it"
)]

mod said;

use std::collections::{BTreeMap, HashSet};

use room::auth::{AuthEvent, authorize, check_auth_events};
use room::canonical::write_object;
use room::json::parse_object;
use room::pdu::Pdu;
use room::resolve::{Events, Known, State, resolve_states};
use room::sign::{ServerKey, sign_event};
use room::state::lookup;
use room::versions::Rules;
use said::{ODD, Said, member, state};
use serde_json::{Value, json};

/// An event of a generated room; events are called by their index.
pub struct Event {
    pub pdu: Pdu,
    pub prev_events: Vec<usize>,
    pub auth_events: Vec<usize>,
    pub state_before: State<usize>,
    pub state_after: State<usize>,
    /// Whether the rules rejected it.
    pub rejected: bool,
}

/// A generated room.
pub struct Room {
    pub rules: &'static Rules,
    pub seed: u64,
    pub events: Vec<Event>,
}

impl Events<usize> for Room {
    fn event(&self, id: usize) -> Option<Known<'_>> {
        self.events.get(id).map(|event| Known {
            pdu: &event.pdu,
            rejected: event.rejected,
        })
    }

    fn auth_events(&self, id: usize) -> Option<&[usize]> {
        self.events
            .get(id)
            .map(|event| event.auth_events.as_slice())
    }
}

impl Room {
    /// Groups of states to resolve: the states after some events that were not rejected.
    pub fn conflicts(&self, count: usize) -> Vec<Vec<State<usize>>> {
        let mut random = Random(self.seed ^ 0x5eed);
        let accepted: Vec<&Event> = self.events.iter().filter(|event| !event.rejected).collect();
        let group = |random: &mut Random| {
            let states = 2 + random.below(3);
            (0..states)
                .map(|_| accepted[random.below(accepted.len())].state_after.clone())
                .collect()
        };
        (0..count).map(|_| group(&mut random)).collect()
    }

    /// A state with event ids for indexes.
    pub fn named(&self, state: &State<usize>) -> BTreeMap<(String, String), String> {
        let name = |((event_type, key), id): (&(Box<str>, Box<str>), &usize)| {
            (
                (event_type.to_string(), key.to_string()),
                self.events[*id].pdu.event_id().to_string(),
            )
        };
        state.iter().map(name).collect()
    }

    /// What the room's rules say of an event, by its auth events and by the state before it.
    pub fn decide(&self, event: &Event) -> Result<(), room::auth::Reason> {
        self.decide_auth_events(event)?;
        self.decide_in(event, &event.state_before)
    }

    pub fn decide_auth_events(&self, event: &Event) -> Result<(), room::auth::Reason> {
        let auth_event = |id: &usize| AuthEvent {
            pdu: &self.events[*id].pdu,
            rejected: self.events[*id].rejected,
        };
        let auth_events: Vec<_> = event.auth_events.iter().map(auth_event).collect();
        let create = self.events.first().map(|_| auth_event(&0));
        check_auth_events(&event.pdu, &auth_events, create)
    }

    pub fn decide_in(&self, event: &Event, state: &State<usize>) -> Result<(), room::auth::Reason> {
        authorize(
            &event.pdu,
            &lookup(|event_type, key| self.in_state(state, event_type, key)),
        )
    }

    fn in_state(&self, state: &State<usize>, event_type: &str, key: &str) -> Option<&Pdu> {
        let id = state.get(&(event_type.into(), key.into()))?;
        Some(&self.events[*id].pdu)
    }
}

/// Random numbers of a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn word(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const USERS: [&str; 6] = [
    "@alice:a.example",
    "@bob:b.example",
    "@carol:a.example",
    "@dave:d.example",
    "@eve:b.example",
    "@Frank:a.example",
];

/// How a room begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founding {
    /// With power levels and join rules, and nothing forks off before them; nor does an event fail to name them.
    Usual,
    /// Perhaps without them, and with forks from the create event on.
    Any,
}

/// Whether events are signed, which takes most of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Signed,
    Unsigned,
}

/// Makes the room of a seed: the events that found it and `steps` more.
pub fn room(rules: &'static Rules, seed: u64, steps: usize) -> Room {
    founded_room(rules, seed, steps, Founding::Any, Signing::Unsigned)
}

/// As [`room`], begun as told.
pub fn founded_room(
    rules: &'static Rules,
    seed: u64,
    steps: usize,
    founding: Founding,
    signing: Signing,
) -> Room {
    let mut maker = Maker {
        random: Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ steps as u64),
        room: Room {
            rules,
            seed,
            events: Vec::new(),
        },
        ids: HashSet::new(),
        room_id: "!room:a.example".to_owned(),
        now: 1_700_000_000_000,
        founding,
        signing,
        fork_from: 0,
    };
    maker.found();
    for _ in 0..steps {
        maker.step();
    }
    maker.room
}

struct Maker {
    random: Random,
    room: Room,
    ids: HashSet<String>,
    room_id: String,
    now: i64,
    founding: Founding,
    signing: Signing,
    /// The first event that forks may start from.
    fork_from: usize,
}

const FORBIDDEN_IN_A_ROW_MAX: usize = 6;

impl Maker {
    fn found(&mut self) {
        let rules = self.room.rules;
        let alice = USERS[0];
        let mut create = json!({ "room_version": rules.name });
        if !rules.auth.creator_is_sender {
            create["creator"] = json!(alice);
        }
        if rules.auth.creators_have_infinite_power && self.random.chance(40) {
            create["additional_creators"] = json!([USERS[1]]);
        }
        if self.random.chance(10) {
            create["m.federate"] = json!(self.random.chance(50));
        }
        self.say(state(alice, "m.room.create", "", create), vec![]);
        if rules.room_id_is_create_event() {
            self.room_id = self.room.events[0].pdu.room_id().to_string();
        }
        self.say_next(member(alice, alice, "join"));
        if self.random.chance(90) || self.founding == Founding::Usual {
            let levels = self.first_levels();
            self.say_next(state(alice, "m.room.power_levels", "", levels));
        }
        if self.random.chance(85) || self.founding == Founding::Usual {
            let rule = *self.random.pick(&[
                "public",
                "public",
                "invite",
                "knock",
                "restricted",
                "knock_restricted",
            ]);
            self.say_next(state(
                alice,
                "m.room.join_rules",
                "",
                json!({ "join_rule": rule }),
            ));
        }
        if self.founding == Founding::Usual {
            self.fork_from = self.room.events.len() - 1;
        }
    }

    fn first_levels(&mut self) -> Value {
        let mut users = serde_json::Map::new();
        if !self.room.rules.auth.creators_have_infinite_power {
            users.insert(USERS[0].to_owned(), json!(100));
        }
        for user in &USERS[2..4] {
            if self.random.chance(50) {
                let level = self.level();
                users.insert((*user).to_owned(), level);
            }
        }
        json!({ "users": users, "invite": 0, "kick": 50, "ban": 50, "events": { "m.room.name": 0, "m.room.power_levels": 50 } })
    }

    fn level(&mut self) -> Value {
        let level = *self
            .random
            .pick(&[-5, 0, 0, 1, 25, 49, 50, 50, 51, 75, 99, 100, 101]);
        match self.room.rules.auth.integer_power_levels {
            false if self.random.chance(15) => json!(level.to_string()),
            true if self.random.chance(2) => json!(level.to_string()),
            _ => json!(level),
        }
    }

    fn step(&mut self) {
        let prev_events = self.choose_prev_events();
        let state = self.state_after_all(&prev_events);
        // Most of what is said at random is forbidden, so what is forbidden is often said anew.
        for _ in 0..FORBIDDEN_IN_A_ROW_MAX {
            let said = self.choose_said(&state);
            let even_forbidden = self.random.chance(25);
            if self.say_in(said, &prev_events, &state, even_forbidden) {
                return;
            }
        }
    }

    /// The ends of the graph mostly, and sometimes any point of it, which makes forks.
    fn choose_prev_events(&mut self) -> Vec<usize> {
        let events = &self.room.events;
        let accepted: Vec<usize> = (self.fork_from..events.len())
            .filter(|id| !events[*id].rejected)
            .collect();
        if self.random.chance(35) {
            let mut chosen = vec![*self.random.pick(&accepted)];
            if self.random.chance(30) {
                chosen.push(*self.random.pick(&accepted));
            }
            chosen.sort_unstable();
            chosen.dedup();
            return chosen;
        }
        let followed: Vec<usize> = accepted
            .iter()
            .flat_map(|id| events[*id].prev_events.clone())
            .collect();
        let mut ends: Vec<usize> = accepted
            .into_iter()
            .filter(|id| !followed.contains(id))
            .collect();
        while ends.len() > 4 {
            let at = self.random.below(ends.len());
            ends.remove(at);
        }
        ends
    }

    fn state_after_all(&self, prev_events: &[usize]) -> State<usize> {
        let states: Vec<_> = prev_events
            .iter()
            .map(|id| self.room.events[*id].state_after.clone())
            .collect();
        resolve_states(self.room.rules, &states, &self.room).expect("all events are at hand")
    }

    fn say_next(&mut self, said: Said) {
        let last = (0..self.room.events.len())
            .rev()
            .find(|id| !self.room.events[*id].rejected)
            .unwrap_or_default();
        self.say(said, vec![last]);
    }

    fn say(&mut self, said: Said, prev_events: Vec<usize>) {
        let state = if prev_events.is_empty() {
            State::new()
        } else {
            self.state_after_all(&prev_events)
        };
        self.say_in(said, &prev_events, &state, true);
    }

    /// Adds what is said to the graph; what is forbidden only if told so. Whether it was added.
    fn say_in(
        &mut self,
        said: Said,
        prev_events: &[usize],
        state_before: &State<usize>,
        even_forbidden: bool,
    ) -> bool {
        // Clocks of servers differ, and often two events have the same time.
        self.now += self.random.below(4) as i64;
        let ts = self.now - self.random.below(8) as i64;
        let mut event = json!({
            "type": said.event_type, "sender": said.sender, "content": said.content, "origin_server_ts": ts,
        });
        if let Some(state_key) = &said.state_key {
            event["state_key"] = json!(state_key);
        }
        if let Some(redacts) = &said.redacts {
            event["redacts"] = json!(redacts);
        }
        let rules = self.room.rules;
        if !(said.event_type == "m.room.create" && rules.room_id_is_create_event()) {
            event["room_id"] = json!(self.room_id);
        }
        let depth = prev_events
            .iter()
            .map(|id| self.room.events[*id].pdu.depth())
            .max()
            .unwrap_or_default()
            + 1;
        event["depth"] = json!(depth);
        event["prev_events"] = self.references(prev_events);
        event["auth_events"] = json!([]);
        let auth_events = self.choose_auth_events(&event, state_before);
        event["auth_events"] = self.references(&auth_events);
        if rules.events_choose_their_id() {
            let server = said.sender.split_once(':').map_or("", |(_, server)| server);
            event["event_id"] = json!(format!("${:x}:{server}", self.random.next()));
        }
        let text = event.to_string();
        let text = text.replace(&format!("\"{ODD}\""), &said.odd.unwrap_or_default());
        let mut made = Event {
            pdu: Pdu::parse(rules, &text).expect("an event parses"),
            prev_events: prev_events.to_vec(),
            auth_events,
            state_before: state_before.clone(),
            state_after: state_before.clone(),
            rejected: false,
        };
        made.rejected = self.room.decide(&made).is_err();
        if made.rejected && !even_forbidden {
            return false;
        }
        if self.signing == Signing::Signed {
            made.pdu = sign(rules, &event, &text);
        }
        let id = self.room.events.len();
        if let (false, Some(state_key)) = (made.rejected, made.pdu.state_key()) {
            made.state_after
                .insert((made.pdu.event_type().into(), state_key.into()), id);
        }
        let is_new = self.ids.insert(made.pdu.event_id().to_string());
        if is_new {
            self.room.events.push(made);
        }
        is_new
    }

    /// The right ones, and sometimes one too few, or one too many.
    fn choose_auth_events(&mut self, event: &Value, state: &State<usize>) -> Vec<usize> {
        let mut event = event.clone();
        if self.room.rules.events_choose_their_id() {
            event["event_id"] = json!("$x:y");
        }
        let draft =
            Pdu::parse(self.room.rules, &event.to_string()).expect("a drafted event parses");
        let keys = room::auth::selection::auth_event_keys_of(&draft);
        let found = keys
            .iter()
            .filter_map(|(event_type, key)| state.get(&((*event_type).into(), (*key).into())));
        let mut chosen: Vec<usize> = found.copied().collect();
        if self.room.events.len() > 6 && self.random.chance(3) {
            match self.random.below(3) {
                0 if !chosen.is_empty() && self.founding == Founding::Any => {
                    let at = self.random.below(chosen.len());
                    chosen.remove(at);
                }
                _ => chosen.push(self.random.below(self.room.events.len())),
            }
            chosen.sort_unstable();
            chosen.dedup();
        }
        chosen
    }

    fn references(&self, ids: &[usize]) -> Value {
        let id = |id: &usize| self.room.events[*id].pdu.event_id().to_string();
        match self.room.rules.events_choose_their_id() {
            true => ids.iter().map(|event| json!([id(event), {}])).collect(),
            false => ids.iter().map(|event| json!(id(event))).collect(),
        }
    }
}

/// Signs an event by its sender's server, whose key is made of its name; and by the voucher's, where there is one.
fn sign(rules: &'static Rules, event: &Value, text: &str) -> Pdu {
    let mut object = parse_object(text).expect("JSON");
    let mut servers: Vec<&str> = vec![event["sender"].as_str().unwrap_or_default()];
    servers.extend(event["content"]["join_authorised_via_users_server"].as_str());
    for user in servers {
        let server = user.split_once(':').map_or("", |(_, server)| server);
        let seed = [server.as_bytes().first().copied().unwrap_or_default(); 32];
        let key = ServerKey::from_seed(server.try_into().expect("a server name"), "0", &seed);
        sign_event(rules, &mut object, &key).expect("canonical JSON");
    }
    let mut out = String::new();
    write_object(&object, |_| true, rules.numbers(), &mut out).expect("canonical JSON");
    Pdu::parse(rules, &out).expect("a signed event parses")
}
