//! A user's own devices: client-server API v1.19, "Device management".

use storage::DeviceKey;
use storage::devices::{self as rows, Device};

use super::sessions::{self, DeviceError};
use crate::{Homeserver, Requester};

/// Why a device was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RenameError {
    #[error("there is no such device")]
    NotFound,
    #[error(transparent)]
    Device(DeviceError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The requester's devices, oldest first.
pub async fn list(hs: &Homeserver, requester: &Requester) -> Result<Vec<Device>, storage::Error> {
    let user = requester.user;
    hs.db.read(move |snap| rows::of_user(snap, user)).await
}

/// One of the requester's devices.
pub async fn find(
    hs: &Homeserver,
    requester: &Requester,
    device_id: &str,
) -> Result<Option<Device>, storage::Error> {
    let (user, device_id) = (requester.user, device_id.to_owned());
    hs.db
        .read(move |snap| rows::find(snap, user, &device_id))
        .await
}

/// Renames a device; none keeps its name.
pub async fn rename(
    hs: &Homeserver,
    requester: &Requester,
    device_id: &str,
    display_name: Option<String>,
) -> Result<(), RenameError> {
    if let Some(name) = &display_name {
        sessions::check_display_name(name).map_err(RenameError::Device)?;
    }
    let (user, device_id) = (requester.user, device_id.to_owned());
    hs.db
        .write(move |tx| {
            let device = rows::find(tx, user, &device_id)?.ok_or(RenameError::NotFound)?;
            match &display_name {
                Some(name) => Ok(rows::rename(tx, &device, name)?),
                None => Ok(()),
            }
        })
        .await
}

/// Signs devices of the requester out; those that do not exist are passed over.
pub async fn delete(
    hs: &Homeserver,
    requester: &Requester,
    device_ids: &[String],
) -> Result<(), storage::Error> {
    let (user, device_ids) = (requester.user, device_ids.to_owned());
    hs.db
        .write(move |tx| {
            let keys = keys_of(rows::of_user(tx, user)?, &device_ids);
            rows::delete_devices(tx, user, &keys)
        })
        .await
}

fn keys_of(devices: Vec<Device>, device_ids: &[String]) -> Vec<DeviceKey> {
    let named: std::collections::HashSet<&String> = device_ids.iter().collect();
    devices
        .into_iter()
        .filter(|device| named.contains(&device.device_id))
        .map(|device| device.key)
        .collect()
}
