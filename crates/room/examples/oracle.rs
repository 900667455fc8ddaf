//! Lets another program look at our decisions: generated rooms in, decisions and resolved states out, as JSON lines.
//!
//! - `oracle generate --version V --count N --seed S [--steps K]` writes a generated room per line:
//!   `{"version", "seed", "events": [{"event_id", "rejected", "state_before": [event id, …], "pdu": {…}}, …],
//!   "resolutions": [[[event id, …], …], …]}`: each resolution is a list of states.
//! - `oracle decide` reads such lines and writes for each `{"events": [{"event_id", "redacted", "content_hash",
//!   "auth_events", "state"}, …], "resolved": [[event id, …], …]}`, where `auth_events` and `state` are null or the reason
//!   of a rejection.

#[path = "../tests/generated/dag.rs"]
mod dag;

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use room::auth::{AuthEvent, Reason, authorize, check_auth_events};
use room::json::parse_object;
use room::pdu::Pdu;
use room::resolve::{Events, Known, State, resolve_states};
use room::state::{StateMap, lookup};
use room::versions::Rules;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("generate") => generate(&arguments),
        Some("decide") => decide(),
        _ => Err(
            "usage: oracle generate --version V --count N --seed S [--steps K] | oracle decide"
                .into(),
        ),
    }
}

fn generate(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let option = |name: &str| {
        arguments
            .iter()
            .position(|argument| argument == name)
            .and_then(|at| arguments.get(at + 1))
    };
    let number = |name: &str, default: u64| option(name).map_or(Ok(default), |text| text.parse());
    let version = option("--version").ok_or("--version is missing")?;
    let rules = Rules::of_name(version).ok_or("no such version")?;
    let (count, seed, steps) = (
        number("--count", 1)?,
        number("--seed", 0)?,
        number("--steps", 40)?,
    );
    let mut out = io::stdout().lock();
    for seed in seed..seed + count {
        let room = dag::founded_room(
            rules,
            seed,
            usize::try_from(steps)?,
            dag::Founding::Any,
            dag::Signing::Signed,
        );
        writeln!(out, "{}", serde_json::to_string(&written(&room)?)?)?;
    }
    Ok(())
}

/// A room as it is written and read.
#[derive(Serialize, Deserialize)]
struct Given {
    version: String,
    seed: u64,
    events: Vec<GivenEvent>,
    resolutions: Vec<Vec<Vec<String>>>,
}

#[derive(Serialize, Deserialize)]
struct GivenEvent {
    event_id: String,
    rejected: bool,
    state_before: Vec<String>,
    /// As it is: versions 1 to 5 have numbers that a tree of values would change.
    pdu: Box<RawValue>,
}

fn written(room: &dag::Room) -> serde_json::Result<Given> {
    let ids = |state: &State<usize>| {
        let mut ids: Vec<&usize> = state.values().collect();
        ids.sort_unstable();
        ids.into_iter()
            .map(|id| room.events[*id].pdu.event_id().to_string())
            .collect::<Vec<_>>()
    };
    let event = |event: &dag::Event| {
        Ok(GivenEvent {
            event_id: event.pdu.event_id().to_string(),
            rejected: event.rejected,
            state_before: ids(&event.state_before),
            pdu: RawValue::from_string(event.pdu.json().to_owned())?,
        })
    };
    Ok(Given {
        version: room.rules.name.to_owned(),
        seed: room.seed,
        events: room
            .events
            .iter()
            .map(event)
            .collect::<serde_json::Result<_>>()?,
        resolutions: room
            .conflicts(5)
            .iter()
            .map(|states| states.iter().map(ids).collect())
            .collect(),
    })
}

fn decide() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        writeln!(out, "{}", decided(&serde_json::from_str(&line)?)?)?;
    }
    Ok(())
}

/// A room as it was given: events by index.
struct Room {
    pdus: Vec<Pdu>,
    rejected: Vec<bool>,
    auth_events: Vec<Vec<usize>>,
    by_id: HashMap<String, usize>,
}

impl Events<usize> for Room {
    fn event(&self, id: usize) -> Option<Known<'_>> {
        Some(Known {
            pdu: self.pdus.get(id)?,
            rejected: self.rejected[id],
        })
    }

    fn auth_events(&self, id: usize) -> Option<&[usize]> {
        self.auth_events.get(id).map(Vec::as_slice)
    }
}

fn decided(given: &Given) -> Result<Value, Box<dyn std::error::Error>> {
    let rules = Rules::of_name(&given.version).ok_or("no such version")?;
    let mut room = Room {
        pdus: vec![],
        rejected: vec![],
        auth_events: vec![],
        by_id: HashMap::new(),
    };
    let mut events = Vec::new();
    for event in &given.events {
        let pdu = Pdu::parse(rules, event.pdu.get())?;
        let auth_events = pdu
            .auth_events()
            .iter()
            .map(|id| room.by_id.get(id.as_str()).copied());
        let auth_events = auth_events
            .collect::<Option<Vec<usize>>>()
            .ok_or("an auth event is not known")?;
        events.push(decided_event(
            &room,
            &pdu,
            &auth_events,
            &event.state_before,
        )?);
        room.by_id.insert(event.event_id.clone(), room.pdus.len());
        room.pdus.push(pdu);
        room.rejected.push(event.rejected);
        room.auth_events.push(auth_events);
    }
    let resolved = given
        .resolutions
        .iter()
        .map(|states| resolved(rules, &room, states))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "events": events, "resolved": resolved }))
}

fn decided_event(
    room: &Room,
    pdu: &Pdu,
    auth_events: &[usize],
    state_before: &[String],
) -> Result<Value, Box<dyn std::error::Error>> {
    let auth_event = |id: &usize| AuthEvent {
        pdu: &room.pdus[*id],
        rejected: room.rejected[*id],
    };
    let auth_events: Vec<_> = auth_events.iter().map(auth_event).collect();
    let create = (!room.pdus.is_empty()).then(|| auth_event(&0));
    let state = state_before
        .iter()
        .map(|id| room.by_id.get(id).map(|id| &room.pdus[*id]));
    let state = state
        .collect::<Option<StateMap<'_>>>()
        .ok_or("a state event is not known")?;
    let by_state = authorize(
        pdu,
        &lookup(|event_type, key| state.iter().find(|pdu| pdu.is(event_type, key))),
    );
    let reason = |decision: Result<(), Reason>| decision.err().map(|reason| reason.to_string());
    let object = parse_object(pdu.json())?;
    let hash = room::hash::content_hash(pdu.rules(), &object)?;
    Ok(json!({
        "event_id": pdu.event_id(),
        "redacted": serde_json::from_str::<Value>(pdu.redacted().json())?,
        "content_hash": hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "auth_events": reason(check_auth_events(pdu, &auth_events, create)),
        "state": reason(by_state),
    }))
}

fn resolved(
    rules: &'static Rules,
    room: &Room,
    states: &[Vec<String>],
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let state = |ids: &Vec<String>| {
        let entry = |id: &String| {
            let id = *room.by_id.get(id)?;
            let pdu = &room.pdus[id];
            Some(((pdu.event_type().into(), pdu.state_key()?.into()), id))
        };
        ids.iter().map(entry).collect::<Option<State<usize>>>()
    };
    let states = states
        .iter()
        .map(state)
        .collect::<Option<Vec<_>>>()
        .ok_or("a state event is not known")?;
    let resolved = resolve_states(rules, &states, room)?;
    let mut ids: Vec<String> = resolved
        .values()
        .map(|id| room.pdus[*id].event_id().to_string())
        .collect();
    ids.sort();
    Ok(ids)
}
