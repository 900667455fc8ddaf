//! Rule 5.4.1: an invite that began with an e-mail address or phone number.

use super::Reason;
use crate::json::{Object, Value, parse_object};
use crate::membership::ThirdPartyInvite;
use crate::pdu::Pdu;
use crate::sign::{PublicKey, verify_object};
use crate::state::RoomState;

/// At most this many keys of an invite, and signatures by them, are tried: an identity server has one key, and each
/// check costs some 50 µs.
const KEYS_MAX: usize = 8;

pub(super) fn check_third_party_invite(
    pdu: &Pdu,
    target: &str,
    invite: &ThirdPartyInvite,
    state: &dyn RoomState,
) -> Result<(), Reason> {
    let signed = invite
        .signed
        .as_ref()
        .ok_or(Reason::MalformedThirdPartyInvite)?;
    if signed.mxid != target {
        return Err(Reason::ThirdPartyInviteForOther);
    }
    let made = state
        .get("m.room.third_party_invite", &signed.token)
        .ok_or(Reason::NoThirdPartyInvite)?;
    if made.sender() != pdu.sender() {
        return Err(Reason::ThirdPartyInviteByOther);
    }
    match is_signed(pdu, made) {
        true => Ok(()),
        false => Err(Reason::ThirdPartyInviteNotSigned),
    }
}

/// Whether any signature in `signed` matches any key that the room's third-party invite names.
fn is_signed(pdu: &Pdu, made: &Pdu) -> bool {
    let (Ok(content), Ok(made)) = (parse_object(pdu.content()), parse_object(made.content()))
    else {
        return false;
    };
    let invite = content.get("third_party_invite").and_then(Value::as_object);
    let signed = invite
        .and_then(|invite| invite.get("signed"))
        .and_then(Value::as_object);
    let Some(signed) = signed else { return false };
    let signatures = signed.get("signatures").and_then(Value::as_object);
    let Some(signatures) = signatures else {
        return false;
    };
    let keys: Vec<PublicKey> = public_keys(&made).take(KEYS_MAX).collect();
    let by = signatures
        .iter()
        .filter_map(|(signer, by)| Some((signer, by.as_object()?)));
    let key_ids = by.flat_map(|(signer, by)| by.iter().map(move |(key_id, _)| (signer, key_id)));
    key_ids
        .filter(|(_, key_id)| key_id.starts_with("ed25519:"))
        .take(KEYS_MAX)
        .any(|(signer, key_id)| {
            keys.iter()
                .any(|key| verify_object(signed, signer, key_id, key).is_ok())
        })
}

/// `public_key`, and the `public_key` of each of `public_keys`.
fn public_keys(made: &Object<'_>) -> impl Iterator<Item = PublicKey> {
    let listed = made
        .get("public_keys")
        .and_then(Value::as_array)
        .unwrap_or_default();
    let listed = listed
        .iter()
        .filter_map(|key| key.as_object()?.get_str("public_key"));
    made.get_str("public_key")
        .into_iter()
        .chain(listed)
        .filter_map(|key| PublicKey::from_base64(key).ok())
}
