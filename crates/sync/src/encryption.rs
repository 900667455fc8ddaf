//! What end-to-end encryption needs of a sync: messages to the device, whose devices changed, how many keys are left.
//!
//! Client-server API v1.19, "Send-to-Device messaging", "Tracking the device list for a user".

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use quick_cache::sync::Cache;
use storage::{Database, DeviceKey, Position, Snapshot, device_lists, one_time_keys, to_device};

use crate::json::{Object, quoted, write_list};
use crate::{Client, sources};

/// Messages to a device in one answer: the spec's advice, so that an answer stays small.
pub(crate) const MESSAGES_MAX: usize = 100;

/// Messages that wait for a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Finished events, oldest first.
    pub events: Vec<String>,
    /// The last one's position, where more wait.
    pub cut_at: Option<Position>,
    /// Whether messages that the client has acknowledged are still kept.
    pub acknowledged: bool,
}

impl Queue {
    /// The messages after `after` and up to `up_to`, at most `limit`.
    pub(crate) fn read(
        snap: &mut Snapshot<'_>,
        device: DeviceKey,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Self, storage::Error> {
        let mut messages = to_device::messages(snap, device, after, up_to, limit + 1)?;
        let more = messages.len() > limit;
        messages.truncate(limit);
        let acknowledged = !to_device::messages(snap, device, Position(0), after, 1)?.is_empty();
        Ok(Self {
            cut_at: messages.last().filter(|_| more).map(|last| last.position),
            events: messages
                .into_iter()
                .map(|message| String::from_utf8_lossy(&message.body).into_owned())
                .collect(),
            acknowledged,
        })
    }
}

/// Removes the messages up to a position, which the client has. Nobody waits for it: what a crash leaves goes with the
/// next one.
pub(crate) fn acknowledge(db: &Database, device: DeviceKey, up_to: Position) {
    let removed = db.write(move |tx| -> Result<(), storage::Error> {
        to_device::delete_up_to(tx, device, up_to).map(drop)
    });
    // The first poll hands it to the committer.
    let _ = removed.now_or_never();
}

/// Whose keys a client must ask for again, and whose it need not follow any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeviceLists {
    pub changed: Vec<String>,
    pub left: Vec<String>,
}

impl DeviceLists {
    pub(crate) fn read(
        snap: &mut Snapshot<'_>,
        client: &Client,
        since: Position,
    ) -> Result<Self, storage::Error> {
        let changed = device_lists::changed_users(snap, client.user, since)?;
        let left = device_lists::left_users(snap, client.user, since)?;
        Ok(Self {
            changed: sources::ids_of(snap, changed)?,
            left: sources::ids_of(snap, left)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }

    pub(crate) fn write(&self, lists: &mut Object<'_>) {
        lists.list("changed", self.changed.iter().map(|id| quoted(id)));
        lists.list("left", self.left.iter().map(|id| quoted(id)));
    }
}

/// How many keys of a device others can still claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub counts: BTreeMap<String, u64>,
    pub unused_fallback: Vec<String>,
    /// When they last changed.
    pub changed: Position,
}

impl Keys {
    pub(crate) fn read(snap: &mut Snapshot<'_>, device: DeviceKey) -> Result<Self, storage::Error> {
        Ok(Self {
            counts: one_time_keys::counts(snap, device)?,
            unused_fallback: one_time_keys::unused_fallback(snap, device)?,
            changed: one_time_keys::counts_changed(snap, device)?,
        })
    }

    /// Writes `device_one_time_keys_count` and `device_unused_fallback_key_types`.
    pub(crate) fn write(&self, answer: &mut Object<'_>) {
        let mut counts = answer.object("device_one_time_keys_count");
        for (algorithm, count) in &self.counts {
            counts.raw(algorithm, &count.to_string());
        }
        counts.end();
        write_list(
            self.unused_fallback
                .iter()
                .map(|algorithm| quoted(algorithm)),
            answer.key("device_unused_fallback_key_types"),
        );
    }
}

/// Devices whose counts are remembered, about 200 bytes each.
const DEVICES_MAX: usize = 10_000;

/// The counts that devices were last told: an answer for which nothing was read tells them again, as clients that miss
/// them take them for zero.
pub(crate) struct KeyCounts(Cache<DeviceKey, Arc<Keys>>);

impl Default for KeyCounts {
    fn default() -> Self {
        Self(Cache::new(DEVICES_MAX))
    }
}

impl KeyCounts {
    pub(crate) fn remember(&self, device: DeviceKey, keys: &Keys) {
        self.0.insert(device, Arc::new(keys.clone()));
    }

    pub(crate) fn last_told(&self, device: DeviceKey) -> Option<Arc<Keys>> {
        self.0.get(&device)
    }
}
