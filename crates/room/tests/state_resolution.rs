//! Generated rooms: whatever the order of delivery all servers end with the same state, and ours is the state that
//! ruma's resolution finds, for the versions it has.

#[path = "generated/dag.rs"]
mod dag;

use std::collections::{BTreeMap, HashMap, HashSet};

use dag::{Founding, Random, Room, Signing, founded_room, room};
use proptest::prelude::*;
use room::resolve::{Events, Known, State, resolve_states};
use room::versions::{Rules, StateResolution};
use ruma_common::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId};
use serde_json::value::RawValue;

/// A server that gets the events of a room in an order of its own, and calls them by numbers of its own.
struct Server<'a> {
    room: &'a Room,
    /// For each event in order of arrival: its index in the room, and its auth events by our numbers.
    arrived: Vec<(usize, Vec<usize>)>,
    number: HashMap<usize, usize>,
    after: Vec<State<usize>>,
}

impl Events<usize> for Server<'_> {
    fn event(&self, id: usize) -> Option<Known<'_>> {
        self.arrived
            .get(id)
            .and_then(|(index, _)| self.room.event(*index))
    }

    fn auth_events(&self, id: usize) -> Option<&[usize]> {
        self.arrived
            .get(id)
            .map(|(_, auth_events)| auth_events.as_slice())
    }
}

impl<'a> Server<'a> {
    fn receiving_in_random_order(room: &'a Room, seed: u64) -> Server<'a> {
        let mut server = Server {
            room,
            arrived: Vec::new(),
            number: HashMap::new(),
            after: Vec::new(),
        };
        let mut random = Random(seed);
        let mut waiting: Vec<usize> = (0..room.events.len()).collect();
        while !waiting.is_empty() {
            let ready = |id: &usize| {
                let event = &room.events[*id];
                event
                    .prev_events
                    .iter()
                    .chain(&event.auth_events)
                    .all(|before| server.number.contains_key(before))
            };
            let ready: Vec<usize> = waiting.iter().copied().filter(ready).collect();
            let next = *random.pick(&ready);
            waiting.retain(|id| *id != next);
            server.receive(next);
        }
        server
    }

    fn receive(&mut self, index: usize) {
        let event = &self.room.events[index];
        let number = self.arrived.len();
        let auth_events = event.auth_events.iter().map(|id| self.number[id]).collect();
        self.arrived.push((index, auth_events));
        self.number.insert(index, number);
        let states: Vec<_> = event
            .prev_events
            .iter()
            .map(|id| self.after[self.number[id]].clone())
            .collect();
        let mut state = resolve_states(self.room.rules, &states, self).expect("all is at hand");
        if let (false, Some(state_key)) = (event.rejected, event.pdu.state_key()) {
            state.insert((event.pdu.event_type().into(), state_key.into()), number);
        }
        self.after.push(state);
    }

    /// The state over all ends of the graph.
    fn final_state(&self) -> BTreeMap<(String, String), String> {
        let accepted = |id: &usize| !self.room.events[*id].rejected;
        let ids: Vec<usize> = (0..self.room.events.len()).filter(accepted).collect();
        let followed: HashSet<usize> = ids
            .iter()
            .flat_map(|id| self.room.events[*id].prev_events.clone())
            .collect();
        let ends = ids.iter().filter(|id| !followed.contains(id));
        let states: Vec<_> = ends.map(|id| self.after[self.number[id]].clone()).collect();
        let state = resolve_states(self.room.rules, &states, self).expect("all is at hand");
        let index =
            |(key, number): (&(Box<str>, Box<str>), &usize)| (key.clone(), self.arrived[*number].0);
        self.room.named(&state.iter().map(index).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn whatever_the_order_all_servers_end_with_the_same_state(seed: u64, version in 0..12usize, one: u64, other: u64) {
        let room = room(&Rules::all()[version], seed, 40);
        let states = [one, other].map(|order| Server::receiving_in_random_order(&room, order).final_state());
        prop_assert_eq!(&states[0], &states[1]);
        prop_assert!(!states[0].is_empty());
    }
}

#[test]
fn the_order_of_the_states_does_not_matter() {
    for rules in Rules::all() {
        for seed in 0..20 {
            let room = room(rules, seed, 40);
            for mut states in room.conflicts(5) {
                let one = resolve_states(rules, &states, &room).unwrap();
                states.reverse();
                assert_eq!(
                    one,
                    resolve_states(rules, &states, &room).unwrap(),
                    "{rules}, seed {seed}"
                );
            }
        }
    }
}

#[test]
fn an_event_that_is_not_at_hand_is_reported_and_not_a_panic() {
    struct Without<'a>(&'a Room, usize);
    impl Events<usize> for Without<'_> {
        fn event(&self, id: usize) -> Option<Known<'_>> {
            (id != self.1).then(|| self.0.event(id)).flatten()
        }
        fn auth_events(&self, id: usize) -> Option<&[usize]> {
            (id != self.1).then(|| self.0.auth_events(id)).flatten()
        }
    }
    for rules in Rules::all() {
        let mut reported = 0;
        for seed in 0..5 {
            let room = room(rules, seed, 40);
            for states in room.conflicts(5) {
                let whole = resolve_states(rules, &states, &room).unwrap();
                for hidden in 0..room.events.len() {
                    match resolve_states(rules, &states, &Without(&room, hidden)) {
                        Ok(state) => assert_eq!(state, whole, "{rules}, seed {seed}"),
                        Err(missing) => {
                            reported += 1;
                            assert_eq!(missing.0, [hidden]);
                        }
                    }
                }
            }
        }
        assert!(reported > 0, "{rules}");
    }
}

#[test]
fn rooms_have_conflicts_and_both_kinds_of_decisions() {
    for rules in Rules::all() {
        let rooms: Vec<Room> = (0..20).map(|seed| room(rules, seed, 60)).collect();
        let events = || rooms.iter().flat_map(|room| &room.events);
        let rejected = events().filter(|event| event.rejected).count();
        assert!(
            rejected * 10 > events().count() && rejected * 10 < events().count() * 9,
            "{rules}: {rejected}"
        );
        let differ = rooms
            .iter()
            .flat_map(|room| room.conflicts(5))
            .filter(|states| states[0] != states[1])
            .count();
        assert!(differ > 30, "{rules}: {differ}");
    }
}

/// An event as ruma's resolution wants it.
#[derive(Clone)]
struct RumaEvent {
    id: OwnedEventId,
    event_type: ruma_events::TimelineEventType,
    content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    pdu: room::pdu::Pdu,
    rejected: bool,
}

impl ruma_state_res::Event for RumaEvent {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.id
    }
    fn room_id(&self) -> Option<&RoomId> {
        let is_v12_create =
            self.pdu.rules().room_id_is_create_event() && self.pdu.is("m.room.create", "");
        (!is_v12_create).then(|| self.pdu.room_id())
    }
    fn sender(&self) -> &UserId {
        self.pdu.sender()
    }
    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(self.pdu.origin_server_ts().try_into().unwrap())
    }
    fn event_type(&self) -> &ruma_events::TimelineEventType {
        &self.event_type
    }
    fn content(&self) -> &RawValue {
        &self.content
    }
    fn state_key(&self) -> Option<&str> {
        self.pdu.state_key()
    }
    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }
    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }
    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }
    fn rejected(&self) -> bool {
        self.rejected
    }
}

fn ruma_events_of(room: &Room) -> HashMap<OwnedEventId, RumaEvent> {
    let of = |event: &dag::Event| RumaEvent {
        id: event.pdu.event_id().to_owned(),
        event_type: event.pdu.event_type().into(),
        content: RawValue::from_string(event.pdu.content().to_owned()).unwrap(),
        prev_events: event.pdu.prev_events().to_vec(),
        auth_events: event.pdu.auth_events().to_vec(),
        redacts: event.pdu.redacts().map(ToOwned::to_owned),
        pdu: event.pdu.clone(),
        rejected: event.rejected,
    };
    room.events
        .iter()
        .map(|event| (event.pdu.event_id().to_owned(), of(event)))
        .collect()
}

/// Resolves by ruma, giving it the auth chains and the subgraph that it asks the caller for.
fn resolve_by_ruma(
    room: &Room,
    states: &[State<usize>],
    events: &HashMap<OwnedEventId, RumaEvent>,
) -> BTreeMap<(String, String), String> {
    let rules = room.rules.version().rules().unwrap();
    let maps: Vec<ruma_state_res::StateMap<OwnedEventId>> = states
        .iter()
        .map(|state| {
            let named = room.named(state).into_iter();
            named
                .map(|((kind, key), id)| ((kind.into(), key), OwnedEventId::try_from(id).unwrap()))
                .collect()
        })
        .collect();
    let chains = states
        .iter()
        .map(|state| chain(room, state.values().copied()).into_iter().collect())
        .collect();
    let subgraph = |conflicted: &ruma_state_res::StateMap<Vec<OwnedEventId>>| {
        let conflicted: HashSet<&EventId> = conflicted.values().flatten().map(|id| &**id).collect();
        let is_conflicted = |id: &usize| conflicted.contains(room.events[*id].pdu.event_id());
        let conflicted: Vec<usize> = (0..room.events.len()).filter(is_conflicted).collect();
        // By the definition: what is reached from a conflicted event, and reaches one.
        let below = reach(room, conflicted.iter().copied());
        let between = below
            .into_iter()
            .filter(|id| reach(room, [*id].into_iter()).iter().any(is_conflicted));
        Some(
            between
                .map(|id| room.events[id].pdu.event_id().to_owned())
                .collect(),
        )
    };
    let resolved = ruma_state_res::resolve(
        &rules.authorization,
        rules.state_res.v2_rules().expect("a version from 2 on"),
        maps.iter(),
        chains,
        |id| events.get(id).cloned(),
        subgraph,
    );
    resolved
        .unwrap()
        .into_iter()
        .map(|((kind, key), id)| ((kind.to_string(), key), id.to_string()))
        .collect()
}

fn reach(room: &Room, from: impl Iterator<Item = usize>) -> HashSet<usize> {
    let mut stack: Vec<usize> = from.collect();
    let mut seen = HashSet::new();
    while let Some(id) = stack.pop() {
        if seen.insert(id) {
            stack.extend(&room.events[id].auth_events);
        }
    }
    seen
}

fn chain(room: &Room, from: impl Iterator<Item = usize>) -> Vec<OwnedEventId> {
    reach(room, from)
        .into_iter()
        .map(|id| room.events[id].pdu.event_id().to_owned())
        .collect()
}

/// How many rooms per version are compared with ruma; the comparison with Synapse's functions has a script of its own.
const ROOMS_COMPARED: u64 = 60;

#[test]
fn our_resolution_and_decisions_agree_with_ruma() {
    let mut differences = Vec::new();
    for rules in Rules::all()
        .iter()
        .filter(|rules| rules.state_resolution != StateResolution::V1)
    {
        for seed in 0..ROOMS_COMPARED {
            // Where there are no join rules ruma lets nobody join, and the network's servers whom was invited.
            let room = founded_room(rules, seed, 40, Founding::Usual, Signing::Unsigned);
            differences.extend(differences_from_ruma(&room));
        }
    }
    differences.truncate(5);
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

fn differences_from_ruma(room: &Room) -> Vec<String> {
    let (rules, seed) = (room.rules, room.seed);
    let events = ruma_events_of(room);
    let mut differences = Vec::new();
    for states in room.conflicts(3) {
        let ours = room.named(&resolve_states(rules, &states, room).unwrap());
        let theirs = resolve_by_ruma(room, &states, &events);
        if ours != theirs {
            differences.push(format!("{rules}, seed {seed}: {ours:?} {theirs:?}"));
        }
    }
    for event in &room.events {
        let (ours, theirs) = (room.decide(event), decide_by_ruma(room, event, &events));
        if ours.is_ok() != theirs.is_ok() {
            let json = event.pdu.json();
            differences.push(format!("{rules}, seed {seed}: {ours:?} {theirs:?} {json}"));
        }
    }
    differences
}

fn decide_by_ruma(
    room: &Room,
    event: &dag::Event,
    events: &HashMap<OwnedEventId, RumaEvent>,
) -> Result<(), String> {
    let rules = room.rules.version().rules().unwrap().authorization;
    let ruma_event = &events[event.pdu.event_id()];
    let fetch = |id: &EventId| events.get(id).cloned();
    let state = |kind: &ruma_events::StateEventType, key: &str| {
        let id = event
            .state_before
            .get(&(kind.to_string().into(), key.into()))?;
        events.get(room.events[*id].pdu.event_id()).cloned()
    };
    ruma_state_res::check_state_independent_auth_rules(&rules, ruma_event, fetch)
        .and_then(|()| ruma_state_res::check_state_dependent_auth_rules(&rules, ruma_event, state))
}
