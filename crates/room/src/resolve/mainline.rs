//! The mainline ordering.
//!
//! Source: rooms v2 "State resolution", definition "Mainline ordering".

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Id, Source};

/// Sorts `ids` by how far back in the mainline of `power_levels` the power levels are that allowed them, oldest first.
pub(super) fn mainline_order<I: Id>(
    mut ids: Vec<I>,
    power_levels: Option<I>,
    source: &Source<'_, I>,
) -> Vec<I> {
    // An event may stand among its own auth events only in a graph that hashes can't make, but ids of versions 1 and 2
    // are chosen: a walk enters no event twice.
    let mut positions: HashMap<I, usize> = HashMap::new();
    let mut next = power_levels;
    while let Some(id) = next
        && !positions.contains_key(&id)
    {
        positions.insert(id, positions.len());
        next = source.auth_event(id, "m.room.power_levels", "");
    }
    let mut found = HashMap::new();
    ids.sort_by_cached_key(|id| {
        let pdu = source.pdu(*id);
        let position = position(*id, &positions, &mut found, source);
        (
            Reverse(position),
            pdu.map(|pdu| pdu.origin_server_ts()),
            pdu.map(|pdu| pdu.event_id().as_str()),
            *id,
        )
    });
    ids
}

/// The position of the first event of the mainline that is met walking back along power levels, or none.
fn position<I: Id>(
    id: I,
    positions: &HashMap<I, usize>,
    found: &mut HashMap<I, usize>,
    source: &Source<'_, I>,
) -> usize {
    let mut walked = Vec::new();
    let mut next = Some(id);
    let mut position = usize::MAX;
    while let Some(id) = next
        && !walked.contains(&id)
    {
        if let Some(known) = positions.get(&id).or_else(|| found.get(&id)) {
            position = *known;
            break;
        }
        walked.push(id);
        next = source.auth_event(id, "m.room.power_levels", "");
    }
    found.extend(walked.into_iter().map(|id| (id, position)));
    position
}
