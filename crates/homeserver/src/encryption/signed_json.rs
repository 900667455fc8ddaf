//! Keys as signed JSON objects: appendices, "Signing JSON", Matrix v1.19. Pure functions.

use room::canonical::{CanonicalError, Numbers, write_object};
use room::json::parse_object;
use room::sign::PublicKey;
use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

/// Keys and sessions as JSON: device keys have about 1 KiB, backup data less than 4.
pub(super) const KEY_BYTES_MAX: usize = 64 << 10;

/// What the signatures on an object are made over: its canonical form without `signatures` and `unsigned`.
///
/// # Errors
/// Where it has no canonical form: a number that is no integer, or too great.
pub(super) fn signed_bytes(object: &Object) -> Result<Vec<u8>, CanonicalError> {
    // Written and read once more, as the canonical form knows numbers by their text.
    let text = Value::Object(object.clone()).to_string();
    let object = parse_object(&text)?;
    let mut out = String::with_capacity(text.len());
    let signed = |key: &str| key != "signatures" && key != "unsigned";
    write_object(&object, signed, Numbers::Strict, &mut out)?;
    Ok(out.into_bytes())
}

/// Whether two objects are the same but for signatures.
pub(super) fn same_signed(a: &Object, b: &Object) -> bool {
    matches!((signed_bytes(a), signed_bytes(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether `signature` is made over the object by `public_key`, both in base64.
pub(super) fn is_signed_by(object: &Object, public_key: &str, signature: &str) -> bool {
    match (signed_bytes(object), PublicKey::from_base64(public_key)) {
        (Ok(bytes), Ok(key)) => key.verifies(&bytes, signature),
        _ => false,
    }
}

/// The signatures of one user on the object: key id and signature.
pub(super) fn signatures_of<'a>(
    object: &'a Object,
    user_id: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    object
        .get("signatures")
        .and_then(|signatures| signatures.get(user_id))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key_id, signature)| Some((key_id.as_str(), signature.as_str()?)))
}

/// Replaces all signatures on the object by these of one user, and takes `unsigned` out.
pub(super) fn set_signatures(
    object: &mut Object,
    user_id: &str,
    signatures: impl IntoIterator<Item = (String, String)>,
) {
    object.remove("unsigned");
    let signatures: Object = signatures
        .into_iter()
        .map(|(key_id, signature)| (key_id, Value::String(signature)))
        .collect();
    let mut by_user = Object::new();
    if !signatures.is_empty() {
        by_user.insert(user_id.to_owned(), Value::Object(signatures));
    }
    object.insert("signatures".into(), Value::Object(by_user));
}

/// Adds a signature to the object.
pub(super) fn add_signature(object: &mut Object, user_id: &str, key_id: &str, signature: &str) {
    let signatures = object
        .entry("signatures")
        .or_insert_with(|| Value::Object(Object::new()));
    let Some(signatures) = signatures.as_object_mut() else {
        return;
    };
    let of_user = signatures
        .entry(user_id)
        .or_insert_with(|| Value::Object(Object::new()));
    if let Some(of_user) = of_user.as_object_mut() {
        of_user.insert(key_id.to_owned(), Value::String(signature.to_owned()));
    }
}

/// Reads a stored object. What we stored is an object; anything else reads as an empty one.
pub(super) fn read_object(bytes: &[u8]) -> Object {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Writes an object for storage.
pub(super) fn write(object: &Object) -> Vec<u8> {
    Value::Object(object.clone()).to_string().into_bytes()
}

/// The ed25519 key of a device, from its device keys.
pub(super) fn device_ed25519<'a>(device_keys: &'a Object, device_id: &str) -> Option<&'a str> {
    device_keys
        .get("keys")?
        .get(format!("ed25519:{device_id}"))?
        .as_str()
}
