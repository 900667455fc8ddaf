//! Cross-signing keys and signatures on keys: client-server API v1.19, "Cross-signing".

use std::collections::HashMap;

use crate::{Error, Kind, Snapshot, Topic, Tx, UserKey, Value, device_lists, params, row};

/// Which of a user's three keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    Master,
    SelfSigning,
    UserSigning,
}

impl KeyKind {
    fn to_int(self) -> i64 {
        match self {
            KeyKind::Master => 0,
            KeyKind::SelfSigning => 1,
            KeyKind::UserSigning => 2,
        }
    }

    fn from_int(number: i64) -> Self {
        match number {
            0 => KeyKind::Master,
            1 => KeyKind::SelfSigning,
            _ => KeyKind::UserSigning,
        }
    }
}

/// A cross-signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossSigningKey {
    pub kind: KeyKind,
    /// Unpadded base64.
    pub public_key: String,
    /// The key as it was uploaded: a JSON object.
    pub body: Vec<u8>,
}

/// A signature on a device's keys or a master key, made by a cross-signing key or, on the own master key, by a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySignature {
    pub target_user: UserKey,
    /// A device id, or a master key in unpadded base64.
    pub target: String,
    pub signer: UserKey,
    /// Such as `ed25519:` and the signing key.
    pub key_id: String,
    /// Base64.
    pub signature: String,
}

/// The cross-signing keys of users; those without are left out.
pub fn keys_of(
    snap: &mut Snapshot<'_>,
    users: &[UserKey],
) -> Result<HashMap<UserKey, Vec<CrossSigningKey>>, Error> {
    let rows = snap.query(
        "SELECT user_key, kind, public_key, body FROM cross_signing_keys WHERE user_key IN ($1[]) ORDER BY user_key, kind",
        params![numbers(users)],
    )?;
    let mut keys: HashMap<UserKey, Vec<CrossSigningKey>> = HashMap::new();
    for mut row in rows {
        let key = CrossSigningKey {
            kind: KeyKind::from_int(row.int(1)),
            public_key: text(row.bytes(2)),
            body: row.take_bytes(3),
        };
        keys.entry(UserKey(row.int(0))).or_default().push(key);
    }
    Ok(keys)
}

/// The keys of one user, for a change: nobody else changes them before the commit.
pub fn lock_keys(tx: &mut Tx<'_>, user: UserKey) -> Result<Vec<CrossSigningKey>, Error> {
    device_lists::lock(tx, user)?;
    Ok(keys_of(tx, &[user])?.remove(&user).unwrap_or_default())
}

/// Sets some of a user's keys, and takes away others; signatures on and by keys that go with them. Tells who shares a room.
pub fn replace_keys(
    tx: &mut Tx<'_>,
    user: UserKey,
    gone: &[CrossSigningKey],
    new: &[CrossSigningKey],
) -> Result<(), Error> {
    let rows: Vec<_> = gone
        .iter()
        .map(|key| row![user, key.kind.to_int()])
        .collect();
    tx.execute_many(
        "DELETE FROM cross_signing_keys WHERE user_key = $1 AND kind = $2",
        &rows,
    )?;
    let names: Vec<Vec<u8>> = gone
        .iter()
        .map(|key| key.public_key.clone().into_bytes())
        .collect();
    let key_ids: Vec<Vec<u8>> = gone
        .iter()
        .map(|key| format!("ed25519:{}", key.public_key).into_bytes())
        .collect();
    if !gone.is_empty() {
        tx.execute(
            "DELETE FROM key_signatures WHERE target_user = $1 AND target IN ($2[])",
            params![user, names],
        )?;
        tx.execute(
            "DELETE FROM key_signatures WHERE signer = $1 AND key_id IN ($2[])",
            params![user, key_ids],
        )?;
    }
    let rows: Vec<_> = new
        .iter()
        .map(|key| {
            row![
                user,
                key.kind.to_int(),
                key.public_key.as_bytes(),
                &key.body
            ]
        })
        .collect();
    tx.execute_many(
        "INSERT INTO cross_signing_keys (user_key, kind, public_key, body) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_key, kind) DO UPDATE SET public_key = excluded.public_key, body = excluded.body",
        &rows,
    )?;
    device_lists::publish_change(tx, user);
    Ok(())
}

/// The signatures on keys of `users` that `viewer` may see: by their owner, and by the viewer.
pub fn signatures_on(
    snap: &mut Snapshot<'_>,
    users: &[UserKey],
    viewer: Option<UserKey>,
) -> Result<Vec<KeySignature>, Error> {
    let viewer = viewer.map_or(0, |viewer| viewer.0);
    let rows = snap.query(
        "SELECT target_user, target, signer, key_id, signature FROM key_signatures
         WHERE target_user IN ($1[]) AND (signer = target_user OR signer = $2)",
        params![numbers(users), viewer],
    )?;
    Ok(rows
        .into_iter()
        .map(|mut row| KeySignature {
            target_user: UserKey(row.int(0)),
            target: text(row.take_bytes(1)),
            signer: UserKey(row.int(2)),
            key_id: text(row.take_bytes(3)),
            signature: text(row.take_bytes(4)),
        })
        .collect())
}

/// Adds signatures of one user, which the caller has verified. Those on the signer's own keys are told to who shares a
/// room, those on others' keys to the signer alone.
pub fn add_signatures(
    tx: &mut Tx<'_>,
    signer: UserKey,
    signatures: &[KeySignature],
) -> Result<(), Error> {
    const PUT: &str =
        "INSERT INTO key_signatures (target_user, target, signer, key_id, signature, position)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (target_user, target, signer, key_id)
         DO UPDATE SET signature = excluded.signature, position = excluded.position";
    let columns = |signature: &KeySignature, position: Value| {
        row![
            signature.target_user,
            signature.target.as_bytes(),
            signer,
            signature.key_id.as_bytes(),
            signature.signature.as_bytes(),
            position
        ]
    };
    let (own, others): (Vec<_>, Vec<_>) = signatures
        .iter()
        .partition(|signature| signature.target_user == signer);
    if !own.is_empty() {
        let rows: Vec<_> = own
            .iter()
            .map(|signature| columns(signature, Value::Int(0)))
            .collect();
        tx.execute_many(PUT, &rows)?;
        device_lists::publish_change(tx, signer);
    }
    if let Some(target) = others.first().map(|signature| signature.target_user) {
        let mut rows: Vec<_> = others
            .iter()
            .map(|signature| columns(signature, Value::Null))
            .collect();
        tx.publish_with(
            Topic::User(signer),
            Kind::DeviceList,
            target.0,
            0,
            move |snap, position| {
                for row in &mut rows {
                    row[5] = position.into();
                }
                snap.write_many(PUT, &rows).map(drop)
            },
        );
    }
    Ok(())
}

/// Removes the cross-signing keys of a user, and all signatures by and on them.
pub fn forget_user(tx: &mut Tx<'_>, user: UserKey) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM cross_signing_keys WHERE user_key = $1",
        params![user],
    )?;
    tx.execute(
        "DELETE FROM key_signatures WHERE target_user = $1 OR signer = $1",
        params![user],
    )?;
    device_lists::publish_change(tx, user);
    Ok(())
}

pub(crate) fn numbers(users: &[UserKey]) -> Vec<i64> {
    users.iter().map(|user| user.0).collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
