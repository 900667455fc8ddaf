//! A device uploads its keys: client-server API v1.19, "POST /keys/upload".

use std::collections::BTreeMap;

use serde_json::Value;
use storage::one_time_keys::{self, AddError, NewKey};
use storage::{Tx, device_keys, devices};

use super::signed_json::{
    KEY_BYTES_MAX, Object, read_object, same_signed, set_signatures, signatures_of, signed_bytes,
    write,
};
use crate::{Homeserver, Requester};

/// A key's id and algorithm: short words.
const KEY_NAME_BYTES_MAX: usize = 255;

/// What a device uploads; each part may be missing.
#[derive(Debug, Clone, Default)]
pub struct KeyUpload {
    pub device_keys: Option<Object>,
    /// By `algorithm:key_id`.
    pub one_time_keys: Object,
    /// By `algorithm:key_id`.
    pub fallback_keys: Object,
}

/// Why keys were not taken. Nothing of the upload was.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the device keys must have the user_id and device_id of the access token")]
    OtherDevice,
    #[error("another key is stored as {algorithm}:{key_id}")]
    Conflict { algorithm: String, key_id: String },
    #[error(
        "a device can store {} one-time keys here, of at most {KEY_BYTES_MAX} bytes each",
        one_time_keys::ONE_TIME_KEYS_MAX
    )]
    TooLarge,
    #[error("the device was signed out")]
    SignedOut,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<AddError> for UploadError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Conflict { algorithm, key_id } => UploadError::Conflict { algorithm, key_id },
            AddError::TooMany => UploadError::TooLarge,
            AddError::Storage(error) => UploadError::Storage(error),
        }
    }
}

/// Stores keys of the requester's device. Returns how many one-time keys of each algorithm it has.
pub async fn upload_keys(
    hs: &Homeserver,
    requester: &Requester,
    upload: KeyUpload,
) -> Result<BTreeMap<String, u64>, UploadError> {
    let device_keys = upload
        .device_keys
        .map(|keys| checked_device_keys(requester, keys))
        .transpose()?;
    let one_time_keys = named_keys(upload.one_time_keys)?;
    let fallback_keys = named_keys(upload.fallback_keys)?;
    let algorithms: std::collections::BTreeSet<_> =
        fallback_keys.iter().map(|key| &key.algorithm).collect();
    if algorithms.len() < fallback_keys.len() {
        return Err(UploadError::Malformed(
            "There can be one fallback key for an algorithm.",
        ));
    }
    if device_keys.is_none() && one_time_keys.is_empty() && fallback_keys.is_empty() {
        // Clients ask for the counts so.
        let device = requester.device;
        let read = hs.db.read(move |snap| one_time_keys::counts(snap, device));
        return Ok(read.await?);
    }
    let requester = requester.clone();
    hs.db
        .write(move |tx| {
            let (user, device) = (requester.user, requester.device);
            // A device that is signed out at this moment must leave nothing behind.
            let found = devices::find(tx, user, &requester.device_id)?;
            if found.is_none_or(|found| found.key != device) {
                return Err(UploadError::SignedOut);
            }
            if let Some(keys) = &device_keys {
                put_device_keys(tx, &requester, keys)?;
            }
            one_time_keys::add(tx, user, device, &one_time_keys, same_key)?;
            one_time_keys::set_fallback(tx, user, device, &fallback_keys, same_key)?;
            Ok(one_time_keys::counts(tx, device)?)
        })
        .await
}

fn put_device_keys(
    tx: &mut Tx<'_>,
    requester: &Requester,
    keys: &Object,
) -> Result<(), UploadError> {
    let stored = device_keys::lock_and_find(tx, requester.user, &requester.device_id)?
        .map(|stored| read_object(&stored.body));
    if stored.as_ref() == Some(keys) {
        return Ok(());
    }
    // Signatures by the self-signing key hold as long as what they were made over.
    let keep_signatures = stored.is_some_and(|stored| same_signed(&stored, keys));
    device_keys::put(
        tx,
        requester.user,
        requester.device,
        &requester.device_id,
        &write(keys),
        keep_signatures,
    )?;
    Ok(())
}

/// Whether two one-time keys are the same: signatures may be made anew.
fn same_key(a: &[u8], b: &[u8]) -> bool {
    match (serde_json::from_slice(a), serde_json::from_slice(b)) {
        (Ok(Value::Object(a)), Ok(Value::Object(b))) => same_signed(&a, &b),
        (Ok(a), Ok(b)) => {
            let (a, b): (Value, Value) = (a, b);
            a == b
        }
        _ => false,
    }
}

/// Checks the shape of device keys, and keeps of their signatures those by the device itself.
fn checked_device_keys(requester: &Requester, mut keys: Object) -> Result<Object, UploadError> {
    let text = |name: &str| keys.get(name).and_then(Value::as_str);
    let (Some(user_id), Some(device_id)) = (text("user_id"), text("device_id")) else {
        return Err(UploadError::Malformed(
            "device_keys must have user_id and device_id.",
        ));
    };
    if user_id != requester.user_id || device_id != requester.device_id {
        return Err(UploadError::OtherDevice);
    }
    let algorithms = keys.get("algorithms").and_then(Value::as_array);
    if !algorithms.is_some_and(|list| list.iter().all(Value::is_string)) {
        return Err(UploadError::Malformed(
            "device_keys.algorithms must be a list of strings.",
        ));
    }
    let names = keys.get("keys").and_then(Value::as_object);
    let Some(names) = names.filter(|keys| keys.values().all(Value::is_string)) else {
        return Err(UploadError::Malformed(
            "device_keys.keys must be an object of strings.",
        ));
    };
    let signatures = keys.get("signatures").and_then(Value::as_object);
    let all_text = |of_user: &Value| {
        of_user
            .as_object()
            .is_some_and(|signatures| signatures.values().all(Value::is_string))
    };
    if !signatures.is_some_and(|signatures| signatures.values().all(all_text)) {
        return Err(UploadError::Malformed(
            "device_keys.signatures must be an object of objects of strings.",
        ));
    }
    let own: Vec<_> = signatures_of(&keys, &requester.user_id)
        .filter(|(key_id, _)| names.contains_key(*key_id))
        .map(|(key_id, signature)| (key_id.to_owned(), signature.to_owned()))
        .collect();
    set_signatures(&mut keys, &requester.user_id, own);
    match signed_bytes(&keys) {
        Ok(bytes) if bytes.len() <= KEY_BYTES_MAX => Ok(keys),
        Ok(_) => Err(UploadError::TooLarge),
        Err(_) => Err(UploadError::Malformed(
            "device_keys must have a canonical form, as it is signed.",
        )),
    }
}

/// Reads keys named `algorithm:key_id`, each a string or an object with a `key`.
fn named_keys(keys: Object) -> Result<Vec<NewKey>, UploadError> {
    if keys.len() > one_time_keys::ONE_TIME_KEYS_MAX {
        return Err(UploadError::TooLarge);
    }
    let mut named = Vec::with_capacity(keys.len());
    for (name, key) in keys {
        let Some((algorithm, key_id)) = name.split_once(':') else {
            return Err(UploadError::Malformed(
                "A key's name must be its algorithm, a colon and its id.",
            ));
        };
        if name.len() > KEY_NAME_BYTES_MAX || algorithm.is_empty() || key_id.is_empty() {
            return Err(UploadError::Malformed(
                "A key's algorithm and id must have 1 to 255 bytes together.",
            ));
        }
        let whole = match &key {
            Value::String(_) => true,
            Value::Object(object) => {
                object.get("key").is_some_and(Value::is_string) && signed_bytes(object).is_ok()
            }
            _ => false,
        };
        if !whole {
            return Err(UploadError::Malformed(
                "A key must be a string, or an object with a string as its key.",
            ));
        }
        let body = key.to_string().into_bytes();
        if body.len() > KEY_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        named.push(NewKey {
            algorithm: algorithm.to_owned(),
            key_id: key_id.to_owned(),
            body,
        });
    }
    Ok(named)
}
