//! The auth difference of states, and the conflicted state subgraph of version 12.
//!
//! Source: rooms v2 and v12 "State resolution", definitions "Auth difference", "Conflicted state subgraph".

use std::collections::{HashMap, HashSet};

use super::{Conflict, Id, Source};

/// The events in the auth chain of some state but not of all. The events of a state belong to its chain, as all servers
/// have it.
pub(super) fn auth_difference<I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'_, I>,
) -> HashSet<I> {
    let mut in_chains: HashMap<I, usize> = HashMap::new();
    for state in conflict.states {
        for id in auth_chain(state.iter().copied(), source) {
            *in_chains.entry(id).or_default() += 1;
        }
    }
    let all = conflict.states.len();
    let mut difference: HashSet<I> = in_chains
        .into_iter()
        .filter(|(_, chains)| *chains < all)
        .map(|(id, _)| id)
        .collect();
    // What is conflicted is in the full conflicted set whether or not it is in the difference.
    for id in conflict.states.iter().flatten() {
        difference.remove(id);
    }
    remove_unconflicted(conflict, source, &mut difference);
    difference
}

/// Takes out of `difference` what is in the auth chain of what all states agree on, and so in every chain.
fn remove_unconflicted<I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'_, I>,
    difference: &mut HashSet<I>,
) {
    let is_state = |id: &I| {
        source.pdu(*id).is_some_and(|pdu| {
            conflict
                .unconflicted
                .get(pdu.event_type(), pdu.state_key().unwrap_or_default())
                == Some(*id)
        })
    };
    // Most of the difference is newer state that all agree on, with its chain: no need to look at the whole room.
    let agreed: Vec<I> = difference.iter().copied().filter(is_state).collect();
    let mut walk = Walk::default();
    for id in agreed {
        walk.from(id, source, &mut |id| {
            difference.remove(&id);
            true
        });
    }
    if difference.is_empty() {
        return;
    }
    conflict.unconflicted.visit(&mut |id| {
        walk.from(id, source, &mut |id| {
            difference.remove(&id);
            !difference.is_empty()
        });
        !difference.is_empty()
    });
}

/// The events on any path along `auth_events` from one conflicted event to another.
pub(super) fn conflicted_subgraph<I: Id>(
    conflicted: &HashSet<I>,
    source: &Source<'_, I>,
) -> HashSet<I> {
    let chain = auth_chain(conflicted.iter().copied(), source);
    // Walk back from the conflicted events along the edges turned round, staying inside of what they reach.
    let mut named_by: HashMap<I, Vec<I>> = HashMap::new();
    for id in &chain {
        for auth_event in source.auth_events(*id) {
            named_by.entry(*auth_event).or_default().push(*id);
        }
    }
    let mut subgraph = conflicted.clone();
    let mut stack: Vec<I> = conflicted.iter().copied().collect();
    while let Some(id) = stack.pop() {
        for naming in named_by.get(&id).into_iter().flatten() {
            if subgraph.insert(*naming) {
                stack.push(*naming);
            }
        }
    }
    subgraph
}

/// `from` and all that is reached from there along `auth_events`.
fn auth_chain<I: Id>(from: impl Iterator<Item = I>, source: &Source<'_, I>) -> HashSet<I> {
    let mut walk = Walk::default();
    for id in from {
        walk.from(id, source, &mut |_| true);
    }
    walk.seen
}

/// A walk along `auth_events` that enters no event twice.
struct Walk<I> {
    seen: HashSet<I>,
}

impl<I> Default for Walk<I> {
    fn default() -> Self {
        Walk {
            seen: HashSet::new(),
        }
    }
}

impl<I: Id> Walk<I> {
    /// Walks from `id` on, until `enter` says `false`.
    fn from(&mut self, id: I, source: &Source<'_, I>, enter: &mut dyn FnMut(I) -> bool) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            if !enter(id) {
                return;
            }
            stack.extend(
                source
                    .auth_events(id)
                    .iter()
                    .filter(|id| !self.seen.contains(id)),
            );
        }
    }
}
