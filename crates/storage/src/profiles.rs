//! Profiles of local users: `displayname`, `avatar_url` and fields of their own (client-server API v1.19, "Profiles").

use std::collections::{BTreeMap, HashMap};

use crate::{Error, Kind, Snapshot, Topic, Tx, UserKey, params};

/// A profile: each field's value, as JSON.
pub type Profile = BTreeMap<String, Vec<u8>>;

/// A user's profile; empty where no field is set.
pub fn get(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Profile, Error> {
    Ok(of_users(snap, &[user])?.remove(&user).unwrap_or_default())
}

/// The profiles of these users; those without a field are left out.
pub fn of_users(
    snap: &mut Snapshot<'_>,
    users: &[UserKey],
) -> Result<HashMap<UserKey, Profile>, Error> {
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = snap.query(
        "SELECT user_key, field, value FROM profiles WHERE user_key IN ($1[])",
        params![users],
    )?;
    let mut profiles: HashMap<UserKey, Profile> = HashMap::new();
    for mut row in rows {
        let field = String::from_utf8_lossy(&row.bytes(1)).into_owned();
        profiles
            .entry(UserKey(row.int(0)))
            .or_default()
            .insert(field, row.take_bytes(2));
    }
    Ok(profiles)
}

/// One field's value, as JSON.
pub fn field(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    field: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let row = snap.query_one(
        "SELECT value FROM profiles WHERE user_key = $1 AND field = $2",
        params![user, field.as_bytes()],
    )?;
    Ok(row.map(|mut row| row.take_bytes(0)))
}

/// Sets a field (JSON). Whoever shares a room learns of it.
pub fn put(tx: &mut Tx<'_>, user: UserKey, field: &str, value: &[u8]) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO profiles (user_key, field, value) VALUES ($1, $2, $3)
         ON CONFLICT (user_key, field) DO UPDATE SET value = excluded.value",
        params![user, field.as_bytes(), value],
    )?;
    tx.publish(Topic::Peers(user), Kind::Profile, 0, 0);
    Ok(())
}

/// Deletes a field. Whether it was there.
pub fn delete(tx: &mut Tx<'_>, user: UserKey, field: &str) -> Result<bool, Error> {
    let touched = tx.execute(
        "DELETE FROM profiles WHERE user_key = $1 AND field = $2",
        params![user, field.as_bytes()],
    )?;
    if touched > 0 {
        tx.publish(Topic::Peers(user), Kind::Profile, 0, 0);
    }
    Ok(touched > 0)
}

/// Deletes all fields: for an account that is erased.
pub fn erase(tx: &mut Tx<'_>, user: UserKey) -> Result<(), Error> {
    tx.execute("DELETE FROM profiles WHERE user_key = $1", params![user])
        .map(drop)
}
