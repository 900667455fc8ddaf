//! How the rules look at a room's state: by type and key, whoever holds it.

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::pdu::Pdu;

/// A state of a room: at most one event for each type and state key.
///
/// [`lookup`] makes one of a closure, so a caller need not build a map.
pub trait RoomState {
    /// The event that is state for this type and key.
    fn get(&self, event_type: &str, state_key: &str) -> Option<&Pdu>;
}

/// A state that asks a closure `|event_type, state_key| -> Option<&Pdu>`.
pub fn lookup<'a, F: Fn(&str, &str) -> Option<&'a Pdu>>(ask: F) -> Lookup<'a, F> {
    Lookup {
        ask,
        events: PhantomData,
    }
}

/// What [`lookup`] makes.
pub struct Lookup<'a, F> {
    ask: F,
    events: PhantomData<&'a Pdu>,
}

impl<'a, F: Fn(&str, &str) -> Option<&'a Pdu>> RoomState for Lookup<'a, F> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<&Pdu> {
        (self.ask)(event_type, state_key)
    }
}

/// A state as a plain map, for small ones.
#[derive(Debug, Clone, Default)]
pub struct StateMap<'a> {
    events: HashMap<(&'a str, &'a str), &'a Pdu>,
}

impl<'a> StateMap<'a> {
    /// Puts `pdu` in; what is no state event is left out.
    pub fn insert(&mut self, pdu: &'a Pdu) {
        if let Some(state_key) = pdu.state_key() {
            self.events.insert((pdu.event_type(), state_key), pdu);
        }
    }

    /// Every event of the state, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &'a Pdu> {
        self.events.values().copied()
    }
}

impl<'a> FromIterator<&'a Pdu> for StateMap<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Pdu>>(pdus: I) -> Self {
        let mut state = StateMap::default();
        pdus.into_iter().for_each(|pdu| state.insert(pdu));
        state
    }
}

impl RoomState for StateMap<'_> {
    fn get(&self, event_type: &str, state_key: &str) -> Option<&Pdu> {
        self.events.get(&(event_type, state_key)).copied()
    }
}
