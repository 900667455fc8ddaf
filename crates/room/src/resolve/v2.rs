//! State resolution of versions 2 to 11, and of version 12.
//!
//! Source: rooms v2 and v12 "State resolution", "Algorithm". The numbers are the algorithm's steps.

use std::collections::{HashMap, HashSet};

use super::auth_difference::{auth_difference, conflicted_subgraph};
use super::iterative::Partial;
use super::mainline::mainline_order;
use super::power_order::reverse_topological_power_order;
use super::{Conflict, Id, Missing, Resolved, Source};
use crate::auth_content::AuthContent;
use crate::membership::Membership;
use crate::pdu::Pdu;

/// What version 12 changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    V2,
    /// Starts from an empty state, and takes the conflicted state subgraph in.
    V2_1,
}

pub(super) fn resolve<I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'_, I>,
    variant: Variant,
) -> Result<Resolved<I>, Missing<I>> {
    let full_conflicted = full_conflicted_set(conflict, source, variant);
    source.check()?;
    let implied_create = conflict.unconflicted.get("m.room.create", "");
    let mut state = Partial {
        base: (variant == Variant::V2).then_some(conflict.unconflicted),
        implied_create: implied_create.filter(|_| conflict.rules.room_id_is_create_event()),
        allowed: HashMap::new(),
    };
    // 1
    let power_events = power_events_with_chains(&full_conflicted, source);
    let sorted = reverse_topological_power_order(&power_events, implied_create, source);
    source.check()?;
    // 2
    state.apply(&sorted, source);
    source.check()?;
    // 3
    let rest = full_conflicted.difference(&power_events).copied().collect();
    let sorted = mainline_order(rest, state.get("m.room.power_levels", ""), source);
    source.check()?;
    // 4
    state.apply(&sorted, source);
    source.check()?;
    // 5
    let disputed = state.allowed.into_iter();
    let disputed = disputed
        .filter(|((event_type, key), _)| conflict.unconflicted.get(event_type, key).is_none());
    Ok(disputed
        .map(|((event_type, key), id)| ((event_type.into(), key.into()), id))
        .collect())
}

fn full_conflicted_set<I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'_, I>,
    variant: Variant,
) -> HashSet<I> {
    let mut full: HashSet<I> = conflict.states.iter().flatten().copied().collect();
    if variant == Variant::V2_1 {
        full = conflicted_subgraph(&full, source);
    }
    full.extend(auth_difference(conflict, source));
    full
}

/// The power events of the full conflicted set with those of their auth chains that are in it too.
fn power_events_with_chains<I: Id>(
    full_conflicted: &HashSet<I>,
    source: &Source<'_, I>,
) -> HashSet<I> {
    let is_power = |id: &I| source.pdu(*id).is_some_and(is_power_event);
    let mut stack: Vec<I> = full_conflicted.iter().copied().filter(is_power).collect();
    let mut found: HashSet<I> = stack.iter().copied().collect();
    while let Some(id) = stack.pop() {
        for auth_event in source.auth_events(id) {
            if full_conflicted.contains(auth_event) && found.insert(*auth_event) {
                stack.push(*auth_event);
            }
        }
    }
    found
}

/// Whether an event might take power from someone.
fn is_power_event(pdu: &Pdu) -> bool {
    match pdu.auth_content() {
        AuthContent::Create(_) | AuthContent::PowerLevels(_) | AuthContent::JoinRules(_) => {
            pdu.state_key() == Some("")
        }
        AuthContent::Member(content) => {
            matches!(
                content.membership,
                Some(Membership::Leave | Membership::Ban)
            ) && pdu
                .state_key()
                .is_some_and(|target| target != pdu.sender().as_str())
        }
        AuthContent::Other => false,
    }
}
