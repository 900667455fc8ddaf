//! Whether an event may enter a room: the authorization rules, asked three times.
//!
//! Source: server-server API "Checks performed on receipt of a PDU", "Rejection", "Soft failure", Matrix v1.19. The
//! checks before these (format, signatures, hash) are [`crate::pdu::Pdu::parse`] and [`crate::sign::verify`].

use ruma_common::{EventId, OwnedEventId, RoomId};

use crate::auth::{AuthEvent, Reason, authorize, check_auth_events};
use crate::sign::Verified;
use crate::state::{RoomState, StateMap};

/// A room as it stands.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub room_id: &'a RoomId,
    /// The create event. `None` only while the create event itself is admitted.
    pub create: Option<AuthEvent<'a>>,
    /// The state resolved over all extremities.
    pub current_state: &'a dyn RoomState,
}

/// What the caller knows of the event's place in the graph.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Looks up an event that this one names in `auth_events`.
    pub auth_event: &'a dyn Fn(&EventId) -> Option<AuthEvent<'a>>,
    /// The state before the event: resolved over the states after its `prev_events`. `None` where it is not known yet.
    pub state_before: Option<&'a dyn RoomState>,
}

/// What becomes of an event.
#[derive(Debug, Clone)]
pub enum Admission {
    /// It enters the room, and clients see it.
    Accepted(Verified),
    /// It is kept and counts in state resolution, but the current state forbids it: it is not shown to clients, and
    /// nothing of ours follows it.
    SoftFailed(Verified, Reason),
    /// It is kept as rejected: never shown, never state.
    Rejected(Verified, Reason),
    /// Something must be known first. Get it and ask again.
    Incomplete(Verified, Missing),
}

/// What must be known before an event can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    pub auth_events: Vec<OwnedEventId>,
    /// Whether the state before the event is needed (ask once the auth events are there).
    pub state_before: bool,
}

/// Decides on an event: by its auth events, by the state before it, by the current state of the room.
pub fn admit(head: &Head<'_>, event: Verified, facts: &Facts<'_>) -> Admission {
    if event.room_id() != head.room_id {
        let reason = Reason::OtherRoom(event.room_id().to_owned());
        return Admission::Rejected(event, reason);
    }
    let (auth_events, missing) = find_auth_events(&event, facts);
    if !missing.is_empty() {
        return Admission::Incomplete(
            event,
            Missing {
                auth_events: missing,
                state_before: false,
            },
        );
    }
    let by_auth_events = check_auth_events(&event, &auth_events, head.create);
    if let Err(reason) = by_auth_events
        .and_then(|()| authorize(&event, &state_of(&event, &auth_events, head.create)))
    {
        return Admission::Rejected(event, reason);
    }
    let Some(state_before) = facts.state_before else {
        return Admission::Incomplete(
            event,
            Missing {
                auth_events: Vec::new(),
                state_before: true,
            },
        );
    };
    if let Err(reason) = authorize(&event, state_before) {
        return Admission::Rejected(event, reason);
    }
    match authorize(&event, head.current_state) {
        Ok(()) => Admission::Accepted(event),
        Err(reason) => Admission::SoftFailed(event, reason),
    }
}

fn find_auth_events<'a>(
    event: &Verified,
    facts: &Facts<'a>,
) -> (Vec<AuthEvent<'a>>, Vec<OwnedEventId>) {
    let mut found = Vec::with_capacity(event.auth_events().len());
    let mut missing = Vec::new();
    for id in event.auth_events() {
        match (facts.auth_event)(id) {
            Some(auth_event) => found.push(auth_event),
            None => missing.push(id.clone()),
        }
    }
    (found, missing)
}

/// The state that an event's auth events make, with the create event that the room id stands for from version 12 on.
fn state_of<'a>(
    event: &Verified,
    auth_events: &[AuthEvent<'a>],
    create: Option<AuthEvent<'a>>,
) -> StateMap<'a> {
    let implied = create.filter(|_| event.rules().room_id_is_create_event());
    implied
        .iter()
        .chain(auth_events)
        .map(|auth_event| auth_event.pdu)
        .collect()
}
