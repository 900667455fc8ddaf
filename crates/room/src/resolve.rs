//! State resolution: which state a room has where its graph joins again.
//!
//! Source: rooms v1, v2 and v12 "State resolution", Matrix v1.19.
//!
//! It works on differences. The caller gives what the states differ in ([`Conflict`]) and a way to look at what they
//! agree on; the answer names only keys that the states do not agree on. Ids are whatever the caller has: numbers or
//! event ids. Nothing is fetched here: what is not there is reported as [`Missing`], to be loaded before asking again.

mod auth_difference;
mod iterative;
mod mainline;
mod power_order;
mod v1;
mod v2;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::pdu::Pdu;
use crate::versions::{Rules, StateResolution};

/// What events are called by the caller: small and cheap to copy.
pub trait Id: Copy + Ord + Hash {}

impl<T: Copy + Ord + Hash> Id for T {}

/// Where events come from.
pub trait Events<I> {
    /// The event, where it is at hand.
    fn event(&self, id: I) -> Option<Known<'_>>;

    /// The events that it names in `auth_events`, where they are at hand. Asked for whole auth chains, so a caller can
    /// serve it without the events themselves.
    fn auth_events(&self, id: I) -> Option<&[I]>;
}

/// An event with what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub pdu: &'a Pdu,
    pub rejected: bool,
}

/// What all states agree on.
pub trait Unconflicted<I> {
    /// The event that every state has for this type and key.
    fn get(&self, event_type: &str, state_key: &str) -> Option<I>;

    /// Calls `visit` for each such event until it says `false`. Asked only in the rare case where auth chains differ in
    /// events that are not state.
    fn visit(&self, visit: &mut dyn FnMut(I) -> bool);
}

/// The states to resolve, by what they do not agree on.
#[derive(Clone, Copy)]
pub struct Conflict<'a, I> {
    pub rules: &'static Rules,
    /// For each state the events it has for keys where not all states have the same event. A state that has none of the
    /// keys is an empty list.
    pub states: &'a [Vec<I>],
    pub unconflicted: &'a dyn Unconflicted<I>,
}

/// What a resolution chose: for each key the states disagree on the event, and nothing for a key that fell away.
///
/// It may hold keys that no state had, where auth chains differ; never a key that all states agree on.
pub type Resolved<I> = HashMap<(Box<str>, Box<str>), I>;

/// Events that are needed and not at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} events are not at hand", .0.len())]
pub struct Missing<I>(pub Vec<I>);

/// Resolves a conflict by the room version's algorithm.
///
/// # Errors
/// [`Missing`] where events are not at hand. The list may grow when it is asked again with these.
pub fn resolve<I: Id>(
    conflict: &Conflict<'_, I>,
    events: &dyn Events<I>,
) -> Result<Resolved<I>, Missing<I>> {
    let source = Source {
        events,
        missing: RefCell::default(),
    };
    match conflict.rules.state_resolution {
        StateResolution::V1 => v1::resolve(conflict, &source),
        StateResolution::V2 => v2::resolve(conflict, &source, v2::Variant::V2),
        StateResolution::V2_1 => v2::resolve(conflict, &source, v2::Variant::V2_1),
    }
}

/// A whole state as a map.
pub type State<I> = HashMap<(Box<str>, Box<str>), I>;

/// Resolves whole states, for callers that have them as maps. [`resolve`] is what scales with the conflict.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_states<I: Id>(
    rules: &'static Rules,
    states: &[State<I>],
    events: &dyn Events<I>,
) -> Result<State<I>, Missing<I>> {
    let (mut unconflicted, conflicted) = split(states);
    if conflicted.iter().all(Vec::is_empty) {
        return Ok(unconflicted);
    }
    let resolved = resolve(
        &Conflict {
            rules,
            states: &conflicted,
            unconflicted: &unconflicted,
        },
        events,
    )?;
    unconflicted.extend(resolved);
    Ok(unconflicted)
}

/// Splits states into what all have the same, and for each state the rest.
pub fn split<I: Id>(states: &[State<I>]) -> (State<I>, Vec<Vec<I>>) {
    let Some((first, others)) = states.split_first() else {
        return (State::new(), Vec::new());
    };
    let same =
        |key: &(Box<str>, Box<str>), id: &I| others.iter().all(|other| other.get(key) == Some(id));
    let unconflicted: State<I> = first
        .iter()
        .filter(|(key, id)| same(key, id))
        .map(|(key, id)| (key.clone(), *id))
        .collect();
    let rest = |state: &State<I>| {
        state
            .iter()
            .filter(|(key, _)| !unconflicted.contains_key(*key))
            .map(|(_, id)| *id)
            .collect()
    };
    let conflicted = states.iter().map(rest).collect();
    (unconflicted, conflicted)
}

impl<I: Id> Unconflicted<I> for State<I> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<I> {
        HashMap::get(self, &(Box::from(event_type), Box::from(state_key))).copied()
    }

    fn visit(&self, visit: &mut dyn FnMut(I) -> bool) {
        let _ = self.values().all(|id| visit(*id));
    }
}

/// The caller's events, and a note of each that was asked for and not there.
struct Source<'a, I> {
    events: &'a dyn Events<I>,
    missing: RefCell<BTreeSet<I>>,
}

impl<'a, I: Id> Source<'a, I> {
    fn event(&self, id: I) -> Option<Known<'a>> {
        let event = self.events.event(id);
        if event.is_none() {
            self.missing.borrow_mut().insert(id);
        }
        event
    }

    fn pdu(&self, id: I) -> Option<&'a Pdu> {
        self.event(id).map(|known| known.pdu)
    }

    fn auth_events(&self, id: I) -> &'a [I] {
        let auth_events = self.events.auth_events(id);
        if auth_events.is_none() {
            self.missing.borrow_mut().insert(id);
        }
        auth_events.unwrap_or_default()
    }

    /// The first of the event's auth events that is state of this type and key.
    fn auth_event(&self, id: I, event_type: &str, state_key: &str) -> Option<I> {
        let is = |auth_event: &I| {
            self.pdu(*auth_event)
                .is_some_and(|pdu| pdu.is(event_type, state_key))
        };
        self.auth_events(id).iter().copied().find(is)
    }

    /// An error if anything was missing up to here.
    fn check(&self) -> Result<(), Missing<I>> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Missing(missing.iter().copied().collect()))
        }
    }
}
