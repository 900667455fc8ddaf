//! Pushers: where clients want to be notified (client-server API v1.19, "Push Notifications").

use crate::{DeviceKey, Error, Snapshot, Tx, UserKey, params};

/// A pusher as its client set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pusher {
    pub app_id: String,
    pub pushkey: String,
    /// The device that set it: they go together.
    pub device: DeviceKey,
    /// The JSON object that clients see.
    pub body: Vec<u8>,
}

/// A user's pushers, in order of app and key.
pub fn of_user(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Vec<Pusher>, Error> {
    let rows = snap.query(
        "SELECT app_id, pushkey, device, body FROM pushers WHERE user_key = $1 ORDER BY app_id, pushkey",
        params![user],
    )?;
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(rows
        .into_iter()
        .map(|mut row| Pusher {
            app_id: lossy(row.bytes(0)),
            pushkey: lossy(row.bytes(1)),
            device: DeviceKey(row.int(2)),
            body: row.take_bytes(3),
        })
        .collect())
}

/// Sets a pusher, or replaces the user's one of the same app and key.
pub fn put(tx: &mut Tx<'_>, user: UserKey, pusher: &Pusher) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO pushers (user_key, app_id, pushkey, device, body) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_key, app_id, pushkey) DO UPDATE SET device = excluded.device, body = excluded.body",
        params![
            user,
            pusher.app_id.as_bytes(),
            pusher.pushkey.as_bytes(),
            pusher.device,
            &pusher.body
        ],
    )
    .map(drop)
}

/// Deletes a user's pusher.
pub fn delete(tx: &mut Tx<'_>, user: UserKey, app_id: &str, pushkey: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM pushers WHERE user_key = $1 AND app_id = $2 AND pushkey = $3",
        params![user, app_id.as_bytes(), pushkey.as_bytes()],
    )
    .map(drop)
}

/// Deletes all other users' pushers of an app and key: one app on one phone notifies one account.
pub fn delete_of_others(
    tx: &mut Tx<'_>,
    user: UserKey,
    app_id: &str,
    pushkey: &str,
) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM pushers WHERE app_id = $2 AND pushkey = $3 AND user_key <> $1",
        params![user, app_id.as_bytes(), pushkey.as_bytes()],
    )
    .map(drop)
}

/// Deletes the pushers that a device set: for one that is signed out.
pub fn delete_of_device(tx: &mut Tx<'_>, device: DeviceKey) -> Result<(), Error> {
    tx.execute("DELETE FROM pushers WHERE device = $1", params![device])
        .map(drop)
}
