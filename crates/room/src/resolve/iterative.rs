//! The iterative auth checks.
//!
//! Source: rooms v2 "State resolution", definition "Iterative auth checks".

use std::collections::HashMap;

use super::{Id, Source, Unconflicted};
use crate::auth::authorize;
use crate::pdu::Pdu;
use crate::state::lookup;

/// A state while it is being resolved: what was allowed so far, over a base.
pub(super) struct Partial<'a, I> {
    /// What lies under `allowed`; nothing in version 12.
    pub(super) base: Option<&'a dyn Unconflicted<I>>,
    /// The create event, which the room id stands for from version 12 on.
    pub(super) implied_create: Option<I>,
    pub(super) allowed: HashMap<(&'a str, &'a str), I>,
}

impl<'a, I: Id> Partial<'a, I> {
    pub(super) fn get(&self, event_type: &str, state_key: &str) -> Option<I> {
        let allowed = self.allowed.get(&(event_type, state_key)).copied();
        allowed.or_else(|| self.base.and_then(|base| base.get(event_type, state_key)))
    }

    /// Takes each event in turn into the state if the state so far allows it.
    pub(super) fn apply(&mut self, ids: &[I], source: &Source<'a, I>) {
        for id in ids {
            let Some(pdu) = source.pdu(*id) else { continue };
            let Some(state_key) = pdu.state_key() else {
                continue;
            };
            if self.allows(*id, pdu, source) {
                self.allowed.insert((pdu.event_type(), state_key), *id);
            }
        }
    }

    fn allows(&self, id: I, pdu: &Pdu, source: &Source<'a, I>) -> bool {
        let event = |event_type: &str, state_key: &str| {
            let by_state = self.get(event_type, state_key);
            let found = match (by_state, event_type) {
                (Some(found), _) => Some(found),
                (None, "m.room.create") if self.implied_create.is_some() => self.implied_create,
                (None, _) => self.own_auth_event(id, event_type, state_key, source),
            };
            found.and_then(|id| source.pdu(id))
        };
        authorize(pdu, &lookup(event)).is_ok()
    }

    /// What the event itself names, where the state so far has nothing; but not what was rejected.
    fn own_auth_event(
        &self,
        id: I,
        event_type: &str,
        state_key: &str,
        source: &Source<'a, I>,
    ) -> Option<I> {
        let found = source.auth_event(id, event_type, state_key)?;
        source
            .event(found)
            .filter(|known| !known.rejected)
            .map(|_| found)
    }
}
