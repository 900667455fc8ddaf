//! Signatures on keys are added: client-server API v1.19, "POST /keys/signatures/upload".
//!
//! Each is verified before it is stored. On a user's own devices the self-signing key signs, on the own master key a
//! device, on others' master keys the user-signing key.

use std::collections::{BTreeMap, HashMap};

use storage::cross_signing::{self, CrossSigningKey, KeyKind, KeySignature};
use storage::{Tx, UserKey, device_keys, ids};

use super::signed_json::{
    Object, device_ed25519, is_signed_by, read_object, same_signed, signatures_of,
};
use crate::{Homeserver, Requester};

/// Keys in one upload: clients sign their devices, and one other user at a time.
pub const KEYS_MAX: usize = 1_000;

/// Signed keys by user id and key id (a device id or a master key).
pub type SignedKeys = BTreeMap<String, BTreeMap<String, Object>>;

/// Why the signatures on one key were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such key")]
    UnknownKey,
    #[error("the key is not the one that is stored")]
    OtherKey,
    #[error("there is no signature by a key that may sign it")]
    NoSignature,
    #[error("the signature is wrong")]
    InvalidSignature,
}

/// Refusals by user id and key id.
pub type Refusals = BTreeMap<String, BTreeMap<String, Refusal>>;

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum SignaturesError {
    #[error("an upload can name {KEYS_MAX} keys")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Adds the requester's signatures. What is refused does not keep the others from being added.
pub async fn upload_signatures(
    hs: &Homeserver,
    requester: &Requester,
    signed: SignedKeys,
) -> Result<Refusals, SignaturesError> {
    if signed.values().map(BTreeMap::len).sum::<usize>() > KEYS_MAX {
        return Err(SignaturesError::TooMany);
    }
    let requester = requester.clone();
    Ok(hs
        .db
        .write(move |tx| add_signatures(tx, &requester, &signed))
        .await?)
}

fn add_signatures(
    tx: &mut Tx<'_>,
    requester: &Requester,
    signed: &SignedKeys,
) -> Result<Refusals, storage::Error> {
    let own = cross_signing::lock_keys(tx, requester.user)?;
    let names = signed
        .keys()
        .filter(|user_id| super::server_of(user_id).is_some());
    let users = ids::find_users(tx, names.cloned().collect())?;
    let keys: Vec<_> = users.values().copied().collect();
    let mut facts = Facts {
        own,
        own_devices: HashMap::new(),
        masters: HashMap::new(),
    };
    for device in device_keys::of_users(tx, &[requester.user])? {
        let body = read_object(&device.body);
        facts.own_devices.insert(device.device_id, body);
    }
    for (user, keys) in cross_signing::keys_of(tx, &keys)? {
        let master = keys.into_iter().find(|key| key.kind == KeyKind::Master);
        facts.masters.extend(master.map(|master| (user, master)));
    }
    let known = cross_signing::signatures_on(tx, &keys, Some(requester.user))?;
    let (mut new, mut refusals) = (Vec::new(), Refusals::new());
    for (user_id, keys) in signed {
        for (key_id, object) in keys {
            let judged = match users.get(user_id) {
                Some(user) => judge(&facts, requester, *user, key_id, object),
                None => Err(Refusal::UnknownKey),
            };
            match judged {
                Ok(signatures) => new.extend(signatures),
                Err(refusal) => {
                    let of_user = refusals.entry(user_id.clone()).or_default();
                    of_user.insert(key_id.clone(), refusal);
                }
            }
        }
    }
    new.retain(|signature| !known.contains(signature));
    cross_signing::add_signatures(tx, requester.user, &new)?;
    Ok(refusals)
}

/// What signatures are judged by.
struct Facts {
    /// The signer's cross-signing keys.
    own: Vec<CrossSigningKey>,
    /// The signer's devices' keys, by device id.
    own_devices: HashMap<String, Object>,
    /// Master keys of those whose keys are signed.
    masters: HashMap<UserKey, CrossSigningKey>,
}

impl Facts {
    fn own_key(&self, kind: KeyKind) -> Option<&str> {
        let key = self.own.iter().find(|key| key.kind == kind)?;
        Some(&key.public_key)
    }
}

/// The valid new signatures on one key.
fn judge(
    facts: &Facts,
    requester: &Requester,
    user: UserKey,
    key_id: &str,
    object: &Object,
) -> Result<Vec<KeySignature>, Refusal> {
    let is_own = user == requester.user;
    let master = facts
        .masters
        .get(&user)
        .filter(|master| master.public_key == key_id);
    let device = facts.own_devices.get(key_id).filter(|_| is_own);
    let stored = match (device, master) {
        (Some(device), _) => device.clone(),
        (None, Some(master)) => read_object(&master.body),
        (None, None) => return Err(Refusal::UnknownKey),
    };
    if !same_signed(&stored, object) {
        return Err(Refusal::OtherKey);
    }
    let mut new = Vec::new();
    for (signing_key_id, signature) in signatures_of(object, &requester.user_id) {
        // What the key brought along at its upload comes back with it.
        if signatures_of(&stored, &requester.user_id).any(|known| known.0 == signing_key_id) {
            continue;
        }
        let Some(name) = signing_key_id.strip_prefix("ed25519:") else {
            continue;
        };
        let public_key = if device.is_some() {
            facts
                .own_key(KeyKind::SelfSigning)
                .filter(|key| *key == name)
        } else if is_own {
            let signer = facts.own_devices.get(name);
            signer.and_then(|signer| device_ed25519(signer, name))
        } else {
            facts
                .own_key(KeyKind::UserSigning)
                .filter(|key| *key == name)
        };
        let Some(public_key) = public_key else {
            continue;
        };
        if !is_signed_by(&stored, public_key, signature) {
            return Err(Refusal::InvalidSignature);
        }
        new.push(KeySignature {
            target_user: user,
            target: key_id.to_owned(),
            signer: requester.user,
            key_id: signing_key_id.to_owned(),
            signature: signature.to_owned(),
        });
    }
    if new.is_empty() {
        return Err(Refusal::NoSignature);
    }
    Ok(new)
}
