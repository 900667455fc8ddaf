//! State resolution of version 1, by depth and the SHA-1 of event ids.
//!
//! Source: rooms v1 "State resolution". It is known to reset state; rooms that have it keep it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use sha1::{Digest as _, Sha1};

use super::{Conflict, Id, Missing, Resolved, Source};
use crate::auth::authorize;
use crate::pdu::Pdu;
use crate::state::lookup;

type Key<'a> = (&'a str, &'a str);

pub(super) fn resolve<I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'_, I>,
) -> Result<Resolved<I>, Missing<I>> {
    let by_key = by_key(conflict, source);
    source.check()?;
    let mut resolution = Resolution {
        conflict,
        source,
        resolved: HashMap::new(),
    };
    // A key that some states do not have at all is in no conflict here.
    let (agreed, disputed): (Vec<_>, Vec<_>) =
        by_key.into_iter().partition(|(_, ids)| ids.len() == 1);
    resolution
        .resolved
        .extend(agreed.into_iter().map(|(key, ids)| (key, ids[0])));
    let power_levels = |key: &Key<'_>| *key == ("m.room.power_levels", "");
    resolution.resolve_auth_events(&disputed, power_levels);
    resolution.resolve_auth_events(&disputed, |key| key.0 == "m.room.join_rules");
    resolution.resolve_auth_events(&disputed, |key| key.0 == "m.room.member");
    resolution.resolve_others(&disputed);
    source.check()?;
    let resolved = resolution.resolved.into_iter();
    Ok(resolved
        .map(|((event_type, key), id)| ((event_type.into(), key.into()), id))
        .collect())
}

/// The events of all states by key, each once, by ascending depth, then descending SHA-1.
fn by_key<'a, I: Id>(
    conflict: &Conflict<'_, I>,
    source: &Source<'a, I>,
) -> BTreeMap<Key<'a>, Vec<I>> {
    let mut by_key: BTreeMap<Key<'a>, Vec<I>> = BTreeMap::new();
    for id in conflict.states.iter().flatten() {
        let Some(pdu) = source.pdu(*id) else { continue };
        let Some(state_key) = pdu.state_key() else {
            continue;
        };
        let ids = by_key.entry((pdu.event_type(), state_key)).or_default();
        if !ids.contains(id) {
            ids.push(*id);
        }
    }
    for ids in by_key.values_mut() {
        ids.sort_by_cached_key(|id| source.pdu(*id).map(|pdu| (pdu.depth(), Reverse(sha1(pdu)))));
    }
    by_key
}

fn sha1(pdu: &Pdu) -> [u8; 20] {
    Sha1::digest(pdu.event_id().as_bytes()).into()
}

struct Resolution<'c, 'a, I> {
    conflict: &'c Conflict<'c, I>,
    source: &'c Source<'a, I>,
    resolved: HashMap<Key<'a>, I>,
}

impl<'a, I: Id> Resolution<'_, 'a, I> {
    /// Resolves the keys of one kind, of events that others depend on. None of the kind sees what became of the others
    /// before all are resolved.
    fn resolve_auth_events(
        &mut self,
        disputed: &[(Key<'a>, Vec<I>)],
        kind: impl Fn(&Key<'a>) -> bool,
    ) {
        let of_kind = disputed.iter().filter(|(key, _)| kind(key));
        let chosen: Vec<_> = of_kind
            .map(|(key, ids)| (*key, self.last_allowed_in_a_row(*key, ids)))
            .collect();
        self.resolved.extend(chosen);
    }

    /// Starts with the least deep event, and goes on as long as each is allowed by what came before.
    fn last_allowed_in_a_row(&self, key: Key<'a>, ids: &[I]) -> I {
        let mut chosen = ids[0];
        for id in &ids[1..] {
            if !self.allows(*id, Some((key, chosen))) {
                break;
            }
            chosen = *id;
        }
        chosen
    }

    /// Takes the deepest event that is allowed, or the least deep one if none is.
    fn resolve_others(&mut self, disputed: &[(Key<'a>, Vec<I>)]) {
        let others = disputed
            .iter()
            .filter(|(key, _)| !self.resolved.contains_key(key));
        let deepest = |ids: &[I]| {
            ids.iter()
                .rev()
                .copied()
                .find(|id| self.allows(*id, None))
                .unwrap_or(ids[0])
        };
        let chosen: Vec<_> = others.map(|(key, ids)| (*key, deepest(ids))).collect();
        self.resolved.extend(chosen);
    }

    /// Whether what is resolved so far, with `also` in it, allows the event.
    fn allows(&self, id: I, also: Option<(Key<'a>, I)>) -> bool {
        let Some(pdu) = self.source.pdu(id) else {
            return false;
        };
        let event = |event_type: &str, state_key: &str| {
            let also = also
                .filter(|(key, _)| *key == (event_type, state_key))
                .map(|(_, id)| id);
            let resolved = also.or_else(|| self.resolved.get(&(event_type, state_key)).copied());
            let id = resolved.or_else(|| self.conflict.unconflicted.get(event_type, state_key))?;
            self.source.pdu(id)
        };
        authorize(pdu, &lookup(event)).is_ok()
    }
}
