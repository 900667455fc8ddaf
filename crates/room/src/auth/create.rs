//! Rule 1: the create event, which depends on nothing but itself.

use super::Reason;
use crate::auth_content::AuthContent;
use crate::pdu::Pdu;
use crate::versions::Rules;

/// Whether an `m.room.create` event may found a room.
///
/// # Errors
/// The [`Reason`] why not.
pub fn check_create(pdu: &Pdu) -> Result<(), Reason> {
    let AuthContent::Create(content) = pdu.auth_content() else {
        return Err(Reason::NoCreateEvent);
    };
    let rules = pdu.rules();
    if !pdu.prev_events().is_empty() {
        return Err(Reason::CreateHasPrevEvents);
    }
    if rules.room_id_is_create_event() {
        if pdu.has_room_id() {
            return Err(Reason::CreateHasRoomId);
        }
    } else if pdu.room_id().server_name() != Some(pdu.sender_server()) {
        return Err(Reason::CreateOfOtherServer);
    }
    match &content.room_version {
        Some(Ok(version)) if Rules::of_name(version).is_none() => {
            return Err(Reason::UnknownRoomVersion(version.clone()));
        }
        Some(Err(_)) => return Err(Reason::UnknownRoomVersion("(not a string)".to_owned())),
        _ => {}
    }
    if !rules.auth.creator_is_sender && !content.has_creator {
        return Err(Reason::CreateHasNoCreator);
    }
    if rules.auth.creators_have_infinite_power && content.additional_creators.is_none() {
        return Err(Reason::MalformedAdditionalCreators);
    }
    Ok(())
}
