//! What a node holds in memory of the stream: who is in which room, what changed last for whom, who waits.
//!
//! All of it can be dropped at any time and is loaded again on demand. It changes only by applying the stream in order,
//! and a node shows no head that it has not applied: so "nothing changed for this user since `since`" needs no SQL.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use tokio::sync::watch;

use crate::driver::{Connection, Snapshot};
use crate::rooms::Membership;
use crate::{Database, Error, Kind, Position, RoomKey, StreamRow, Topic, UserKey, params, stream};

/// Users held in memory: at 50 rooms each about 4 KiB a user. Those who wait are kept beyond it.
const PRESENT_MAX: usize = 20_000;

/// Rows read at once when catching up with other nodes.
const CATCH_UP_ROWS: usize = 10_000;

/// See the module.
pub struct Memory {
    // Held for lookups and for applying a group; never across an await or, but for unknown peers, a query.
    state: Mutex<State>,
    head: watch::Sender<Position>,
    /// Signed-in sessions, by their tokens.
    pub(crate) sessions: crate::tokens::Sessions,
}

#[derive(Default)]
struct State {
    users: HashMap<UserKey, Present>,
    rooms: HashMap<RoomKey, RoomMemory>,
}

struct Present {
    /// None while they are being loaded; meanwhile `pending` gathers what changes.
    rooms: Option<HashMap<RoomKey, Membership>>,
    pending: Vec<(RoomKey, Membership, Position)>,
    changed: watch::Sender<Position>,
}

/// When each kind of change last happened in a room, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomChanges {
    /// Changes up to here are not known apart: a reader from before must look.
    pub known_from: Position,
    pub events: Position,
    pub receipts: Position,
    pub typing: Position,
}

impl RoomChanges {
    /// The newest change of any kind.
    pub fn newest(&self) -> Position {
        self.known_from
            .max(self.events)
            .max(self.receipts)
            .max(self.typing)
    }
}

struct RoomMemory {
    changes: RoomChanges,
    present: HashSet<UserKey>,
}

/// Waits for anything that may concern one user.
pub struct Listener {
    changed: watch::Receiver<Position>,
}

impl Listener {
    /// Returns when something that may concern the user lies after `since`, at once if it does already.
    pub async fn changed_after(&mut self, since: Position) {
        // The sender lives as long as the user is present; one that went away is a change too.
        let _ = self.changed.wait_for(|changed| *changed > since).await;
    }

    /// The last position at which something that may concern the user changed.
    pub fn changed(&self) -> Position {
        *self.changed.borrow()
    }
}

impl Memory {
    pub(crate) fn new(head: Position) -> Self {
        Self {
            state: Mutex::default(),
            head: watch::channel(head).0,
            sessions: Default::default(),
        }
    }

    /// The newest position applied.
    pub fn head(&self) -> Position {
        *self.head.borrow()
    }

    /// Follows the head: for the stream's followers.
    pub fn heads(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// When each kind of change last happened in a room; None where nobody present is in it.
    pub fn room_changes(&self, room: RoomKey) -> Option<RoomChanges> {
        self.lock().rooms.get(&room).map(|room| room.changes)
    }

    /// The rooms that a user is joined to and in which something changed after a position, as far as is known, and the
    /// last position at which anything concerned the user; None where the user is not held in memory.
    pub fn rooms_changed_after(
        &self,
        user: UserKey,
        after: Position,
    ) -> Option<(Vec<RoomKey>, Position)> {
        let state = self.lock();
        let present = state.users.get(&user)?;
        let joined = present
            .rooms
            .as_ref()?
            .iter()
            .filter(|(_, membership)| **membership == Membership::Join);
        let rooms = joined
            .map(|(room, _)| *room)
            .filter(|room| {
                let known = state.rooms.get(room);
                known.is_none_or(|room| room.changes.newest() > after)
            })
            .collect();
        Some((rooms, *present.changed.borrow()))
    }

    /// Applies the rows of a commit of this node, after any of other nodes that lie before.
    pub(crate) fn apply(&self, conn: &mut dyn Connection, rows: &[StreamRow]) {
        let Some(first) = rows.first() else { return };
        let mut snapshot = Snapshot { conn };
        if first.first().0 == self.head().0 + 1 {
            self.apply_rows(&mut snapshot, rows);
        } else if let Err(error) = self.catch_up(&mut snapshot) {
            // The rows are durable: the next look applies them.
            tracing::warn!(%error, "could not apply the stream");
        }
    }

    /// Applies all rows after the head.
    pub(crate) fn catch_up(&self, snapshot: &mut Snapshot<'_>) -> Result<(), Error> {
        loop {
            let after = self.head();
            if snapshot.head()? <= after {
                return Ok(());
            }
            let rows = stream::rows_after(snapshot, after, CATCH_UP_ROWS)?;
            if rows.is_empty() {
                // A head without rows: it jumped, or its rows have gone. Everything held may be old.
                let head = snapshot.head()?;
                self.forget_all(head);
                return Ok(());
            }
            self.apply_rows(snapshot, &rows);
        }
    }

    fn apply_rows(&self, snapshot: &mut Snapshot<'_>, rows: &[StreamRow]) {
        let mut state = self.lock();
        let head = self.head();
        let mut woken: HashMap<UserKey, Position> = HashMap::new();
        // Rows that another thread has applied meanwhile are passed over.
        for row in rows.iter().filter(|row| row.position > head) {
            state.apply(snapshot, row, &mut woken);
            self.sessions.apply(row);
        }
        for (user, position) in woken {
            if let Some(present) = state.users.get(&user) {
                present.changed.send_replace(position);
            }
        }
        // Raised before the lock is let go: whoever loads a user under it then knows what has been applied.
        if let Some(last) = rows.last() {
            self.head.send_if_modified(|head| {
                let newer = last.position > *head;
                *head = (*head).max(last.position);
                newer
            });
        }
    }

    fn forget_all(&self, head: Position) {
        let mut state = self.lock();
        for present in state.users.values() {
            present.changed.send_replace(head);
        }
        *state = State::default();
        self.sessions.forget_all();
        self.head.send_replace(head);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while it was held can leave nothing worse than a missing cache entry.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn apply(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        row: &StreamRow,
        woken: &mut HashMap<UserKey, Position>,
    ) {
        match row.topic {
            Topic::Room(room) => self.touch_room(room, row.kind, row.position, woken),
            Topic::User(user) => {
                if row.kind == Kind::Membership {
                    self.set_membership(
                        user,
                        RoomKey(row.reference),
                        Membership::from_int(row.value),
                        row.position,
                    );
                }
                woken.insert(user, row.position);
            }
            Topic::Peers(user) => {
                let rooms = match self
                    .users
                    .get(&user)
                    .and_then(|present| present.rooms.as_ref())
                {
                    Some(rooms) => joined(rooms),
                    // Not in memory: its rooms are asked for, as a wake-up lost here would be a change not shown.
                    None => match rooms_of(snapshot, user) {
                        Ok(rooms) => joined(&rooms),
                        Err(_) => self.rooms.keys().copied().collect(),
                    },
                };
                for room in rooms {
                    self.touch_room(room, row.kind, row.position, woken);
                }
                woken.insert(user, row.position);
            }
            Topic::Server => {}
        }
    }

    fn touch_room(
        &mut self,
        room: RoomKey,
        kind: Kind,
        position: Position,
        woken: &mut HashMap<UserKey, Position>,
    ) {
        let Some(room) = self.rooms.get_mut(&room) else {
            return;
        };
        match kind {
            Kind::Events => room.changes.events = position,
            Kind::Receipt => room.changes.receipts = position,
            Kind::Typing => room.changes.typing = position,
            _ => {}
        }
        woken.extend(room.present.iter().map(|user| (*user, position)));
    }

    fn set_membership(
        &mut self,
        user: UserKey,
        room: RoomKey,
        membership: Membership,
        position: Position,
    ) {
        let Some(present) = self.users.get_mut(&user) else {
            return;
        };
        let Some(rooms) = present.rooms.as_mut() else {
            present.pending.push((room, membership, position));
            return;
        };
        rooms.insert(room, membership);
        if membership == Membership::Join {
            self.enter(user, room, position);
        } else {
            self.exit(user, room);
        }
    }

    fn enter(&mut self, user: UserKey, room: RoomKey, known_from: Position) {
        let unknown = RoomChanges {
            known_from,
            events: known_from,
            receipts: known_from,
            typing: known_from,
        };
        self.rooms
            .entry(room)
            .or_insert_with(|| RoomMemory {
                changes: unknown,
                present: HashSet::new(),
            })
            .present
            .insert(user);
    }

    fn exit(&mut self, user: UserKey, room: RoomKey) {
        if let Some(memory) = self.rooms.get_mut(&room) {
            memory.present.remove(&user);
            if memory.present.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    fn forget(&mut self, user: UserKey) {
        let Some(present) = self.users.remove(&user) else {
            return;
        };
        for room in present.rooms.into_iter().flatten().map(|(room, _)| room) {
            self.exit(user, room);
        }
    }

    /// Makes room for one more user by forgetting some for whom nobody waits.
    fn make_room(&mut self) {
        if self.users.len() < PRESENT_MAX {
            return;
        }
        // An eighth at once, so that the walk is paid for by as many arrivals.
        let idle: Vec<_> = self
            .users
            .iter()
            .filter(|(_, present)| present.changed.receiver_count() == 0 && present.rooms.is_some())
            .map(|(user, _)| *user)
            .take(PRESENT_MAX / 8)
            .collect();
        for user in idle {
            self.forget(user);
        }
    }
}

fn joined(rooms: &HashMap<RoomKey, Membership>) -> Vec<RoomKey> {
    rooms
        .iter()
        .filter(|(_, membership)| **membership == Membership::Join)
        .map(|(room, _)| *room)
        .collect()
}

fn rooms_of(
    snapshot: &mut Snapshot<'_>,
    user: UserKey,
) -> Result<HashMap<RoomKey, Membership>, Error> {
    let rows = snapshot.query(
        "SELECT room, membership FROM members WHERE user_key = $1 AND NOT forgotten",
        params![user],
    )?;
    Ok(rows
        .iter()
        .map(|row| (RoomKey(row.int(0)), Membership::from_int(row.int(1))))
        .collect())
}

impl Database {
    /// Registers interest in everything that may concern a user, before the caller reads, so that no change is missed.
    pub async fn listen(&self, user: UserKey) -> Result<Listener, Error> {
        loop {
            let (changed, load) = {
                let mut state = self.memory().lock();
                if !state.users.contains_key(&user) {
                    state.make_room();
                }
                let mut load = false;
                let present = state.users.entry(user).or_insert_with(|| {
                    load = true;
                    Present {
                        rooms: None,
                        pending: Vec::new(),
                        changed: watch::channel(Position(0)).0,
                    }
                });
                (present.changed.subscribe(), load || present.rooms.is_none())
            };
            if !load {
                return Ok(Listener { changed });
            }
            self.load_present(user).await?;
        }
    }

    async fn load_present(&self, user: UserKey) -> Result<(), Error> {
        let (rooms, head) = self
            .read(move |snapshot| -> Result<_, Error> {
                Ok((rooms_of(snapshot, user)?, snapshot.head()?))
            })
            .await?;
        let mut state = self.memory().lock();
        let now = self.memory().head();
        let Some(present) = state.users.get_mut(&user) else {
            return Ok(());
        };
        if present.rooms.is_some() {
            return Ok(()); // Two callers loaded it at once.
        }
        let mut rooms = rooms;
        for (room, membership, position) in std::mem::take(&mut present.pending) {
            if position > head {
                rooms.insert(room, membership);
            }
        }
        let joined = joined(&rooms);
        present.rooms = Some(rooms);
        // What changed before is not known apart: the first read after loading looks at everything.
        present.changed.send_replace(now.max(head));
        for room in joined {
            state.enter(user, room, now.max(head));
        }
        Ok(())
    }

    /// The rooms that a user has a membership of, but for forgotten ones.
    pub async fn rooms_of(&self, user: UserKey) -> Result<HashMap<RoomKey, Membership>, Error> {
        loop {
            let _listener = self.listen(user).await?;
            let state = self.memory().lock();
            if let Some(rooms) = state
                .users
                .get(&user)
                .and_then(|present| present.rooms.as_ref())
            {
                return Ok(rooms.clone());
            }
        }
    }
}
