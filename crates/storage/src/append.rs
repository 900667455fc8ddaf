//! Writes room events: the one place that does.
//!
//! A [`RoomChange`] is decided elsewhere, on a version of the room; it is written only if the room still has that
//! version. Changes of one room that share a group are written together: room row, extremities and stream row once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::driver::Connection;
use crate::rooms::{EventStanding, Membership, RoomStanding};
use crate::states::{NodeRow, StateRow};
use crate::{
    DeviceKey, Error, EventKey, Kind, Position, RoomKey, StateNo, StreamRow, Topic, Tx, UserKey,
    Value, params, row,
};

/// All that one decision changes in a room. Written whole or not at all.
#[derive(Debug, Clone)]
pub struct RoomChange {
    pub room: RoomKey,
    /// The version of the room on which the change was decided; it becomes `base + 1`. A new room has base 0.
    pub base: i64,
    /// The room's row, where the change makes it.
    pub create: Option<NewRoom>,
    /// In the order in which clients shall see them.
    pub events: Vec<NewEvent>,
    pub state_keys: Vec<NewStateKey>,
    pub states: Vec<StateRow>,
    pub nodes: Vec<NodeRow>,
    /// Chained states that got a root: (state, root, height).
    pub rooted: Vec<(i64, i64, i64)>,
    /// How the current state changes.
    pub current: Vec<CurrentChange>,
    pub members: Vec<NewMember>,
    /// The room's extremities after the change, each with the state after it: all of them.
    pub extremities: Vec<(EventKey, i64)>,
    /// The current state after the change.
    pub state: Option<i64>,
    /// The depth of the deepest extremity.
    pub depth: i64,
    pub joined_members: i64,
    pub invited_members: i64,
    pub standing: RoomStanding,
    /// The room's summary after the change.
    pub summary: Arc<[u8]>,
    /// Events that `prev_events` name and that are not here.
    pub gaps: Vec<NewGap>,
}

#[derive(Debug, Clone)]
pub struct NewRoom {
    pub room_id: String,
    pub room_version: String,
    pub published: bool,
    pub created_ms: i64,
}

#[derive(Debug, Clone)]
pub struct NewEvent {
    pub key: EventKey,
    /// As [`encode_event_id`] makes it.
    pub event_id: Vec<u8>,
    pub event_type: String,
    pub sender: UserKey,
    pub state_no: Option<StateNo>,
    /// `origin_server_ts`.
    pub ts: i64,
    pub depth: i64,
    pub standing: EventStanding,
    pub placement: Placement,
    pub state_before: Option<i64>,
    /// The events that authorise it: for state events only.
    pub auth: Vec<EventKey>,
    pub relation: Option<NewRelation>,
    /// The thread whose timeline the event is on.
    pub thread: Option<EventKey>,
    /// The event that it edits, where it is a valid edit of one that is here.
    pub replaces: Option<EventKey>,
    /// The id of the event that it redacts, and the event itself where it is here and the redaction takes effect.
    pub redacts: Option<(Vec<u8>, Option<EventKey>)>,
    /// Whether the default push rules notify members of it.
    pub notifies: bool,
    /// For whom the count differs from the timeline's tally.
    pub exceptions: Vec<NewException>,
    /// The client transaction that sent it.
    pub transaction: Option<NewTransaction>,
    /// The PDU as it is sent to servers: canonical JSON.
    pub body: Arc<[u8]>,
}

/// Where an event stands in the order that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At its own position.
    Live,
    /// Before or between events that are here already.
    At { place: i64, seq: i64 },
    /// Clients do not see it.
    Nowhere,
}

#[derive(Debug, Clone)]
pub struct NewRelation {
    /// The related event's id, as [`encode_event_id`] makes it: it may not be here yet.
    pub parent: Vec<u8>,
    pub rel_type: String,
    /// The key of an annotation.
    pub key: Option<String>,
}

#[derive(Debug, Clone)]
pub struct NewException {
    pub user: UserKey,
    /// +1: the user is notified though the default is not; −1: the other way round; 0: as the default.
    pub notify: i64,
    pub highlight: bool,
}

#[derive(Debug, Clone)]
pub struct NewTransaction {
    pub device: DeviceKey,
    /// Method and path with its parameters.
    pub endpoint: Vec<u8>,
    pub transaction_id: Vec<u8>,
    /// The answer's body.
    pub answer: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct NewStateKey {
    pub no: StateNo,
    pub event_type: String,
    pub state_key: String,
}

#[derive(Debug, Clone)]
pub struct CurrentChange {
    pub no: StateNo,
    /// None: the key leaves the state.
    pub event: Option<EventKey>,
    /// The event, by its index in `events`, whose position logs the change.
    pub at: usize,
    /// The current state after it.
    pub state: i64,
}

#[derive(Debug, Clone)]
pub struct NewMember {
    pub user: UserKey,
    /// Whether the user lives here: then it is woken.
    pub local: bool,
    pub membership: Membership,
    /// The event, by its index in `events`.
    pub at: usize,
    pub sender: UserKey,
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    pub stripped: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct NewGap {
    /// The event, by its index in `events`, before whose place the gap lies.
    pub at: usize,
    /// The missing event's id, as [`encode_event_id`] makes it.
    pub missing: Vec<u8>,
}

/// Why a change was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The room changed since the change was decided: load its head and decide again.
    #[error("the room has moved on")]
    HeadMoved,
    #[error(transparent)]
    Storage(#[from] Error),
}

/// Packs an event id for storage: one tag byte and 32 bytes of hash for the hashed forms, else the text itself.
/// Hash forms are `$` and 43 characters of unpadded base64 (room version 3: standard; from 4 on: URL-safe).
pub fn encode_event_id(event_id: &str) -> Vec<u8> {
    let Some(hash) = event_id.strip_prefix('$').filter(|hash| hash.len() == 43) else {
        return event_id.as_bytes().to_vec();
    };
    let standard = hash.contains(['+', '/']);
    match unbase64(hash.as_bytes()) {
        // Only what decodes to the very same text is packed: trailing bits or mixed alphabets keep their text.
        Some(bytes) => {
            let mut packed = Vec::with_capacity(33);
            packed.push(if standard { 2 } else { 1 });
            packed.extend_from_slice(&bytes);
            if decode_event_id(&packed) == event_id {
                packed
            } else {
                event_id.as_bytes().to_vec()
            }
        }
        None => event_id.as_bytes().to_vec(),
    }
}

/// The text of an event id that [`encode_event_id`] packed.
pub fn decode_event_id(packed: &[u8]) -> String {
    const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (alphabet, hash) = match packed {
        [1, hash @ ..] => (URL_SAFE, hash),
        [2, hash @ ..] => (STANDARD, hash),
        text => return String::from_utf8_lossy(text).into_owned(),
    };
    let mut text = String::with_capacity(44);
    text.push('$');
    for chunk in hash.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for sextet in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            text.push(char::from(alphabet[index as usize]));
        }
    }
    text
}

fn unbase64(text: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let (mut bits, mut held, mut at) = (0u32, 0, 0);
    for byte in text {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(at)? = (bits >> held) as u8;
            at += 1;
            bits &= (1 << held) - 1;
        }
    }
    (at == 32).then_some(out)
}

impl Tx<'_> {
    /// Adds a room's change to the group. It is written at the group's end, if the room still has the version that
    /// the change was decided on, counting the group's earlier changes of it.
    pub fn append(&mut self, change: &Arc<RoomChange>) -> Result<(), AppendError> {
        let current = match self.group.appends.versions.get(&change.room) {
            Some(version) => Some(*version),
            None => self.lock_room(change.room)?,
        };
        let expected = if change.create.is_some() {
            None
        } else {
            Some(change.base)
        };
        if current != expected {
            return Err(AppendError::HeadMoved);
        }
        let write = self.write_number();
        self.group.appends.push(write, change.clone());
        Ok(())
    }

    /// The room's version, its row locked against other nodes until the commit.
    fn lock_room(&mut self, room: RoomKey) -> Result<Option<i64>, Error> {
        let row = self.conn.query(
            "UPDATE rooms SET version = version WHERE id = $1 RETURNING version",
            params![room],
        )?;
        Ok(row.first().map(|row| row.int(0)))
    }
}

/// The changes that a group has gathered.
#[derive(Default)]
pub(crate) struct Appends {
    changes: Vec<(usize, Arc<RoomChange>)>,
    versions: HashMap<RoomKey, i64>,
}

/// The changes of one group, with what they share per room.
pub(crate) struct Flush {
    rooms: BTreeMap<RoomKey, Vec<(usize, Arc<RoomChange>)>>,
    tallies: HashMap<RoomKey, i64>,
    threads: HashMap<EventKey, Thread>,
}

#[derive(Default, Clone, Copy)]
struct Thread {
    tally: i64,
    replies: i64,
    last: Option<(EventKey, i64)>,
}

impl Appends {
    fn push(&mut self, write: usize, change: Arc<RoomChange>) {
        self.versions.insert(change.room, change.base + 1);
        self.changes.push((write, change));
    }

    pub(crate) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Forgets the changes after a mark.
    pub(crate) fn rewind(&mut self, mark: usize) {
        if self.changes.len() == mark {
            return;
        }
        self.changes.truncate(mark);
        self.versions.clear();
        for (_, change) in &self.changes {
            self.versions.insert(change.room, change.base + 1);
        }
    }

    /// Writes all rows that carry no position.
    pub(crate) fn flush_unplaced(self, conn: &mut dyn Connection) -> Result<Flush, Error> {
        let mut flush = Flush {
            rooms: BTreeMap::new(),
            tallies: HashMap::new(),
            threads: HashMap::new(),
        };
        for (write, change) in self.changes {
            flush
                .rooms
                .entry(change.room)
                .or_default()
                .push((write, change));
        }
        flush.load_tallies(conn)?;
        flush.write_states(conn)?;
        flush.write_edges(conn)?;
        flush.write_transactions(conn)?;
        Ok(flush)
    }
}

/// One for each event, and one for each local user whose membership changes.
fn positions_of(change: &RoomChange) -> usize {
    change.events.len() + change.members.iter().filter(|member| member.local).count()
}

impl Flush {
    pub(crate) fn positions(&self) -> usize {
        self.changes().map(positions_of).sum()
    }

    fn changes(&self) -> impl Iterator<Item = &RoomChange> {
        self.rooms.values().flatten().map(|(_, change)| &**change)
    }

    fn events(&self) -> impl Iterator<Item = (&RoomChange, &NewEvent)> {
        self.changes()
            .flat_map(|change| change.events.iter().map(move |event| (change, event)))
    }

    fn load_tallies(&mut self, conn: &mut dyn Connection) -> Result<(), Error> {
        let rooms: Vec<i64> = self.rooms.keys().map(|room| room.0).collect();
        if rooms.is_empty() {
            return Ok(());
        }
        for row in conn.query(
            "SELECT id, tally FROM rooms WHERE id IN ($1[])",
            params![rooms],
        )? {
            self.tallies.insert(RoomKey(row.int(0)), row.int(1));
        }
        let mut roots: Vec<i64> = self
            .events()
            .filter_map(|(_, event)| event.thread)
            .map(|root| root.0)
            .collect();
        roots.sort_unstable();
        roots.dedup();
        if roots.is_empty() {
            return Ok(());
        }
        for row in conn.query(
            "SELECT root, tally, replies FROM threads WHERE root IN ($1[])",
            params![roots],
        )? {
            let thread = Thread {
                tally: row.int(1),
                replies: row.int(2),
                last: None,
            };
            self.threads.insert(EventKey(row.int(0)), thread);
        }
        Ok(())
    }

    fn write_states(&self, conn: &mut dyn Connection) -> Result<(), Error> {
        let mut rooms = Vec::new();
        let (mut keys, mut states, mut nodes, mut rooted) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for change in self.changes() {
            if let Some(new) = &change.create {
                rooms.push(row![
                    change.room,
                    &new.room_id,
                    &new.room_version,
                    change.standing.to_int(),
                    &*change.summary.to_vec(),
                    new.published,
                    new.created_ms
                ]);
            }
            for key in &change.state_keys {
                keys.push(row![
                    change.room,
                    key.no,
                    key.event_type.as_bytes(),
                    key.state_key.as_bytes()
                ]);
            }
            for state in &change.states {
                states.push(row![
                    state.id,
                    change.room,
                    state.parent,
                    state.no,
                    state.event,
                    state.root,
                    state.height,
                    state.chain
                ]);
            }
            for node in &change.nodes {
                nodes.push(row![node.id, node.encode()]);
            }
            for (state, root, height) in &change.rooted {
                rooted.push(row![*state, *root, *height]);
            }
        }
        many(
            conn,
            "INSERT INTO rooms (id, room_id, room_version, version, standing, state, tally, last_place, depth,
                 joined_members, invited_members, summary, published, created_ms)
             VALUES ($1, $2, $3, 0, $4, NULL, 0, 0, 0, 0, 0, $5, $6, $7)",
            &rooms,
        )?;
        many(
            conn,
            "INSERT INTO state_keys (room, state_no, type, state_key) VALUES ($1, $2, $3, $4)",
            &keys,
        )?;
        many(
            conn,
            "INSERT INTO states (id, room, parent, state_no, event, root, height, chain)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &states,
        )?;
        many(
            conn,
            "INSERT INTO state_nodes (id, slots) VALUES ($1, $2)",
            &nodes,
        )?;
        many(
            conn,
            "UPDATE states SET root = $2, height = $3, chain = 0 WHERE id = $1",
            &rooted,
        )
    }

    fn write_edges(&self, conn: &mut dyn Connection) -> Result<(), Error> {
        let (mut auth, mut redactions, mut redacted) = (Vec::new(), Vec::new(), Vec::new());
        for (_, event) in self.events() {
            auth.extend(event.auth.iter().map(|auth| row![event.key, *auth]));
            if let Some((target_id, target)) = &event.redacts {
                redactions.push(row![target_id, event.key]);
                redacted.extend(target.map(|target| row![target, event.key]));
            }
        }
        many(
            conn,
            "INSERT INTO auth_edges (event, auth) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &auth,
        )?;
        many(
            conn,
            "INSERT INTO redactions (target, redaction) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &redactions,
        )?;
        many(
            conn,
            "UPDATE events SET redacted_by = $2 WHERE id = $1 AND redacted_by IS NULL",
            &redacted,
        )
    }

    fn write_transactions(&self, conn: &mut dyn Connection) -> Result<(), Error> {
        let rows: Vec<_> = self
            .events()
            .filter_map(|(_, event)| {
                let sent = event.transaction.as_ref()?;
                Some(row![
                    sent.device,
                    &sent.endpoint,
                    &sent.transaction_id,
                    event.key,
                    &sent.answer,
                    event.ts
                ])
            })
            .collect();
        many(
            conn,
            "INSERT INTO client_transactions (device, endpoint, transaction_id, event, answer, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &rows,
        )
    }

    /// Writes all rows that carry a position, from `next` on, room by room.
    pub(crate) fn flush_placed(
        mut self,
        conn: &mut dyn Connection,
        next: &mut i64,
        stream: &mut Vec<StreamRow>,
        positions: &mut [Vec<Position>],
    ) -> Result<(), Error> {
        let mut rows = PlacedRows::default();
        for (room, changes) in std::mem::take(&mut self.rooms) {
            let mut tally = self.tallies.get(&room).copied().unwrap_or_default();
            let first = *next;
            let mut memberships = Vec::new();
            for (write, change) in &changes {
                let start = *next;
                for event in &change.events {
                    let position = *next;
                    *next += 1;
                    positions[*write].push(Position(position));
                    self.place_event(room, event, position, &mut tally, &mut rows);
                }
                rows.add_change(change, start);
                memberships.extend(change.members.iter().filter(|member| member.local).cloned());
            }
            if *next > first {
                let count = *next - first;
                let topic = Topic::Room(room);
                stream.push(StreamRow {
                    position: Position(*next - 1),
                    topic,
                    kind: Kind::Events,
                    reference: count,
                    value: 0,
                });
            }
            for member in memberships {
                stream.push(StreamRow {
                    position: Position(*next),
                    topic: Topic::User(member.user),
                    kind: Kind::Membership,
                    reference: room.0,
                    value: member.membership.to_int(),
                });
                *next += 1;
            }
            if let Some((_, last)) = changes.last() {
                let version = last.base + 1;
                rows.rooms.push(row![
                    room,
                    version,
                    last.state,
                    tally,
                    rows.last_place.remove(&room),
                    last.depth,
                    last.joined_members,
                    last.invited_members,
                    &*last.summary.to_vec(),
                    last.standing.to_int()
                ]);
                let kept = last
                    .extremities
                    .iter()
                    .map(|(event, state)| row![room, *event, *state]);
                rows.extremities.extend(kept);
            }
        }
        for (root, thread) in &self.threads {
            if let Some((event, place)) = thread.last {
                rows.threads
                    .push(row![*root, thread.tally, thread.replies, event, place]);
            }
        }
        rows.write(conn)
    }

    fn place_event(
        &mut self,
        room: RoomKey,
        event: &NewEvent,
        position: i64,
        tally: &mut i64,
        rows: &mut PlacedRows,
    ) {
        let (place, seq) = match event.placement {
            Placement::Live => (Some(position), Some(0)),
            Placement::At { place, seq } => (Some(place), Some(seq)),
            Placement::Nowhere => (None, None),
        };
        let live = event.placement == Placement::Live;
        if live {
            rows.last_place.insert(room, position);
        }
        let counts = i64::from(live && event.notifies);
        let event_tally = match event.thread {
            None => {
                *tally += counts;
                *tally
            }
            Some(root) => {
                let thread = self.threads.entry(root).or_default();
                thread.tally += counts;
                if place.is_some() {
                    thread.replies += 1;
                }
                if live {
                    thread.last = Some((event.key, position));
                }
                rows.thread_rooms.insert(root, room);
                thread.tally
            }
        };
        rows.events.push(row![
            event.key,
            room,
            &event.event_id,
            event.event_type.as_bytes(),
            event.sender,
            event.state_no,
            event.ts,
            event.depth,
            event.standing.to_int(),
            position,
            place,
            seq,
            event.state_before,
            event.thread,
            event.replaces,
            event_tally,
            &*event.body.to_vec()
        ]);
        if let Some(relation) = &event.relation {
            rows.relations.push(row![
                &relation.parent,
                event.key,
                room,
                relation.rel_type.as_bytes(),
                event.event_type.as_bytes(),
                event.sender,
                relation.key.as_ref().map(|key| key.as_bytes()),
                place,
                seq
            ]);
        }
        if let Some(place) = place {
            let thread = event.thread.map_or(0, |root| root.0);
            rows.exceptions
                .extend(event.exceptions.iter().map(|exception| {
                    row![
                        exception.user,
                        room,
                        thread,
                        place,
                        event.key,
                        exception.notify,
                        i64::from(exception.highlight)
                    ]
                }));
        }
    }
}

/// Rows that carry a position, gathered over all rooms of a group so that each statement runs once.
#[derive(Default)]
struct PlacedRows {
    events: Vec<Vec<Value>>,
    relations: Vec<Vec<Value>>,
    exceptions: Vec<Vec<Value>>,
    current: Vec<Vec<Value>>,
    gone: Vec<Vec<Value>>,
    log: Vec<Vec<Value>>,
    members: Vec<Vec<Value>>,
    gaps: Vec<Vec<Value>>,
    rooms: Vec<Vec<Value>>,
    extremities: Vec<Vec<Value>>,
    threads: Vec<Vec<Value>>,
    thread_rooms: HashMap<EventKey, RoomKey>,
    last_place: HashMap<RoomKey, i64>,
}

impl PlacedRows {
    /// Adds what a change logs at the positions of its events, the first of which is at `start`.
    fn add_change(&mut self, change: &RoomChange, start: i64) {
        let room = change.room;
        for current in &change.current {
            let position = start + current.at as i64;
            match current.event {
                Some(event) => self.current.push(row![room, current.no, event]),
                None => self.gone.push(row![room, current.no]),
            }
            self.log.push(row![
                room,
                position,
                current.no,
                current.event,
                current.state
            ]);
        }
        for member in &change.members {
            self.members.push(row![
                room,
                member.user,
                member.membership,
                change.events[member.at].key,
                start + member.at as i64,
                member.sender,
                member.displayname.as_ref().map(|name| name.as_bytes()),
                member.avatar_url.as_ref().map(|url| url.as_bytes()),
                member.stripped.clone()
            ]);
        }
        for gap in &change.gaps {
            let (place, seq) = match change.events[gap.at].placement {
                Placement::At { place, seq } => (place, seq),
                Placement::Live | Placement::Nowhere => (start + gap.at as i64, 0),
            };
            self.gaps.push(row![room, place, seq, &gap.missing]);
        }
    }

    fn write(mut self, conn: &mut dyn Connection) -> Result<(), Error> {
        many(
            conn,
            "INSERT INTO events (id, room, event_id, type, sender, state_no, ts, depth, standing, position, place, seq,
                 state_before, thread, replaces, tally, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            &self.events,
        )?;
        many(
            conn,
            "INSERT INTO relations (parent, child, room, kind, type, sender, key, place, seq)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &self.relations,
        )?;
        many(
            conn,
            "INSERT INTO exceptions (user_key, room, thread, place, event, notify, highlight)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &self.exceptions,
        )?;
        many(
            conn,
            "INSERT INTO current_state (room, state_no, event) VALUES ($1, $2, $3)
             ON CONFLICT (room, state_no) DO UPDATE SET event = excluded.event",
            &self.current,
        )?;
        many(
            conn,
            "DELETE FROM current_state WHERE room = $1 AND state_no = $2",
            &self.gone,
        )?;
        many(
            conn,
            "INSERT INTO state_log (room, position, state_no, event, state) VALUES ($1, $2, $3, $4, $5)",
            &self.log,
        )?;
        many(
            conn,
            "INSERT INTO members (room, user_key, membership, event, position, sender, displayname, avatar_url,
                 forgotten, stripped, began)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE, $9, $5)
             ON CONFLICT (room, user_key) DO UPDATE SET membership = excluded.membership, event = excluded.event,
                 began = CASE WHEN members.membership = excluded.membership THEN members.began ELSE excluded.began END,
                 position = excluded.position, sender = excluded.sender, displayname = excluded.displayname,
                 avatar_url = excluded.avatar_url, forgotten = FALSE, stripped = excluded.stripped",
            &self.members,
        )?;
        many(
            conn,
            "INSERT INTO gaps (room, place, seq, missing, attempts) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING",
            &self.gaps,
        )?;
        let rooms: Vec<_> = self
            .rooms
            .iter()
            .map(|columns| vec![columns[0].clone()])
            .collect();
        many(conn, "DELETE FROM extremities WHERE room = $1", &rooms)?;
        many(
            conn,
            "INSERT INTO extremities (room, event, state_after) VALUES ($1, $2, $3)",
            &self.extremities,
        )?;
        for columns in &mut self.threads {
            if let Value::Int(root) = columns[0]
                && let Some(room) = self.thread_rooms.get(&EventKey(root))
            {
                columns.push((*room).into());
            }
        }
        many(
            conn,
            "INSERT INTO threads (root, tally, replies, last_event, last_place, room) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (room, root) DO UPDATE SET tally = excluded.tally, replies = excluded.replies,
                 last_event = excluded.last_event, last_place = excluded.last_place",
            &self.threads,
        )?;
        many(
            conn,
            "UPDATE rooms SET version = $2, state = $3, tally = $4, last_place = COALESCE($5, last_place), depth = $6,
                 joined_members = $7, invited_members = $8, summary = $9, standing = $10
             WHERE id = $1",
            &self.rooms,
        )
    }
}

fn many(conn: &mut dyn Connection, sql: &str, rows: &[Vec<Value>]) -> Result<(), Error> {
    if !rows.is_empty() {
        conn.execute_many(sql, rows)?;
    }
    Ok(())
}
