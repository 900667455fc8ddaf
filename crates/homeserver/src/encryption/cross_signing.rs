//! A user's cross-signing keys are set or replaced: client-server API v1.19, "POST /keys/device_signing/upload".

use room::sign::PublicKey;
use serde_json::Value;
use storage::cross_signing::{self, CrossSigningKey, KeyKind};
use storage::{Tx, device_keys, devices};

use super::signed_json::{
    KEY_BYTES_MAX, Object, device_ed25519, is_signed_by, read_object, same_signed, set_signatures,
    signatures_of, signed_bytes, write,
};
use crate::{Homeserver, Requester};

/// The keys that are uploaded; each may be missing.
#[derive(Debug, Clone, Default)]
pub struct CrossSigningUpload {
    pub master_key: Option<Object>,
    pub self_signing_key: Option<Object>,
    pub user_signing_key: Option<Object>,
}

/// Why no key was set.
#[derive(Debug, thiserror::Error)]
pub enum CrossSigningError {
    #[error("{0}")]
    Malformed(String),
    #[error("there is no master key: upload one first, or with the others")]
    NoMasterKey,
    #[error("the {0} key is not signed by the master key")]
    InvalidSignature(&'static str),
    #[error("the signature of device {0} on the master key is wrong")]
    InvalidDeviceSignature(String),
    #[error("a public key is the id of one of the user's devices")]
    IsADeviceId,
    /// Keys that are there are replaced only by who proves to be the user.
    #[error("replacing cross-signing keys needs user-interactive authentication")]
    NeedsAuthentication,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Sets the requester's cross-signing keys. `authenticated` tells that the user proved to be the user just now: the
/// first keys, and the same keys once more, need no proof.
pub async fn upload_cross_signing_keys(
    hs: &Homeserver,
    requester: &Requester,
    upload: CrossSigningUpload,
    authenticated: bool,
) -> Result<(), CrossSigningError> {
    let mut new = Vec::new();
    for (kind, key) in [
        (KeyKind::Master, upload.master_key),
        (KeyKind::SelfSigning, upload.self_signing_key),
        (KeyKind::UserSigning, upload.user_signing_key),
    ] {
        if let Some(object) = key {
            new.push(checked_key(&requester.user_id, kind, object)?);
        }
    }
    let requester = requester.clone();
    hs.db
        .write(move |tx| set_keys(tx, &requester, new.clone(), authenticated))
        .await
}

/// A key whose shape was checked.
#[derive(Debug, Clone)]
struct Checked {
    kind: KeyKind,
    public_key: String,
    object: Object,
}

fn set_keys(
    tx: &mut Tx<'_>,
    requester: &Requester,
    mut new: Vec<Checked>,
    authenticated: bool,
) -> Result<(), CrossSigningError> {
    let stored = cross_signing::lock_keys(tx, requester.user)?;
    let stored_master = stored.iter().find(|key| key.kind == KeyKind::Master);
    let new_master = new.iter().find(|key| key.kind == KeyKind::Master);
    let Some(master) = new_master
        .map(|key| key.public_key.clone())
        .or_else(|| stored_master.map(|key| key.public_key.clone()))
    else {
        return Err(CrossSigningError::NoMasterKey);
    };
    check_signatures(tx, requester, &mut new, &master)?;
    let is_stored = |key: &Checked| {
        stored.iter().any(|stored| {
            stored.kind == key.kind && same_signed(&read_object(&stored.body), &key.object)
        })
    };
    new.retain(|key| !is_stored(key));
    if new.is_empty() {
        return Ok(());
    }
    if stored_master.is_some() && !authenticated {
        return Err(CrossSigningError::NeedsAuthentication);
    }
    let new_master = new.iter().any(|key| key.kind == KeyKind::Master);
    // With another master key, what the old one has signed is worth nothing.
    let gone: Vec<_> = stored
        .into_iter()
        .filter(|stored| new_master || new.iter().any(|key| key.kind == stored.kind))
        .collect();
    let new: Vec<_> = new
        .into_iter()
        .map(|key| CrossSigningKey {
            kind: key.kind,
            public_key: key.public_key,
            body: write(&key.object),
        })
        .collect();
    Ok(cross_signing::replace_keys(
        tx,
        requester.user,
        &gone,
        &new,
    )?)
}

/// Checks the signatures on the keys, and keeps only those that were checked: by the master key, and on it by devices.
fn check_signatures(
    tx: &mut Tx<'_>,
    requester: &Requester,
    new: &mut [Checked],
    master: &str,
) -> Result<(), CrossSigningError> {
    let user_id = &requester.user_id;
    let device_ids: Vec<_> = devices::of_user(tx, requester.user)?
        .into_iter()
        .map(|device| device.device_id)
        .collect();
    for key in new {
        if device_ids.contains(&key.public_key) {
            return Err(CrossSigningError::IsADeviceId);
        }
        let kept = if key.kind == KeyKind::Master {
            device_signatures(tx, requester, &key.object)?
        } else {
            let key_id = format!("ed25519:{master}");
            let signature = signatures_of(&key.object, user_id)
                .find(|(id, _)| *id == key_id)
                .map(|(_, signature)| signature.to_owned())
                .filter(|signature| is_signed_by(&key.object, master, signature))
                .ok_or(CrossSigningError::InvalidSignature(usage(key.kind)))?;
            vec![(key_id, signature)]
        };
        set_signatures(&mut key.object, user_id, kept);
    }
    Ok(())
}

/// The signatures on a master key by devices of its owner whose keys are known.
fn device_signatures(
    tx: &mut Tx<'_>,
    requester: &Requester,
    master_key: &Object,
) -> Result<Vec<(String, String)>, CrossSigningError> {
    let mut kept = Vec::new();
    for device in device_keys::of_users(tx, &[requester.user])? {
        let key_id = format!("ed25519:{}", device.device_id);
        let keys = read_object(&device.body);
        let signature = signatures_of(master_key, &requester.user_id).find(|(id, _)| *id == key_id);
        let (Some((_, signature)), Some(key)) =
            (signature, device_ed25519(&keys, &device.device_id))
        else {
            continue;
        };
        if !is_signed_by(master_key, key, signature) {
            return Err(CrossSigningError::InvalidDeviceSignature(device.device_id));
        }
        kept.push((key_id, signature.to_owned()));
    }
    Ok(kept)
}

/// What a key says that it is used for.
fn usage(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Master => "master",
        KeyKind::SelfSigning => "self_signing",
        KeyKind::UserSigning => "user_signing",
    }
}

/// Checks the shape of a key.
fn checked_key(user_id: &str, kind: KeyKind, object: Object) -> Result<Checked, CrossSigningError> {
    let usage = usage(kind);
    let malformed = |what: &str| {
        Err(CrossSigningError::Malformed(format!(
            "The {usage} key {what}."
        )))
    };
    if object.get("user_id").and_then(Value::as_str) != Some(user_id) {
        return malformed("must have the user_id of the access token");
    }
    let uses = object.get("usage").and_then(Value::as_array);
    if !uses.is_some_and(|uses| uses.iter().any(|name| name == usage)) {
        return malformed("must name what it is for in its usage");
    }
    let keys = object.get("keys").and_then(Value::as_object);
    let mut keys = keys.into_iter().flatten();
    let (Some((key_id, Value::String(key))), None) = (keys.next(), keys.next()) else {
        return malformed("must have one public key");
    };
    if key_id.strip_prefix("ed25519:") != Some(key) || PublicKey::from_base64(key).is_err() {
        return malformed("must have a public key in unpadded base64, named ed25519: and itself");
    }
    let public_key = key.clone();
    match signed_bytes(&object) {
        Ok(bytes) if bytes.len() <= KEY_BYTES_MAX => Ok(Checked {
            kind,
            public_key,
            object,
        }),
        Ok(_) => malformed("is too large"),
        Err(_) => malformed("must have a canonical form, as it is signed"),
    }
}
