//! What a sliding connection has been told: the states at the answers that the client may still go on from.
//!
//! Held in memory, saved now and then without anybody waiting for it. Where the saved state is older than the client's
//! `pos`, the rooms that changed since are told anew.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use storage::connections::{self, Saved};
use storage::{Database, DeviceKey, Position, RoomKey};

use super::request::RoomConfig;
use crate::SyncError;

/// Connections that a device may have: clients use two; one that makes a new one each time must not fill the memory.
pub(crate) const CONNECTIONS_MAX: usize = 8;

/// Devices whose connections are held: beyond it the least used are read again where they were saved.
const DEVICES_MAX: usize = 5_000;

/// States that a connection keeps: the newest answers, any of which may have been lost on its way.
const STATES_MAX: usize = 4;

/// A changed state is saved at most this often.
const SAVE_EVERY_MS: u64 = 20_000;

/// A point of a connection: which one, which answer, up to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pos {
    pub connection: String,
    pub number: u64,
    pub position: Position,
}

impl Pos {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let pos = Pos {
            connection: parts.next()?.to_owned(),
            number: parts.next()?.parse().ok()?,
            position: Position(
                parts
                    .next()?
                    .parse()
                    .ok()
                    .filter(|position| *position >= 0)?,
            ),
        };
        parts.next().is_none().then_some(pos)
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.connection, self.number, self.position.0)
    }
}

/// What the client knows once it has an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub number: u64,
    /// Live rooms, and what belongs to no room, were told up to here.
    pub position: Position,
    pub rooms: HashMap<RoomKey, Given>,
    /// The last counts of lists.
    pub counts: BTreeMap<String, u64>,
    pub account_data: bool,
    /// Of the request that was answered.
    pub fingerprint: u64,
}

/// What the client knows of a room.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// None: as far as the connection itself, as the room is in sight.
    pub up_to: Option<Position>,
    pub config: Arc<RoomConfig>,
}

impl State {
    /// Up to where a room was told.
    pub(crate) fn told(&self, given: &Given) -> Position {
        given.up_to.unwrap_or(self.position)
    }
}

/// One connection of a device.
#[derive(Debug)]
struct Connection {
    conn_id: String,
    id: String,
    /// Oldest first.
    states: VecDeque<Arc<State>>,
    saved_ms: u64,
}

/// The connections of all devices.
pub(crate) struct Connections {
    // Held for lookups alone, never across an await.
    devices: Cache<DeviceKey, Arc<Mutex<VecDeque<Connection>>>>,
    /// Makes ids of connections unique within this run of the node.
    made: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            devices: Cache::new(DEVICES_MAX),
            made: AtomicU64::new(1),
        }
    }
}

/// A connection at the point from which the client goes on.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub connection: String,
    pub state: Arc<State>,
}

impl At {
    pub(crate) fn pos(&self, position: Position) -> Pos {
        Pos {
            connection: self.connection.clone(),
            number: self.state.number,
            position,
        }
    }
}

impl Connections {
    fn of(&self, device: DeviceKey) -> Arc<Mutex<VecDeque<Connection>>> {
        self.devices.get(&device).unwrap_or_else(|| {
            let new = Arc::default();
            self.devices.insert(device, Arc::clone(&new));
            new
        })
    }

    /// Begins a connection, in place of an earlier one of this name.
    pub(crate) fn begin(&self, db: &Database, device: DeviceKey, conn_id: &str) -> At {
        let id = format!(
            "{}-{}",
            db.node(),
            self.made.fetch_add(1, Ordering::Relaxed)
        );
        let state = Arc::new(State::default());
        self.put(device, conn_id, &id, Arc::clone(&state));
        At {
            connection: id,
            state,
        }
    }

    fn put(&self, device: DeviceKey, conn_id: &str, id: &str, state: Arc<State>) {
        let connections = self.of(device);
        let mut connections = lock(&connections);
        connections.retain(|connection| connection.conn_id != conn_id);
        while connections.len() >= CONNECTIONS_MAX {
            connections.pop_front();
        }
        connections.push_back(Connection {
            conn_id: conn_id.to_owned(),
            id: id.to_owned(),
            states: VecDeque::from([state]),
            saved_ms: 0,
        });
    }

    /// The state at a `pos`.
    ///
    /// # Errors
    /// [`SyncError::UnknownPos`] where the connection, or its state there, is not known.
    pub(crate) async fn resume(
        &self,
        db: &Database,
        device: DeviceKey,
        conn_id: &str,
        pos: &str,
    ) -> Result<At, SyncError> {
        let pos = Pos::parse(pos).ok_or(SyncError::UnknownPos)?;
        match self.held(device, conn_id, &pos) {
            Held::State(state) => {
                return Ok(At {
                    connection: pos.connection,
                    state,
                });
            }
            Held::Unknown => return Err(SyncError::UnknownPos),
            Held::Older | Held::Nothing => {}
        }
        let name = conn_id.to_owned();
        let position = pos.position;
        let saved = db
            .read(move |snap| -> Result<_, storage::Error> {
                let Some(saved) = connections::load(snap, device, &name)? else {
                    return Ok(None);
                };
                let mut state = read_state(&saved).unwrap_or_default();
                // What the client was told after the state was saved is not known: those rooms begin anew.
                let rooms: Vec<RoomKey> = state.rooms.keys().copied().collect();
                for room in connections::rooms_changed_after(snap, &rooms, saved.position)? {
                    state.rooms.remove(&room);
                }
                state.position = position;
                Ok(Some((saved.id, saved.number, state)))
            })
            .await?;
        let (id, number, mut state) = saved.ok_or(SyncError::UnknownPos)?;
        if id != pos.connection || number > pos.number || position > db.head().await? {
            return Err(SyncError::UnknownPos);
        }
        state.number = pos.number;
        let state = Arc::new(state);
        self.put(device, conn_id, &id, Arc::clone(&state));
        Ok(At {
            connection: id,
            state,
        })
    }

    fn held(&self, device: DeviceKey, conn_id: &str, pos: &Pos) -> Held {
        let connections = self.of(device);
        let mut connections = lock(&connections);
        let Some(at) = connections
            .iter()
            .position(|connection| connection.conn_id == conn_id)
        else {
            return Held::Nothing;
        };
        // The newest is at the back: the one used longest ago goes first.
        let Some(mut connection) = connections.remove(at) else {
            return Held::Nothing;
        };
        let held = if connection.id != pos.connection {
            Held::Unknown
        } else if connection
            .states
            .back()
            .is_some_and(|newest| newest.number < pos.number)
        {
            Held::Older
        } else {
            let found = connection
                .states
                .iter()
                .find(|state| state.number == pos.number)
                .cloned();
            // What lies before what the client has is not asked for again.
            connection.states.retain(|state| state.number >= pos.number);
            found.map_or(Held::Unknown, Held::State)
        };
        connections.push_back(connection);
        held
    }

    /// Keeps the state after an answer and gives it its number. `from` is what the answer was made from.
    pub(crate) fn keep(
        &self,
        db: &Database,
        device: DeviceKey,
        conn_id: &str,
        from: &At,
        mut state: State,
    ) -> At {
        let connections = self.of(device);
        let mut connections = lock(&connections);
        let now_ms = db.clock().now_ms();
        let connection = connections
            .iter_mut()
            .find(|connection| connection.id == from.connection);
        let newest = connection
            .as_ref()
            .and_then(|connection| connection.states.back());
        state.number = newest.map_or(from.state.number, |newest| newest.number) + 1;
        let state = Arc::new(state);
        if let Some(connection) = connection {
            while connection.states.len() >= STATES_MAX {
                connection.states.pop_front();
            }
            connection.states.push_back(Arc::clone(&state));
            if now_ms.saturating_sub(connection.saved_ms) >= SAVE_EVERY_MS {
                connection.saved_ms = now_ms;
                save(db, device, conn_id, &connection.id, &state);
            }
        }
        At {
            connection: from.connection.clone(),
            state,
        }
    }

    /// Moves a state on to a point up to which the client need be told nothing.
    pub(crate) fn advance(&self, device: DeviceKey, at: &At, state: State) -> Arc<State> {
        let connections = self.of(device);
        let mut connections = lock(&connections);
        let connection = connections
            .iter_mut()
            .find(|connection| connection.id == at.connection);
        let states = connection
            .into_iter()
            .flat_map(|connection| &mut connection.states);
        let state = Arc::new(state);
        // A request that overtook this one may have moved it on already.
        if let Some(held) = states.into_iter().find(|held| Arc::ptr_eq(held, &at.state)) {
            *held = Arc::clone(&state);
        }
        state
    }
}

enum Held {
    State(Arc<State>),
    /// The connection is of another one, or its state has gone.
    Unknown,
    /// The client has seen newer answers, of another node.
    Older,
    Nothing,
}

/// A panic while it was held can leave nothing worse than a connection that begins anew.
fn lock(connections: &Mutex<VecDeque<Connection>>) -> MutexGuard<'_, VecDeque<Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A state as it is saved.
#[derive(Serialize, Deserialize, Default)]
struct SavedState {
    configs: Vec<SavedConfig>,
    /// Room, up to where (0: live), number of its config.
    rooms: Vec<(i64, i64, usize)>,
    account_data: bool,
}

#[derive(Serialize, Deserialize)]
struct SavedConfig {
    timeline_limit: u64,
    required_state: Vec<(String, String)>,
}

/// Hands the state to the next group of writes. Nobody waits for it.
fn save(db: &Database, device: DeviceKey, conn_id: &str, id: &str, state: &State) {
    let mut saved = SavedState {
        account_data: state.account_data,
        ..SavedState::default()
    };
    let mut numbers: HashMap<&RoomConfig, usize> = HashMap::new();
    for (room, given) in &state.rooms {
        let number = *numbers.entry(&given.config).or_insert_with(|| {
            saved.configs.push(SavedConfig {
                timeline_limit: given.config.timeline_limit,
                required_state: given.config.required_state.iter().cloned().collect(),
            });
            saved.configs.len() - 1
        });
        saved
            .rooms
            .push((room.0, given.up_to.map_or(0, |up_to| up_to.0), number));
    }
    let saved = Saved {
        conn_id: conn_id.to_owned(),
        id: id.to_owned(),
        number: state.number,
        position: state.position,
        // Numbers and strings always serialise.
        state: serde_json::to_vec(&saved).unwrap_or_default(),
    };
    let write = db.write(move |tx| -> Result<(), storage::Error> {
        connections::save(tx, device, &saved, CONNECTIONS_MAX)
    });
    let _ = write.now_or_never();
}

fn read_state(saved: &Saved) -> Option<State> {
    let read: SavedState = serde_json::from_slice(&saved.state).ok()?;
    let configs: Vec<Arc<RoomConfig>> = read
        .configs
        .into_iter()
        .map(|config| {
            Arc::new(RoomConfig {
                timeline_limit: config.timeline_limit,
                required_state: config.required_state.into_iter().collect(),
            })
        })
        .collect();
    let rooms = read.rooms.into_iter().filter_map(|(room, up_to, config)| {
        let up_to = Some(Position(up_to)).filter(|up_to| up_to.0 != 0);
        Some((
            RoomKey(room),
            Given {
                up_to,
                config: Arc::clone(configs.get(config)?),
            },
        ))
    });
    Some(State {
        rooms: rooms.collect(),
        account_data: read.account_data,
        ..State::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pos_reads_as_it_is_written() {
        let pos = Pos {
            connection: "3-7".into(),
            number: 2,
            position: Position(99),
        };
        assert_eq!(Pos::parse(&pos.to_string()), Some(pos));
        for text in [
            "",
            "3-7",
            "3-7.1",
            "3-7.1.x",
            "3-7.1.2.3",
            "3-7.-1.2",
            "3-7.1.-2",
        ] {
            assert_eq!(Pos::parse(text), None, "{text}");
        }
    }
}
