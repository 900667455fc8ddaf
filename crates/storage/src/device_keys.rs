//! The identity keys of devices: client-server API v1.19, "Device keys".

use crate::cross_signing::numbers;
use crate::{DeviceKey, Error, Snapshot, Tx, UserKey, device_lists, params};

/// The keys of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    pub user: UserKey,
    pub device_id: String,
    /// As uploaded, without `unsigned`: a JSON object.
    pub body: Vec<u8>,
    /// The device's name, as its owner's client set it.
    pub display_name: Option<String>,
}

const COLUMNS: &str = "k.user_key, k.device_id, k.body, d.display_name FROM device_keys k LEFT JOIN devices d ON d.id = k.device";

fn read(mut row: crate::Row) -> DeviceKeys {
    DeviceKeys {
        user: UserKey(row.int(0)),
        device_id: text(row.bytes(1)),
        body: row.take_bytes(2),
        display_name: row.opt_bytes(3).map(text),
    }
}

/// The keys of all devices of these users, in no order.
pub fn of_users(snap: &mut Snapshot<'_>, users: &[UserKey]) -> Result<Vec<DeviceKeys>, Error> {
    let rows = snap.query(
        &format!("SELECT {COLUMNS} WHERE k.user_key IN ($1[])"),
        params![numbers(users)],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// The keys of one device.
pub fn find(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    device_id: &str,
) -> Result<Option<DeviceKeys>, Error> {
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} WHERE k.user_key = $1 AND k.device_id = $2"),
        params![user, device_id.as_bytes()],
    )?;
    Ok(row.map(read))
}

/// The keys of one device, for a change: nobody else changes them before the commit.
pub fn lock_and_find(
    tx: &mut Tx<'_>,
    user: UserKey,
    device_id: &str,
) -> Result<Option<DeviceKeys>, Error> {
    device_lists::lock(tx, user)?;
    find(tx, user, device_id)
}

/// Sets the keys of a device, and tells who shares a room. `keep_signatures` is false where the keys are others than
/// before, so that what others signed does not hold for them.
pub fn put(
    tx: &mut Tx<'_>,
    user: UserKey,
    device: DeviceKey,
    device_id: &str,
    body: &[u8],
    keep_signatures: bool,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO device_keys (user_key, device_id, device, body) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_key, device_id) DO UPDATE SET device = excluded.device, body = excluded.body",
        params![user, device_id.as_bytes(), device, body],
    )?;
    if !keep_signatures {
        tx.execute(
            "DELETE FROM key_signatures WHERE target_user = $1 AND target = $2",
            params![user, device_id.as_bytes()],
        )?;
    }
    device_lists::publish_change(tx, user);
    Ok(())
}

/// Removes all keys of devices that are signed out and the messages that wait for them, and tells who shares a room.
/// Part of the transaction that signs them out.
pub fn forget_devices(tx: &mut Tx<'_>, user: UserKey, devices: &[DeviceKey]) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = devices.iter().map(|device| device.0).collect();
    let rows = tx.query(
        "DELETE FROM device_keys WHERE device IN ($1[]) RETURNING device_id",
        params![keys.clone()],
    )?;
    let (mut names, mut key_ids) = (Vec::new(), Vec::new());
    for row in rows {
        names.push(row.bytes(0));
        key_ids.push([b"ed25519:", row.bytes(0).as_slice()].concat());
    }
    if !names.is_empty() {
        tx.execute(
            "DELETE FROM key_signatures WHERE target_user = $1 AND target IN ($2[])",
            params![user, names],
        )?;
        tx.execute(
            "DELETE FROM key_signatures WHERE signer = $1 AND key_id IN ($2[])",
            params![user, key_ids],
        )?;
    }
    for statement in [
        "DELETE FROM one_time_keys WHERE device IN ($1[])",
        "DELETE FROM claimed_keys WHERE device IN ($1[])",
        "DELETE FROM fallback_keys WHERE device IN ($1[])",
        "DELETE FROM key_counts WHERE device IN ($1[])",
        "DELETE FROM to_device WHERE device IN ($1[])",
    ] {
        tx.execute(statement, params![keys.clone()])?;
    }
    device_lists::publish_change(tx, user);
    Ok(())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
