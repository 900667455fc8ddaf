//! The keys of users and their devices: client-server API v1.19, "POST /keys/query".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use storage::cross_signing::{self, CrossSigningKey, KeyKind, KeySignature};
use storage::device_keys::{self, DeviceKeys};
use storage::{Snapshot, UserKey, ids};

use super::server_of;
use super::signed_json::{Object, add_signature, read_object};
use crate::{Homeserver, Requester};

/// Users in one query: the largest encrypted rooms have some thousand members, and clients ask for 250 at once.
pub const USERS_MAX: usize = 5_000;

/// The keys of users, each map by user id.
#[derive(Debug, Default)]
pub struct QueriedKeys {
    /// By user id and device id.
    pub device_keys: BTreeMap<String, Object>,
    pub master_keys: Object,
    pub self_signing_keys: Object,
    pub user_signing_keys: Object,
    /// Servers that were not reached.
    pub failures: Object,
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("a query can name {USERS_MAX} users")]
    TooManyUsers,
    #[error("{0} is not a user id")]
    NotAUserId(String),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Reads the keys of `wanted`: by user id the device ids, none for all devices.
pub async fn query_keys(
    hs: &Homeserver,
    requester: &Requester,
    wanted: BTreeMap<String, BTreeSet<String>>,
) -> Result<QueriedKeys, QueryError> {
    if wanted.len() > USERS_MAX {
        return Err(QueryError::TooManyUsers);
    }
    let failures = unreached_servers(hs, wanted.keys())?;
    let local: BTreeMap<_, _> = wanted
        .into_iter()
        .filter(|(user_id, _)| hs.is_local(user_id))
        .collect();
    let viewer = requester.user;
    let mut answer = hs
        .db
        .read(move |snap| local_keys(snap, viewer, &local))
        .await?;
    answer.failures = failures;
    Ok(answer)
}

/// The other servers of these users, each with why it gave no answer.
pub(super) fn unreached_servers<'a>(
    hs: &Homeserver,
    user_ids: impl Iterator<Item = &'a String>,
) -> Result<Object, QueryError> {
    let mut failures = Object::new();
    for user_id in user_ids {
        let server = server_of(user_id).ok_or_else(|| QueryError::NotAUserId(user_id.clone()))?;
        if !hs.is_local(user_id) {
            let reason = json!({ "error": "The server cannot be reached." });
            failures.insert(server.to_owned(), reason);
        }
    }
    Ok(failures)
}

fn local_keys(
    snap: &mut Snapshot<'_>,
    viewer: UserKey,
    wanted: &BTreeMap<String, BTreeSet<String>>,
) -> Result<QueriedKeys, QueryError> {
    let users = ids::find_users(snap, wanted.keys().cloned().collect())?;
    let keys: Vec<_> = users.values().copied().collect();
    let mut devices: HashMap<UserKey, Vec<DeviceKeys>> = HashMap::new();
    for device in device_keys::of_users(snap, &keys)? {
        devices.entry(device.user).or_default().push(device);
    }
    let mut cross_signing = cross_signing::keys_of(snap, &keys)?;
    let mut signatures: HashMap<(UserKey, String), Vec<KeySignature>> = HashMap::new();
    for signature in cross_signing::signatures_on(snap, &keys, Some(viewer))? {
        signatures
            .entry((signature.target_user, signature.target.clone()))
            .or_default()
            .push(signature);
    }
    // Those who signed what the viewer sees: the owners, and the viewer.
    let mut names: HashMap<UserKey, String> = ids::user_ids(snap, &[viewer])?;
    names.extend(users.iter().map(|(user_id, user)| (*user, user_id.clone())));
    let mut answer = QueriedKeys::default();
    for (user_id, device_ids) in wanted {
        let of_user = answer.device_keys.entry(user_id.clone()).or_default();
        let Some(user) = users.get(user_id) else {
            continue;
        };
        for device in devices.remove(user).unwrap_or_default() {
            if !device_ids.is_empty() && !device_ids.contains(&device.device_id) {
                continue;
            }
            let signed = signatures.get(&(*user, device.device_id.clone()));
            let name = device.device_id.clone();
            of_user.insert(name, Value::Object(shown_device(device, signed, &names)));
        }
        for key in cross_signing.remove(user).unwrap_or_default() {
            let signed = signatures.get(&(*user, key.public_key.clone()));
            let map = match key.kind {
                KeyKind::Master => &mut answer.master_keys,
                KeyKind::SelfSigning => &mut answer.self_signing_keys,
                // Whom a user trusts is nobody else's business.
                KeyKind::UserSigning if *user != viewer => continue,
                KeyKind::UserSigning => &mut answer.user_signing_keys,
            };
            map.insert(
                user_id.clone(),
                Value::Object(shown_key(&key, signed, &names)),
            );
        }
    }
    Ok(answer)
}

fn shown_device(
    device: DeviceKeys,
    signed: Option<&Vec<KeySignature>>,
    names: &HashMap<UserKey, String>,
) -> Object {
    let mut object = read_object(&device.body);
    add_signatures(&mut object, signed, names);
    if let Some(name) = device.display_name {
        let unsigned = json!({ "device_display_name": name });
        object.insert("unsigned".into(), unsigned);
    }
    object
}

fn shown_key(
    key: &CrossSigningKey,
    signed: Option<&Vec<KeySignature>>,
    names: &HashMap<UserKey, String>,
) -> Object {
    let mut object = read_object(&key.body);
    add_signatures(&mut object, signed, names);
    object
}

fn add_signatures(
    object: &mut Object,
    signed: Option<&Vec<KeySignature>>,
    names: &HashMap<UserKey, String>,
) {
    for signature in signed.into_iter().flatten() {
        if let Some(signer) = names.get(&signature.signer) {
            add_signature(object, signer, &signature.key_id, &signature.signature);
        }
    }
}
