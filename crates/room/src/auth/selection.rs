//! Which state events an event names in its `auth_events`.
//!
//! Source: server-server API "Auth events selection", Matrix v1.19.

use crate::auth_content::AuthContent;
use crate::membership::{JoinAuthorised, Membership};
use crate::pdu::Pdu;
use crate::versions::Rules;

/// A place in the state: event type and state key.
pub type StateKey<'a> = (&'static str, &'a str);

/// The places in the state whose events allow `pdu`, each once.
pub fn auth_event_keys_of(pdu: &Pdu) -> Vec<StateKey<'_>> {
    let sender = pdu.sender().as_str();
    auth_event_keys(
        pdu.rules(),
        pdu.event_type(),
        pdu.state_key(),
        sender,
        pdu.auth_content(),
    )
}

/// The places in the state whose events allow an event of this type, key, sender and content, each once.
pub fn auth_event_keys<'a>(
    rules: &Rules,
    event_type: &str,
    state_key: Option<&'a str>,
    sender: &'a str,
    content: &'a AuthContent,
) -> Vec<StateKey<'a>> {
    if event_type == "m.room.create" {
        return Vec::new();
    }
    let mut keys: Vec<StateKey<'a>> = Vec::with_capacity(5);
    if !rules.room_id_is_create_event() {
        keys.push(("m.room.create", ""));
    }
    keys.push(("m.room.power_levels", ""));
    keys.push(("m.room.member", sender));
    let (AuthContent::Member(member), Some(target)) = (content, state_key) else {
        return keys;
    };
    keys.push(("m.room.member", target));
    if matches!(
        member.membership,
        Some(Membership::Join | Membership::Invite | Membership::Knock)
    ) {
        keys.push(("m.room.join_rules", ""));
    }
    if member.membership == Some(Membership::Invite)
        && let Some(signed) = member
            .third_party_invite
            .as_ref()
            .and_then(|invite| invite.signed.as_ref())
    {
        keys.push(("m.room.third_party_invite", &signed.token));
    }
    if rules.auth.restricted
        && member.membership == Some(Membership::Join)
        && let Some(JoinAuthorised::By(user)) = &member.join_authorised
    {
        keys.push(("m.room.member", user));
    }
    // The sender may be the target, and either may vouch.
    let mut seen = 0;
    while seen < keys.len() {
        let key = keys[seen];
        match keys[..seen].contains(&key) {
            true => drop(keys.remove(seen)),
            false => seen += 1,
        }
    }
    keys
}
