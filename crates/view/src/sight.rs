//! Who may see which event: the one answer for all reads.
//!
//! Source: client-server API "Room history visibility" and `unsigned.membership`, Matrix v1.19. The rule itself is
//! [`room::visibility::can_see`]; here its facts are loaded, for a page of events at once.

use std::collections::{HashMap, HashSet};

use room::membership::Membership;
use room::visibility::{self, HistoryVisibility, can_see};
use serde::Deserialize;
use storage::events::{self, EventRow};
use storage::rooms::EventStanding;
use storage::{Error, EventKey, RoomKey, Snapshot, StateNo, event_context};

use crate::{Stay, Viewer, stay};

/// How an event stands to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Whether the viewer may see it. Ignored senders are the caller's to leave out.
    pub visible: bool,
    /// The viewer's membership at the event, with what the event itself changes. None: it never had one.
    pub membership: Option<Membership>,
}

/// For each of these events, whether the viewer may see it.
///
/// The events may be of several rooms; all together cost some ten queries.
pub fn visible(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    events: &[EventRow],
) -> Result<Vec<bool>, Error> {
    let events: Vec<&EventRow> = events.iter().collect();
    let sights = sights(snap, viewer, &events)?;
    Ok(sights.into_iter().map(|sight| sight.visible).collect())
}

/// For each of these events, how it stands to the viewer.
pub fn sights(
    snap: &mut Snapshot<'_>,
    viewer: &Viewer,
    events: &[&EventRow],
) -> Result<Vec<Sight>, Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let facts = Facts::load(snap, viewer, events)?;
    let mut stays: HashMap<RoomKey, Stay> = HashMap::new();
    let mut sights = Vec::with_capacity(events.len());
    for event in events {
        let mut sight = facts.of(event);
        // Only where it decides: most pages are read by members, who need no look at their past.
        let decides = !can_see(&sight)
            && can_see(&visibility::Sight {
                joined_since: true,
                ..sight
            });
        if decides && let Some(place) = event.place {
            let stay = match stays.get(&event.room) {
                Some(stay) => *stay,
                None => stay::stay(snap, event.room, viewer.user)?,
            };
            stays.insert(event.room, stay);
            sight.joined_since = stay.joined_since(place);
        }
        // An outlier has no state to judge it by. It is shown to whom it is about: an invite to the invited.
        let is_own = sight.sets_membership.is_some();
        let visible = match (event.standing, event.place) {
            (EventStanding::Accepted, Some(_)) => can_see(&sight),
            (EventStanding::Accepted | EventStanding::Outlier, _) => is_own,
            (EventStanding::SoftFailed | EventStanding::Rejected, _) => false,
        };
        sights.push(Sight {
            visible,
            membership: sight.sets_membership.or(sight.membership),
        });
    }
    Ok(sights)
}

/// Whether a room is open to everybody now.
pub fn is_world_readable(snap: &mut Snapshot<'_>, room: RoomKey) -> Result<bool, Error> {
    let event = events::current_state_event(snap, room, "m.room.history_visibility", "")?;
    Ok(event.is_some_and(|event| visibility_of(&event.body) == HistoryVisibility::WorldReadable))
}

/// What is known of a page of events.
struct Facts {
    /// The numbers of `m.room.history_visibility` and of the viewer's `m.room.member`, in each room.
    visibility_no: HashMap<RoomKey, StateNo>,
    member_no: HashMap<RoomKey, StateNo>,
    entries: HashMap<(i64, StateNo), EventKey>,
    visibilities: HashMap<EventKey, HistoryVisibility>,
    memberships: HashMap<EventKey, Option<Membership>>,
}

impl Facts {
    fn load(snap: &mut Snapshot<'_>, viewer: &Viewer, events: &[&EventRow]) -> Result<Self, Error> {
        let rooms: HashSet<RoomKey> = events.iter().map(|event| event.room).collect();
        let rooms: Vec<RoomKey> = rooms.into_iter().collect();
        let visibility_no =
            event_context::state_numbers(snap, &rooms, "m.room.history_visibility", "")?;
        let member_no =
            event_context::state_numbers(snap, &rooms, "m.room.member", &viewer.user_id)?;
        let wanted: HashSet<(i64, StateNo)> = events
            .iter()
            .filter_map(|event| Some((event.state_before?, event.room)))
            .flat_map(|(state, room)| {
                let numbers = [visibility_no.get(&room), member_no.get(&room)];
                numbers
                    .into_iter()
                    .flatten()
                    .map(move |no| (state, *no))
                    .collect::<Vec<_>>()
            })
            .collect();
        let wanted: Vec<(i64, StateNo)> = wanted.into_iter().collect();
        let entries = event_context::entries(snap, &wanted)?;
        let keys: HashSet<EventKey> = entries.values().copied().collect();
        let keys: Vec<EventKey> = keys.into_iter().collect();
        let state = events::by_key(snap, &keys)?;
        let mut facts = Facts {
            visibility_no,
            member_no,
            entries,
            visibilities: HashMap::new(),
            memberships: HashMap::new(),
        };
        for event in state.values() {
            if facts.sets_visibility(event) {
                facts
                    .visibilities
                    .insert(event.key, visibility_of(&event.body));
            } else {
                facts
                    .memberships
                    .insert(event.key, membership_of(&event.body));
            }
        }
        Ok(facts)
    }

    fn of(&self, event: &EventRow) -> visibility::Sight {
        let entry = |no: Option<&StateNo>| self.entries.get(&(event.state_before?, *no?));
        visibility::Sight {
            visibility: entry(self.visibility_no.get(&event.room))
                .and_then(|key| self.visibilities.get(key))
                .copied()
                .unwrap_or_default(),
            membership: entry(self.member_no.get(&event.room))
                .and_then(|key| self.memberships.get(key))
                .copied()
                .flatten(),
            sets_visibility: self
                .sets_visibility(event)
                .then(|| visibility_of(&event.body)),
            sets_membership: self
                .sets_membership(event)
                .then(|| membership_of(&event.body))
                .flatten(),
            joined_since: false,
        }
    }

    fn sets_visibility(&self, event: &EventRow) -> bool {
        event.state_no.is_some() && event.state_no.as_ref() == self.visibility_no.get(&event.room)
    }

    fn sets_membership(&self, event: &EventRow) -> bool {
        event.state_no.is_some() && event.state_no.as_ref() == self.member_no.get(&event.room)
    }
}

/// The membership that an `m.room.member` event sets.
pub fn membership(event: &EventRow) -> Option<storage::rooms::Membership> {
    membership_of(&event.body)
        .and_then(|membership| storage::rooms::Membership::parse(membership.as_str()))
}

/// What an `m.room.member` event sets.
pub(crate) fn membership_of(body: &[u8]) -> Option<Membership> {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        membership: std::borrow::Cow<'a, str>,
    }
    content::<Content<'_>>(body).and_then(|content| Membership::from_name(&content.membership))
}

/// What an `m.room.history_visibility` event sets.
pub(crate) fn visibility_of(body: &[u8]) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        history_visibility: std::borrow::Cow<'a, str>,
    }
    content::<Content<'_>>(body)
        .map(|content| HistoryVisibility::from_name(&content.history_visibility))
        .unwrap_or_default()
}

/// Reads members of an event's content.
pub(crate) fn content<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    #[derive(Deserialize)]
    struct Event<T> {
        content: T,
    }
    serde_json::from_slice::<Event<T>>(body)
        .ok()
        .map(|event| event.content)
}
