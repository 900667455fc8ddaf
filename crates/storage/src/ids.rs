//! Interned ids: integers inside, text at the edges.
//!
//! A node takes ids in blocks, so that a room's changes can be decided on top of one another before any of them is
//! written. Ids of a block that a crash leaves unused are never used: harmless, as they are 64 bits wide.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::{Database, Error, Snapshot, Tx, Value, params};

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl From<$name> for Value {
            fn from(key: $name) -> Value {
                Value::Int(key.0)
            }
        }
    };
}

key!(
    /// A user that this server has heard of, local or not.
    UserKey
);
key!(
    /// A room that this server has heard of.
    RoomKey
);
key!(
    /// An event that this server stores.
    EventKey
);
key!(
    /// A device of a local user.
    DeviceKey
);
key!(
    /// The number of a (type, state_key) pair within its room: 0, 1, 2 …
    StateNo
);

/// How many ids a node takes at once: few enough to waste none worth counting, many enough to ask rarely.
const BLOCK: i64 = 8192;

/// The ids a node may hand out without asking the database.
#[derive(Default)]
pub(crate) struct Allocator {
    ranges: Mutex<HashMap<&'static str, (i64, i64)>>,
}

/// What ids are handed out for; each has a row in `counters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    Event,
    Room,
    State,
    Node,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Counter::Event => "event",
            Counter::Room => "room",
            Counter::State => "state",
            Counter::Node => "node",
        }
    }
}

impl Allocator {
    /// The next id, if a block with one left is at hand.
    fn take(&self, counter: Counter) -> Option<i64> {
        let mut ranges = self.ranges.lock().expect("no holder of this lock panics");
        let (next, end) = ranges.get_mut(counter.name())?;
        (*next < *end).then(|| {
            *next += 1;
            *next - 1
        })
    }

    fn refill(&self, counter: Counter, first: i64) {
        let mut ranges = self.ranges.lock().expect("no holder of this lock panics");
        let range = ranges.entry(counter.name()).or_default();
        // Two callers may refill at once: the later block wins, the rest of the earlier one stays unused.
        if range.0 >= range.1 {
            *range = (first, first + BLOCK);
        }
    }
}

impl Database {
    /// Takes `count` ids for new rows; they need not be consecutive.
    pub async fn new_ids(&self, counter: Counter, count: usize) -> Result<Vec<i64>, Error> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            match self.allocator().take(counter) {
                Some(id) => ids.push(id),
                None => {
                    let first = self.write(move |tx| reserve(tx, counter.name())).await?;
                    self.allocator().refill(counter, first);
                }
            }
        }
        Ok(ids)
    }
}

fn reserve(tx: &mut Tx<'_>, name: &str) -> Result<i64, Error> {
    let rows = tx.query(
        "INSERT INTO counters (name, next) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET next = counters.next + $3 RETURNING next",
        params![name, 1 + BLOCK, BLOCK],
    )?;
    Ok(rows[0].int(0) - BLOCK)
}

/// The next id of a kind that grows slowly (users, devices), taken within the transaction that uses it.
pub fn next_id(tx: &mut Tx<'_>, counter: &'static str) -> Result<i64, Error> {
    let rows = tx.query(
        "INSERT INTO counters (name, next) VALUES ($1, 2)
         ON CONFLICT (name) DO UPDATE SET next = counters.next + 1 RETURNING next",
        params![counter],
    )?;
    Ok(rows[0].int(0) - 1)
}

/// The keys of these user ids, made where they are new. A user id has at most 255 bytes.
pub fn intern_users(tx: &mut Tx<'_>, user_ids: &[&str]) -> Result<Vec<UserKey>, Error> {
    let mut keys = Vec::with_capacity(user_ids.len());
    for user_id in user_ids {
        let known = find_user(tx, user_id)?;
        keys.push(match known {
            Some(key) => key,
            None => {
                let id = next_id(tx, "user")?;
                // Another node may have interned it since we looked.
                let rows = tx.query(
                    "INSERT INTO users (id, user_id) VALUES ($1, $2)
                     ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id RETURNING id",
                    params![id, *user_id],
                )?;
                UserKey(rows[0].int(0))
            }
        });
    }
    Ok(keys)
}

/// The key of a user id, if this server has heard of it.
pub fn find_user(snap: &mut Snapshot<'_>, user_id: &str) -> Result<Option<UserKey>, Error> {
    let rows = snap.query("SELECT id FROM users WHERE user_id = $1", params![user_id])?;
    Ok(rows.first().map(|row| UserKey(row.int(0))))
}

/// The keys of these user ids, by id; those this server has not heard of are left out.
pub fn find_users(
    snap: &mut Snapshot<'_>,
    user_ids: Vec<String>,
) -> Result<HashMap<String, UserKey>, Error> {
    let rows = snap.query(
        "SELECT user_id, id FROM users WHERE user_id IN ($1[])",
        params![user_ids],
    )?;
    Ok(rows
        .iter()
        .map(|row| (row.text(0), UserKey(row.int(1))))
        .collect())
}

/// The user ids of these keys, in no order; unknown keys are left out.
pub fn user_ids(
    snap: &mut Snapshot<'_>,
    keys: &[UserKey],
) -> Result<HashMap<UserKey, String>, Error> {
    let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
    let rows = snap.query(
        "SELECT id, user_id FROM users WHERE id IN ($1[])",
        params![keys],
    )?;
    Ok(rows
        .iter()
        .map(|row| (UserKey(row.int(0)), row.text(1)))
        .collect())
}
