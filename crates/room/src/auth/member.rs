//! Rule 5: `m.room.member`.

use super::third_party_invite::check_third_party_invite;
use super::{Deed, Reason, membership};
use crate::auth_content::AuthContent;
use crate::membership::{JoinAuthorised, MemberContent, Membership};
use crate::pdu::Pdu;
use crate::power_levels::{Powers, creators};
use crate::state::RoomState;

/// What the rules of membership look at.
pub(super) struct Room<'a> {
    create: &'a Pdu,
    state: &'a dyn RoomState,
    powers: Powers<'a>,
    join_rule: &'a str,
    sender_membership: Option<Membership>,
}

impl<'a> Room<'a> {
    pub(super) fn of(
        pdu: &Pdu,
        create: &'a Pdu,
        state: &'a dyn RoomState,
        powers: Powers<'a>,
    ) -> Room<'a> {
        let join_rule = match state.get("m.room.join_rules", "").map(Pdu::auth_content) {
            Some(AuthContent::JoinRules(Some(rule))) => rule,
            _ => "invite",
        };
        let sender_membership = membership(state, pdu.sender().as_str());
        Room {
            create,
            state,
            powers,
            join_rule,
            sender_membership,
        }
    }

    fn sender_is(&self, membership: Membership) -> bool {
        self.sender_membership == Some(membership)
    }
}

pub(super) fn check(pdu: &Pdu, content: &MemberContent, room: &Room<'_>) -> Result<(), Reason> {
    let target = pdu.state_key().ok_or(Reason::MemberWithoutStateKey)?;
    match content.membership {
        Some(Membership::Join) => check_join(pdu, target, content, room),
        Some(Membership::Invite) => check_invite(pdu, target, content, room),
        Some(Membership::Leave) => check_leave(pdu, target, room),
        Some(Membership::Ban) => check_ban(pdu, target, room),
        Some(Membership::Knock) if pdu.rules().auth.knock => check_knock(pdu, target, room),
        _ => Err(Reason::UnknownMembership),
    }
}

fn check_join(
    pdu: &Pdu,
    target: &str,
    content: &MemberContent,
    room: &Room<'_>,
) -> Result<(), Reason> {
    let auth = &pdu.rules().auth;
    if auth.restricted && content.join_authorised == Some(JoinAuthorised::Malformed) {
        return Err(Reason::MalformedJoinAuthorised);
    }
    // The first creator only: additional ones are invited as others are.
    let follows_create_alone =
        pdu.prev_events().len() == 1 && pdu.prev_events()[0] == room.create.event_id();
    if follows_create_alone && creators(room.create).next() == Some(target) {
        return Ok(());
    }
    if pdu.sender() != target {
        return Err(Reason::NotForAnother);
    }
    if room.sender_is(Membership::Ban) {
        return Err(Reason::Banned);
    }
    let invited_or_joined = room.sender_is(Membership::Invite) || room.sender_is(Membership::Join);
    match room.join_rule {
        "public" => Ok(()),
        "restricted" if auth.restricted => check_restricted_join(content, invited_or_joined, room),
        "knock_restricted" if auth.knock_restricted => {
            check_restricted_join(content, invited_or_joined, room)
        }
        "invite" if invited_or_joined => Ok(()),
        "knock" if auth.knock && invited_or_joined => Ok(()),
        "invite" => Err(Reason::NotInvited),
        "knock" if auth.knock => Err(Reason::NotInvited),
        _ => Err(Reason::JoinRuleForbids),
    }
}

fn check_restricted_join(
    content: &MemberContent,
    invited_or_joined: bool,
    room: &Room<'_>,
) -> Result<(), Reason> {
    if invited_or_joined {
        return Ok(());
    }
    let Some(JoinAuthorised::By(voucher)) = &content.join_authorised else {
        return Err(Reason::JoinNotAuthorised);
    };
    let is_joined = membership(room.state, voucher) == Some(Membership::Join);
    match is_joined && room.powers.can_invite(voucher) {
        true => Ok(()),
        false => Err(Reason::JoinNotAuthorised),
    }
}

fn check_invite(
    pdu: &Pdu,
    target: &str,
    content: &MemberContent,
    room: &Room<'_>,
) -> Result<(), Reason> {
    let target_membership = membership(room.state, target);
    if let Some(invite) = &content.third_party_invite {
        if target_membership == Some(Membership::Ban) {
            return Err(Reason::Banned);
        }
        return check_third_party_invite(pdu, target, invite, room.state);
    }
    if !room.sender_is(Membership::Join) {
        return Err(Reason::SenderNotJoined);
    }
    match target_membership {
        Some(Membership::Join) => return Err(Reason::AlreadyJoined),
        Some(Membership::Ban) => return Err(Reason::Banned),
        _ => {}
    }
    match room.powers.can_invite(pdu.sender().as_str()) {
        true => Ok(()),
        false => Err(Reason::LacksPower(Deed::Invite)),
    }
}

fn check_leave(pdu: &Pdu, target: &str, room: &Room<'_>) -> Result<(), Reason> {
    let sender = pdu.sender().as_str();
    if sender == target {
        return match room.sender_membership {
            Some(Membership::Invite | Membership::Join) => Ok(()),
            Some(Membership::Knock) if pdu.rules().auth.knock => Ok(()),
            _ => Err(Reason::NothingToLeave),
        };
    }
    if !room.sender_is(Membership::Join) {
        return Err(Reason::SenderNotJoined);
    }
    let is_unban = membership(room.state, target) == Some(Membership::Ban);
    if is_unban && room.powers.of_user(sender) < room.powers.to_ban() {
        return Err(Reason::LacksPower(Deed::Unban));
    }
    match room.powers.can_kick(sender, target) {
        true => Ok(()),
        false => Err(Reason::LacksPower(Deed::Kick)),
    }
}

fn check_ban(pdu: &Pdu, target: &str, room: &Room<'_>) -> Result<(), Reason> {
    if !room.sender_is(Membership::Join) {
        return Err(Reason::SenderNotJoined);
    }
    match room.powers.can_ban(pdu.sender().as_str(), target) {
        true => Ok(()),
        false => Err(Reason::LacksPower(Deed::Ban)),
    }
}

fn check_knock(pdu: &Pdu, target: &str, room: &Room<'_>) -> Result<(), Reason> {
    let allowed = room.join_rule == "knock"
        || (pdu.rules().auth.knock_restricted && room.join_rule == "knock_restricted");
    if !allowed {
        return Err(Reason::KnockNotAllowed);
    }
    if pdu.sender() != target {
        return Err(Reason::NotForAnother);
    }
    match room.sender_membership {
        Some(Membership::Ban | Membership::Invite | Membership::Join) => {
            Err(Reason::KnockNotNeeded)
        }
        _ => Ok(()),
    }
}
