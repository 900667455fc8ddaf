//! Devices of local users: client-server API v1.19, "Device Management".

use std::collections::HashMap;

use crate::{DeviceKey, Error, Kind, Row, Snapshot, Topic, Tx, UserKey, ids, params};

/// A device's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub key: DeviceKey,
    pub user: UserKey,
    pub device_id: String,
    pub display_name: Option<String>,
    pub created_ms: u64,
    pub last_seen_ms: u64,
    pub last_seen_ip: Option<String>,
}

const COLUMNS: &str =
    "id, user_key, device_id, display_name, created_ms, last_seen_ms, last_seen_ip";

fn read(row: &Row) -> Device {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Device {
        key: DeviceKey(row.int(0)),
        user: UserKey(row.int(1)),
        device_id: text(row.bytes(2)),
        display_name: row.opt_bytes(3).map(text),
        created_ms: row.int(4).unsigned_abs(),
        last_seen_ms: row.int(5).unsigned_abs(),
        last_seen_ip: row.opt_text(6),
    }
}

/// A user's devices, oldest first.
pub fn of_user(snap: &mut Snapshot<'_>, user: UserKey) -> Result<Vec<Device>, Error> {
    let rows = snap.query(
        &format!("SELECT {COLUMNS} FROM devices WHERE user_key = $1 ORDER BY id"),
        params![user],
    )?;
    Ok(rows.iter().map(read).collect())
}

/// The devices of many users at once: what `/keys/query` and `/sendToDevice` to `*` read.
pub fn of_users(
    snap: &mut Snapshot<'_>,
    users: &[UserKey],
) -> Result<HashMap<UserKey, Vec<Device>>, Error> {
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = snap.query(
        &format!("SELECT {COLUMNS} FROM devices WHERE user_key IN ($1[]) ORDER BY id"),
        params![users],
    )?;
    let mut devices: HashMap<UserKey, Vec<Device>> = HashMap::new();
    for device in rows.iter().map(read) {
        devices.entry(device.user).or_default().push(device);
    }
    Ok(devices)
}

/// One device of a user.
pub fn find(
    snap: &mut Snapshot<'_>,
    user: UserKey,
    device_id: &str,
) -> Result<Option<Device>, Error> {
    let row = snap.query_one(
        &format!("SELECT {COLUMNS} FROM devices WHERE user_key = $1 AND device_id = $2"),
        params![user, device_id.as_bytes()],
    )?;
    Ok(row.as_ref().map(read))
}

/// Makes a device, or takes the existing one of that id: its name stays unless a new one is given.
pub fn create_or_get(
    tx: &mut Tx<'_>,
    user: UserKey,
    device_id: &str,
    display_name: Option<&str>,
    ip: Option<&str>,
) -> Result<DeviceKey, Error> {
    let now_ms = tx.now_ms();
    let display_name = display_name.map(str::as_bytes);
    if let Some(device) = find(tx, user, device_id)? {
        tx.execute(
            "UPDATE devices SET display_name = COALESCE($2, display_name), last_seen_ms = $3, last_seen_ip = $4 WHERE id = $1",
            params![device.key, display_name, now_ms, ip],
        )?;
        return Ok(device.key);
    }
    let id = ids::next_id(tx, "device")?;
    tx.execute(
        "INSERT INTO devices (id, user_key, device_id, display_name, created_ms, last_seen_ms, last_seen_ip)
         VALUES ($1, $2, $3, $4, $5, $5, $6)",
        params![id, user, device_id.as_bytes(), display_name, now_ms, ip],
    )?;
    // Told before it has keys, so that who shows the list of somebody's devices asks for it at once.
    crate::device_lists::publish_change(tx, user);
    Ok(DeviceKey(id))
}

/// Renames a device. Other users see device names by their device list, so it changes too.
pub fn rename(tx: &mut Tx<'_>, device: &Device, display_name: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE devices SET display_name = $2 WHERE id = $1",
        params![device.key, display_name.as_bytes()],
    )?;
    crate::device_lists::publish_change(tx, device.user);
    Ok(())
}

/// Remembers when and from where a device was last used.
pub fn set_last_seen(tx: &mut Tx<'_>, device: DeviceKey, ip: Option<&str>) -> Result<(), Error> {
    let now_ms = tx.now_ms();
    tx.execute(
        "UPDATE devices SET last_seen_ms = $2, last_seen_ip = COALESCE($3, last_seen_ip) WHERE id = $1",
        params![device, now_ms, ip],
    )
    .map(drop)
}

/// Signs devices out: they, their tokens and all that waits for them are gone, and whoever waits for them is woken.
pub fn delete_devices(tx: &mut Tx<'_>, user: UserKey, devices: &[DeviceKey]) -> Result<(), Error> {
    if devices.is_empty() {
        return Ok(());
    }
    crate::device_keys::forget_devices(tx, user, devices)?;
    let keys: Vec<i64> = devices.iter().map(|device| device.0).collect();
    for statement in [
        "DELETE FROM access_tokens WHERE device IN ($1[])",
        "DELETE FROM refresh_tokens WHERE device IN ($1[])",
        "DELETE FROM client_transactions WHERE device IN ($1[])",
        "DELETE FROM connections WHERE device IN ($1[])",
        "DELETE FROM devices WHERE id IN ($1[])",
    ] {
        tx.execute(statement, params![keys.clone()])?;
    }
    for device in devices {
        tx.publish(Topic::User(user), Kind::SignedOut, device.0, 0);
    }
    Ok(())
}
