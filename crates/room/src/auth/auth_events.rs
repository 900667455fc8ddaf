//! Rules 2 and 3: what an event's `auth_events` must be, whatever the state.

use ruma_common::RoomId;

use super::selection::auth_event_keys_of;
use super::{Reason, check_create};
use crate::pdu::Pdu;

/// An event that another one names in its `auth_events`, with what became of it.
#[derive(Debug, Clone, Copy)]
pub struct AuthEvent<'a> {
    pub pdu: &'a Pdu,
    /// Whether it was rejected itself.
    pub rejected: bool,
}

/// Checks what needs to be checked once only: the event's `auth_events`, or the create event itself.
///
/// `auth_events` are the events that `pdu` names, all of them. `create` is the room's create event; it is asked from
/// version 12 on, where the room id names it.
///
/// # Errors
/// The [`Reason`] why the event is to be rejected.
pub fn check_auth_events(
    pdu: &Pdu,
    auth_events: &[AuthEvent<'_>],
    create: Option<AuthEvent<'_>>,
) -> Result<(), Reason> {
    if pdu.event_type() == "m.room.create" {
        return check_create(pdu);
    }
    let by_room_id = pdu.rules().room_id_is_create_event();
    if by_room_id && !create.is_some_and(|create| is_create_of(&create, pdu.room_id())) {
        return Err(Reason::NoSuchRoom(pdu.room_id().to_owned()));
    }
    let expected = auth_event_keys_of(pdu);
    for (
        at,
        AuthEvent {
            pdu: auth_event,
            rejected,
        },
    ) in auth_events.iter().enumerate()
    {
        let id = || auth_event.event_id().to_owned();
        let key = |pdu: &Pdu| {
            (
                pdu.event_type().to_owned(),
                pdu.state_key().map(ToOwned::to_owned),
            )
        };
        if auth_event.room_id() != pdu.room_id() {
            return Err(Reason::AuthEventOfOtherRoom(id()));
        }
        if auth_events[..at]
            .iter()
            .any(|other| key(other.pdu) == key(auth_event))
        {
            return Err(Reason::DuplicateAuthEvent(id()));
        }
        if !expected
            .iter()
            .any(|(event_type, state_key)| auth_event.is(event_type, state_key))
        {
            return Err(Reason::UnexpectedAuthEvent(id()));
        }
        if *rejected {
            return Err(Reason::RejectedAuthEvent(id()));
        }
    }
    let has_create = auth_events
        .iter()
        .any(|auth_event| auth_event.pdu.is("m.room.create", ""));
    match by_room_id || has_create {
        true => Ok(()),
        false => Err(Reason::NoCreateEvent),
    }
}

fn is_create_of(create: &AuthEvent<'_>, room_id: &RoomId) -> bool {
    create.pdu.is("m.room.create", "") && create.pdu.room_id() == room_id && !create.rejected
}
