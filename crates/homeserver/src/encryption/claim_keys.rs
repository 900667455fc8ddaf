//! One-time keys are given out, each once: client-server API v1.19, "POST /keys/claim".

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use storage::one_time_keys::{self, Claimed};
use storage::{DeviceKey, Tx, UserKey, devices, ids};

use super::query_keys::{QueryError, unreached_servers};
use super::signed_json::Object;
use crate::Homeserver;

/// Devices in one claim: those of the largest encrypted rooms; clients claim for some hundred at once.
pub const DEVICES_MAX: usize = 5_000;

/// Algorithms in one claim: clients use one, tests two.
pub const ALGORITHMS_MAX: usize = 8;

/// What is wanted: by user id and device id, an algorithm.
pub type Wanted = BTreeMap<String, BTreeMap<String, String>>;

/// The keys given out.
#[derive(Debug, Default)]
pub struct ClaimedKeys {
    /// By user id and device id: the key by `algorithm:key_id`.
    pub one_time_keys: BTreeMap<String, Object>,
    /// Servers that were not reached.
    pub failures: Object,
}

/// Why nothing was given out.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("a claim can name {DEVICES_MAX} devices and {ALGORITHMS_MAX} algorithms")]
    TooMany,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Takes a key from each device. When this returns, what it gives out is durable: no other claim gets the same.
pub async fn claim_keys(hs: &Homeserver, wanted: Wanted) -> Result<ClaimedKeys, ClaimError> {
    let algorithms: std::collections::BTreeSet<_> =
        wanted.values().flat_map(BTreeMap::values).collect();
    let devices: usize = wanted.values().map(BTreeMap::len).sum();
    if devices > DEVICES_MAX || algorithms.len() > ALGORITHMS_MAX {
        return Err(ClaimError::TooMany);
    }
    let failures = unreached_servers(hs, wanted.keys())?;
    let local: Wanted = wanted
        .into_iter()
        .filter(|(user_id, _)| hs.is_local(user_id))
        .collect();
    let one_time_keys = if local.is_empty() {
        BTreeMap::new()
    } else {
        hs.db.write(move |tx| claim_local(tx, &local)).await?
    };
    Ok(ClaimedKeys {
        one_time_keys,
        failures,
    })
}

fn claim_local(
    tx: &mut Tx<'_>,
    wanted: &Wanted,
) -> Result<BTreeMap<String, Object>, storage::Error> {
    let users = ids::find_users(tx, wanted.keys().cloned().collect())?;
    let user_ids: HashMap<UserKey, &String> = users
        .iter()
        .map(|(user_id, user)| (*user, user_id))
        .collect();
    let keys: Vec<_> = users.values().copied().collect();
    // By algorithm, of which there are few, all devices at once.
    let mut by_algorithm: BTreeMap<&str, Vec<(UserKey, DeviceKey)>> = BTreeMap::new();
    let mut names: HashMap<DeviceKey, (&String, String)> = HashMap::new();
    for device in devices::of_users(tx, &keys)?.into_values().flatten() {
        let user_id = user_ids[&device.user];
        if let Some(algorithm) = wanted[user_id].get(&device.device_id) {
            by_algorithm
                .entry(algorithm)
                .or_default()
                .push((device.user, device.key));
            names.insert(device.key, (user_id, device.device_id));
        }
    }
    let mut given_out: BTreeMap<String, Object> = BTreeMap::new();
    for (algorithm, devices) in by_algorithm {
        for (device, key) in one_time_keys::claim(tx, algorithm, &devices)? {
            let (user_id, device_id) = &names[&device];
            given_out
                .entry((*user_id).clone())
                .or_default()
                .insert(device_id.clone(), Value::Object(shown(algorithm, &key)));
        }
    }
    Ok(given_out)
}

fn shown(algorithm: &str, key: &Claimed) -> Object {
    // What was stored is JSON.
    let body = serde_json::from_slice(&key.body).unwrap_or_default();
    Object::from_iter([(format!("{algorithm}:{}", key.key_id), body)])
}
