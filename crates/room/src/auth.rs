//! The authorization rules of all room versions.
//!
//! Source: rooms v1 to v12 "Authorisation rules", Matrix v1.19. The code follows the rules' order; where versions differ
//! a switch of [`crate::versions::Auth`] says so. What depends on `auth_events` alone is in [`check_auth_events`], what
//! depends on a state in [`authorize`], which is asked three times (see [`crate::admit`]) and by state resolution.

mod auth_events;
mod create;
mod member;
mod power_levels;
mod reason;
pub mod selection;
mod third_party_invite;

pub use auth_events::{AuthEvent, check_auth_events};
pub use create::check_create;
pub use reason::{Deed, Reason};

use crate::auth_content::AuthContent;
use crate::membership::Membership;
use crate::pdu::Pdu;
use crate::power_levels::Powers;
use crate::state::RoomState;

/// Whether the room's rules allow `pdu` in `state`.
///
/// # Errors
/// The [`Reason`] why not.
pub fn authorize(pdu: &Pdu, state: &dyn RoomState) -> Result<(), Reason> {
    if pdu.event_type() == "m.room.create" {
        return check_create(pdu);
    }
    let create = state
        .get("m.room.create", "")
        .ok_or(Reason::NoCreateEvent)?;
    check_room(pdu, create)?;
    check_federation(pdu, create)?;
    if pdu.event_type() == "m.room.aliases" && pdu.rules().auth.aliases_rule {
        return check_aliases(pdu);
    }
    let powers = Powers::of(state)?;
    if let AuthContent::Member(content) = pdu.auth_content() {
        return member::check(pdu, content, &member::Room::of(pdu, create, state, powers));
    }
    if membership(state, pdu.sender().as_str()) != Some(Membership::Join) {
        return Err(Reason::SenderNotJoined);
    }
    if pdu.event_type() == "m.room.third_party_invite" {
        return match powers.can_invite(pdu.sender().as_str()) {
            true => Ok(()),
            false => Err(Reason::LacksPower(Deed::Invite)),
        };
    }
    if !powers.can_send(pdu.sender().as_str(), pdu.event_type(), pdu.is_state()) {
        return Err(Reason::LacksPower(Deed::Send));
    }
    if pdu
        .state_key()
        .is_some_and(|key| key.starts_with('@') && key != pdu.sender().as_str())
    {
        return Err(Reason::StateOfAnotherUser);
    }
    match pdu.event_type() {
        "m.room.power_levels" => power_levels::check(pdu, create, &powers),
        "m.room.redaction" if pdu.rules().auth.redaction_rule => check_redaction(pdu, &powers),
        _ => Ok(()),
    }
}

/// The membership of `user_id` in `state`.
pub fn membership(state: &dyn RoomState, user_id: &str) -> Option<Membership> {
    match state.get("m.room.member", user_id)?.auth_content() {
        AuthContent::Member(content) => content.membership,
        _ => None,
    }
}

/// From version 12 the room id names the create event.
fn check_room(pdu: &Pdu, create: &Pdu) -> Result<(), Reason> {
    match pdu.rules().room_id_is_create_event() && pdu.room_id() != create.room_id() {
        true => Err(Reason::NoSuchRoom(pdu.room_id().to_owned())),
        false => Ok(()),
    }
}

fn check_federation(pdu: &Pdu, create: &Pdu) -> Result<(), Reason> {
    let federates = match create.auth_content() {
        AuthContent::Create(content) => content.federate,
        _ => true,
    };
    match federates || pdu.sender_server() == create.sender_server() {
        true => Ok(()),
        false => Err(Reason::NotFederated),
    }
}

fn check_aliases(pdu: &Pdu) -> Result<(), Reason> {
    match pdu.state_key() == Some(pdu.sender_server().as_str()) {
        true => Ok(()),
        false => Err(Reason::AliasesOfOtherServer),
    }
}

fn check_redaction(pdu: &Pdu, powers: &Powers<'_>) -> Result<(), Reason> {
    let has_power = powers.of_user(pdu.sender().as_str()) >= powers.to_redact();
    let same_server = pdu
        .redacts()
        .is_some_and(|redacted| redacted.server_name() == pdu.event_id().server_name());
    match has_power || same_server {
        true => Ok(()),
        false => Err(Reason::RedactionOfOtherServer),
    }
}
