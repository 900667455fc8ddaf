//! Messages from device to device: client-server API v1.19, "PUT /sendToDevice/{eventType}/{txnId}".

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use storage::to_device::{self, NewMessage};
use storage::{DeviceKey, Tx, client_transactions, devices, ids};

use super::server_of;
use super::signed_json::Object;
use crate::{Homeserver, Requester};

/// Devices that one request names: clients send to some hundred at once.
pub const TARGETS_MAX: usize = 10_000;

/// A message's content: that of an event, as other servers take no more.
pub const CONTENT_BYTES_MAX: usize = 64 << 10;

/// Contents by user id and device id, or `*` for all devices of the user.
pub type Messages = BTreeMap<String, BTreeMap<String, Object>>;

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(
        "a request can name {TARGETS_MAX} devices, with at most {CONTENT_BYTES_MAX} bytes for each"
    )]
    TooLarge,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Sends messages, once per transaction id: when this returns they are durable.
/// Devices that this server does not know get none, nor do those whose queue is full.
pub async fn send_to_device(
    hs: &Homeserver,
    requester: &Requester,
    event_type: String,
    transaction_id: String,
    messages: Messages,
) -> Result<(), SendError> {
    let targets: usize = messages.values().map(BTreeMap::len).sum();
    if targets > TARGETS_MAX {
        return Err(SendError::TooLarge);
    }
    let (local, remote): (Messages, Messages) = messages
        .into_iter()
        // An id that no server could have is nobody's.
        .filter(|(user_id, _)| server_of(user_id).is_some())
        .partition(|(user_id, _)| hs.is_local(user_id));
    let mut bodies: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (user_id, contents) in local {
        let of_user = bodies.entry(user_id).or_default();
        for (device_id, content) in contents {
            let event =
                json!({ "sender": requester.user_id, "type": event_type, "content": content });
            let body = event.to_string().into_bytes();
            if body.len() > CONTENT_BYTES_MAX {
                return Err(SendError::TooLarge);
            }
            of_user.insert(device_id, body);
        }
    }
    let remote = edus(hs, requester, &event_type, remote)?;
    let endpoint = format!("PUT /sendToDevice/{event_type}");
    let device = requester.device;
    let sent = hs
        .db
        .write(move |tx| {
            if client_transactions::find(tx, device, &endpoint, &transaction_id)?.is_some() {
                return Ok(());
            }
            client_transactions::insert(tx, device, &endpoint, &transaction_id, b"{}")?;
            to_device::leave_for_servers(tx, "m.direct_to_device", &remote)?;
            send_local(tx, &bodies)
        })
        .await;
    match sent {
        // The same transaction was done by another node at this moment.
        Err(storage::Error::Duplicate(_)) => Ok(()),
        sent => Ok(sent?),
    }
}

fn send_local(
    tx: &mut Tx<'_>,
    bodies: &BTreeMap<String, BTreeMap<String, Vec<u8>>>,
) -> Result<(), storage::Error> {
    let users = ids::find_users(tx, bodies.keys().cloned().collect())?;
    let keys: Vec<_> = users.values().copied().collect();
    let mut devices = devices::of_users(tx, &keys)?;
    // One message a device: what names it goes before what goes to all.
    let mut messages: HashMap<DeviceKey, NewMessage> = HashMap::new();
    for (user_id, of_user) in bodies {
        let Some(user) = users.get(user_id) else {
            continue;
        };
        for device in devices.remove(user).unwrap_or_default() {
            let Some(body) = of_user.get(&device.device_id).or_else(|| of_user.get("*")) else {
                continue;
            };
            let message = NewMessage {
                user: *user,
                device: device.key,
                body: body.clone(),
            };
            messages.insert(device.key, message);
        }
    }
    let full = to_device::send(tx, messages.into_values().collect())?;
    if !full.is_empty() {
        tracing::debug!(
            devices = full.len(),
            "messages were not queued, as these devices have too many waiting"
        );
    }
    Ok(())
}

/// What other servers are to get: the content of one EDU each, by server name.
fn edus(
    hs: &Homeserver,
    requester: &Requester,
    event_type: &str,
    messages: Messages,
) -> Result<BTreeMap<String, Vec<u8>>, SendError> {
    let mut by_server: BTreeMap<String, Object> = BTreeMap::new();
    for (user_id, contents) in messages {
        let Some(server) = server_of(&user_id).map(str::to_owned) else {
            continue;
        };
        let contents: Object = contents
            .into_iter()
            .map(|(device_id, content)| (device_id, Value::Object(content)))
            .collect();
        by_server
            .entry(server)
            .or_default()
            .insert(user_id, Value::Object(contents));
    }
    let mut edus = BTreeMap::new();
    for (server, messages) in by_server {
        let content = json!({
            "sender": requester.user_id,
            "type": event_type,
            // Unique, so that the other server takes it once: 32 letters and digits as its own.
            "message_id": hs.random_string(32),
            "messages": messages,
        });
        edus.insert(server, content.to_string().into_bytes());
    }
    Ok(edus)
}
