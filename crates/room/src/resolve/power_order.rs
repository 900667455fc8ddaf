//! The reverse topological power ordering.
//!
//! Source: rooms v2 "State resolution", definition "Reverse topological power ordering".

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{Id, Source};
use crate::power_levels::{Level, Powers};

/// What orders events that do not depend on each other: mightier senders first, then earlier ones, then by id.
type Order<'a, I> = (Reverse<Level>, i64, &'a str, I);

/// Sorts `ids` so that each event comes after those of `ids` that it names in `auth_events`.
pub(super) fn reverse_topological_power_order<I: Id>(
    ids: &HashSet<I>,
    create: Option<I>,
    source: &Source<'_, I>,
) -> Vec<I> {
    let mut waits_for: HashMap<I, usize> = HashMap::with_capacity(ids.len());
    let mut named_by: HashMap<I, Vec<I>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for id in ids {
        let mut named: Vec<I> = source
            .auth_events(*id)
            .iter()
            .copied()
            .filter(|id| ids.contains(id))
            .collect();
        named.sort_unstable();
        named.dedup();
        named
            .iter()
            .for_each(|auth_event| named_by.entry(*auth_event).or_default().push(*id));
        match named.len() {
            0 => ready.extend(order(*id, create, source).map(Reverse)),
            count => drop(waits_for.insert(*id, count)),
        }
    }
    let mut sorted = Vec::with_capacity(ids.len());
    while let Some(Reverse((.., id))) = ready.pop() {
        sorted.push(id);
        for naming in named_by.get(&id).into_iter().flatten() {
            let Some(count) = waits_for.get_mut(naming) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                ready.extend(order(*naming, create, source).map(Reverse));
            }
        }
    }
    sorted
}

fn order<'a, I: Id>(id: I, create: Option<I>, source: &Source<'a, I>) -> Option<Order<'a, I>> {
    let pdu = source.pdu(id)?;
    Some((
        Reverse(sender_level(id, create, source)),
        pdu.origin_server_ts(),
        pdu.event_id().as_str(),
        id,
    ))
}

/// The power of an event's sender by the event's own `auth_events`.
fn sender_level<I: Id>(id: I, implied_create: Option<I>, source: &Source<'_, I>) -> Level {
    const NONE: Level = Level::Int(0);
    let Some(pdu) = source.pdu(id) else {
        return NONE;
    };
    let create = match pdu.rules().room_id_is_create_event() {
        true => implied_create.filter(|create| *create != id),
        false => source.auth_event(id, "m.room.create", ""),
    };
    let power_levels = source
        .auth_event(id, "m.room.power_levels", "")
        .and_then(|id| source.pdu(id));
    let Some(create) = create.and_then(|id| source.pdu(id)) else {
        return NONE;
    };
    Powers::new(create, power_levels).map_or(NONE, |powers| powers.of_user(pdu.sender().as_str()))
}
