//! Writes room events: the one place that does.
//!
//! A [`RoomChange`] is decided elsewhere, on a version of the room; it is written only if the room still has that
//! version. Changes of one room that share a group are written together: room row, extremities and stream row once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use change::{
    CurrentChange, NewEvent, NewException, NewGap, NewMember, NewRelation, NewRoom, NewStateKey,
    NewTransaction, Placement, RoomChange,
};

use crate::driver::Connection;
pub use crate::event_ids::{decode_event_id, encode_event_id};
use crate::{Error, EventKey, Kind, Position, RoomKey, StreamRow, Topic, Tx, Value, params, row};

mod change;

/// Why a change was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The room changed since the change was decided: load its head and decide again.
    #[error("the room has moved on")]
    HeadMoved,
    #[error(transparent)]
    Storage(#[from] Error),
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
