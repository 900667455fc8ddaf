//! A room's newest head as its lane sees it: what has been decided, committed or not.
//!
//! State events are loaded on demand, by type and key, so that a lane of a room with 20,000 members costs what it uses.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use room::pdu::Pdu;
use room::state::RoomState;
use room::versions::Rules;
use ruma_common::{OwnedEventId, OwnedRoomId};
use storage::rooms::{Membership, RoomStanding};
use storage::states::{Slots, StateHead};
use storage::{EventKey, RoomKey, Snapshot, StateNo, events, states};

use super::summary::RoomSummary;

/// A state event that a head holds.
#[derive(Debug, Clone)]
pub struct StateEvent {
    pub key: EventKey,
    pub pdu: Arc<Pdu>,
}

/// A forward extremity.
#[derive(Debug, Clone)]
pub struct Extremity {
    pub key: EventKey,
    pub event_id: OwnedEventId,
    pub state_after: i64,
}

/// A (type, state_key) pair.
pub type Name = (String, String);

/// See the module.
pub struct Head {
    pub room: RoomKey,
    pub room_id: OwnedRoomId,
    pub rules: &'static Rules,
    /// Counts changes; the next is decided on it.
    pub version: i64,
    pub standing: RoomStanding,
    pub extremities: Vec<Extremity>,
    pub depth: i64,
    pub state: StateHead,
    pub joined_members: i64,
    pub invited_members: i64,
    pub summary: RoomSummary,
    pub next_state_no: i64,
    /// Numbers of names that were looked up or made here; none: the room never had it.
    numbers: HashMap<Name, Option<StateNo>>,
    /// Current events of names that were looked up or changed here; none: not in the state.
    events: HashMap<Name, Option<StateEvent>>,
    /// State nodes of this head that may not be committed yet.
    nodes: HashMap<i64, Slots>,
}

/// Names held per lane: bounds a lane's memory at about 1 MiB; past it the head is loaded anew.
const NAMES_MAX: usize = 2_000;

/// State nodes held per lane, uncommitted ones among them: about 300 KiB; past it the head is loaded anew.
const NODES_MAX: usize = 4_096;

impl RoomState for Head {
    fn get(&self, event_type: &str, state_key: &str) -> Option<&Pdu> {
        // Borrowed lookups in a map with a tuple key need owned strings; state is looked up a few times per event.
        let name = (event_type.to_owned(), state_key.to_owned());
        self.events.get(&name)?.as_ref().map(|event| &*event.pdu)
    }
}

impl Head {
    /// The head of a room that is being made.
    pub fn new(room: RoomKey, room_id: OwnedRoomId, rules: &'static Rules) -> Self {
        Self {
            room,
            room_id,
            rules,
            version: 0,
            standing: RoomStanding::Joined,
            extremities: Vec::new(),
            depth: 0,
            state: StateHead::default(),
            joined_members: 0,
            invited_members: 0,
            summary: RoomSummary::default(),
            next_state_no: 0,
            numbers: HashMap::new(),
            events: HashMap::new(),
            nodes: HashMap::new(),
        }
    }

    /// Loads the committed head. None: no such room, or one without events, or of a version unknown here.
    pub fn load(snap: &mut Snapshot<'_>, room: RoomKey) -> Result<Option<Self>, storage::Error> {
        let Some(row) = storage::rooms::rooms_by_key(snap, &[room])?.remove(&room) else {
            return Ok(None);
        };
        let (Some(state), Some(rules)) = (row.state, Rules::of_name(&row.room_version)) else {
            return Ok(None);
        };
        let Ok(room_id) = OwnedRoomId::try_from(row.room_id.as_str()) else {
            return Ok(None);
        };
        let ends = storage::rooms::extremities(snap, room)?;
        let keys: Vec<EventKey> = ends.iter().map(|(key, _)| *key).collect();
        let rows = events::by_key(snap, &keys)?;
        let extremities = ends
            .into_iter()
            .filter_map(|(key, state_after)| {
                let event_id = OwnedEventId::try_from(rows.get(&key)?.event_id.as_str()).ok()?;
                Some(Extremity {
                    key,
                    event_id,
                    state_after,
                })
            })
            .collect();
        let next = snap.query_one(
            "SELECT COALESCE(MAX(state_no), -1) + 1 FROM state_keys WHERE room = $1",
            storage::params![room],
        )?;
        let mut head = Self::new(room, room_id, rules);
        head.version = row.version;
        head.standing = row.standing;
        head.extremities = extremities;
        head.depth = row.depth;
        head.state = states::load_state(snap, state)?;
        head.joined_members = row.joined_members;
        head.invited_members = row.invited_members;
        head.summary = RoomSummary::from_json(&row.summary);
        head.next_state_no = next.map_or(0, |row| row.int(0));
        Ok(Some(head))
    }

    /// Which of these names are not known here yet.
    pub fn unknown<'n>(&self, names: impl IntoIterator<Item = &'n Name>) -> Vec<Name> {
        let names: BTreeSet<&Name> = names
            .into_iter()
            .filter(|name| !self.events.contains_key(*name))
            .collect();
        names.into_iter().cloned().collect()
    }

    /// Takes in what [`load_names`] found.
    pub fn learn(&mut self, found: Vec<(Name, Option<StateNo>, Option<StateEvent>)>) {
        for (name, number, event) in found {
            // What was decided here meanwhile is newer than what was read.
            self.numbers.entry(name.clone()).or_insert(number);
            self.events.entry(name).or_insert(event);
        }
    }

    /// Whether it holds so much that it should be loaded anew as soon as all it decided is committed.
    pub fn is_large(&self) -> bool {
        self.events.len() > NAMES_MAX || self.nodes.len() > NODES_MAX
    }

    /// The membership of a user whose member event was learnt.
    pub fn membership(&self, user_id: &str) -> Option<Membership> {
        self.event("m.room.member", user_id)
            .map(|event| super::decide::membership_of(&event.pdu))
    }

    /// Counts a membership in or out.
    pub fn count(&mut self, membership: Option<Membership>, by: i64) {
        match membership {
            Some(Membership::Join) => self.joined_members += by,
            Some(Membership::Invite) => self.invited_members += by,
            _ => {}
        }
    }

    /// The current event of a name; the name must have been learnt.
    pub fn event(&self, event_type: &str, state_key: &str) -> Option<&StateEvent> {
        self.events
            .get(&(event_type.to_owned(), state_key.to_owned()))?
            .as_ref()
    }

    /// The number of a name, if it has one; the name must have been learnt.
    pub fn number(&self, name: &Name) -> Option<StateNo> {
        self.numbers.get(name).copied().flatten()
    }

    /// Gives a new name the next number.
    pub fn add_number(&mut self, name: Name) -> StateNo {
        let number = StateNo(self.next_state_no);
        self.next_state_no += 1;
        self.numbers.insert(name, Some(number));
        number
    }

    /// Sets the current event of a name.
    pub fn set_event(&mut self, name: Name, event: StateEvent) {
        self.events.insert(name, Some(event));
    }

    /// The nodes held for rewriting the state's tree.
    pub fn nodes(&self) -> &HashMap<i64, Slots> {
        &self.nodes
    }

    /// Takes the held nodes, to be given back with [`Head::hold_nodes`].
    pub fn take_nodes(&mut self) -> HashMap<i64, Slots> {
        std::mem::take(&mut self.nodes)
    }

    /// Holds nodes that were loaded or written.
    pub fn hold_nodes(&mut self, nodes: impl IntoIterator<Item = (i64, Slots)>) {
        self.nodes.extend(nodes);
    }
}

/// Looks names up in the committed current state: their numbers and events.
#[expect(
    clippy::type_complexity,
    reason = "what Head::learn takes, said in the line above"
)]
pub fn load_names(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    rules: &'static Rules,
    names: Vec<Name>,
) -> Result<Vec<(Name, Option<StateNo>, Option<StateEvent>)>, storage::Error> {
    let mut found = Vec::with_capacity(names.len());
    for (event_type, state_key) in names {
        // At most a handful for each event that a client sends; each is one lookup in an index.
        let row = snap.query_one(
            "SELECT k.state_no, c.event FROM state_keys k
             LEFT JOIN current_state c ON c.room = k.room AND c.state_no = k.state_no
             WHERE k.room = $1 AND k.type = $2 AND k.state_key = $3",
            storage::params![room, event_type.as_bytes(), state_key.as_bytes()],
        )?;
        let number = row.as_ref().map(|row| StateNo(row.int(0)));
        let key = row.and_then(|row| row.opt_int(1)).map(EventKey);
        found.push(((event_type, state_key), number, key));
    }
    let keys: Vec<EventKey> = found.iter().filter_map(|(_, _, key)| *key).collect();
    let mut rows = events::by_key(snap, &keys)?;
    Ok(found
        .into_iter()
        .map(|(name, number, key)| {
            let event = key.and_then(|key| {
                Some(StateEvent {
                    key,
                    pdu: parse_stored(rules, rows.remove(&key)?)?,
                })
            });
            (name, number, event)
        })
        .collect())
}

/// The event of a stored row. None only for what could not have been stored.
pub fn parse_stored(rules: &'static Rules, row: events::EventRow) -> Option<Arc<Pdu>> {
    let event_id = OwnedEventId::try_from(row.event_id).ok()?;
    let json = std::str::from_utf8(&row.body).ok()?;
    Pdu::from_stored(rules, event_id, json).ok().map(Arc::new)
}
