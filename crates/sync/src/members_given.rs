//! Which members a lazy-loading client was given already, so that they are not sent with each of their messages.
//!
//! Client-server API v1.19, "Lazy-loading room members" (redundant members). A member counts as given only when the
//! client presents a token of that answer or a later one: an answer that got lost takes nothing away from the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;
use storage::{DeviceKey, EventKey, RoomKey, UserKey};

/// Connections whose members are remembered: beyond it the least used are sent members again.
const CONNECTIONS_MAX: usize = 2_000;

/// Members remembered per connection, about 40 bytes each; beyond it all are forgotten and sent again.
const MEMBERS_MAX: usize = 10_000;

/// One connection: a device's `/v3/sync` (0), or one of its sliding connections.
type Connection = (DeviceKey, u64);

/// See the module.
pub(crate) struct MembersGiven {
    connections: Cache<Connection, Arc<Mutex<Given>>>,
}

/// What one connection was given.
#[derive(Default)]
pub(crate) struct Given {
    members: HashMap<(RoomKey, UserKey), (EventKey, i64)>,
    newest: i64,
}

impl Default for MembersGiven {
    fn default() -> Self {
        Self {
            connections: Cache::new(CONNECTIONS_MAX),
        }
    }
}

impl MembersGiven {
    /// What a connection was given up to the position that it presents; none: it begins anew.
    pub(crate) fn of(&self, connection: Connection, since: Option<i64>) -> Arc<Mutex<Given>> {
        let found = self.connections.get(&connection).unwrap_or_else(|| {
            let new = Arc::default();
            self.connections.insert(connection, Arc::clone(&new));
            new
        });
        lock(&found).acknowledge(since);
        found
    }
}

/// A panic while it was held can leave nothing worse than a member that is sent twice.
pub(crate) fn lock(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Given {
    fn acknowledge(&mut self, since: Option<i64>) {
        match since {
            None => self.members.clear(),
            Some(since) if self.newest > since => self.members.retain(|_, (_, at)| *at <= since),
            Some(_) => return,
        }
        self.newest = since.unwrap_or_default();
    }

    /// Whether the client has this very membership event.
    pub(crate) fn has(&self, room: RoomKey, user: UserKey, event: EventKey) -> bool {
        self.members
            .get(&(room, user))
            .is_some_and(|(given, _)| *given == event)
    }

    /// Notes that it is in the answer that ends at a position.
    pub(crate) fn give(&mut self, room: RoomKey, user: UserKey, event: EventKey, at: i64) {
        if self.members.len() >= MEMBERS_MAX {
            self.members.clear();
        }
        self.members.insert((room, user), (event, at));
        self.newest = self.newest.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomKey = RoomKey(1);
    const ALICE: UserKey = UserKey(2);
    const EVENT: EventKey = EventKey(3);

    #[test]
    fn a_member_of_a_lost_answer_is_sent_again() {
        let given = MembersGiven::default();
        let connection = (DeviceKey(1), 0);
        lock(&given.of(connection, None)).give(ROOM, ALICE, EVENT, 10);
        assert!(lock(&given.of(connection, Some(10))).has(ROOM, ALICE, EVENT));
        assert!(!lock(&given.of(connection, Some(9))).has(ROOM, ALICE, EVENT));
    }

    #[test]
    fn a_new_start_forgets_all() {
        let given = MembersGiven::default();
        let connection = (DeviceKey(1), 0);
        lock(&given.of(connection, None)).give(ROOM, ALICE, EVENT, 10);
        assert!(!lock(&given.of(connection, None)).has(ROOM, ALICE, EVENT));
        assert!(!lock(&given.of((DeviceKey(2), 0), Some(10))).has(ROOM, ALICE, EVENT));
    }

    #[test]
    fn a_changed_member_is_sent_again() {
        let mut given = Given::default();
        given.give(ROOM, ALICE, EVENT, 10);
        assert!(!given.has(ROOM, ALICE, EventKey(4)));
    }
}
