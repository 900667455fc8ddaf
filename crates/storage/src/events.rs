//! Reading events: by key, by id, and in the order that clients see.

use std::collections::HashMap;

use crate::append::{decode_event_id, encode_event_id};
use crate::rooms::EventStanding;
use crate::{Error, EventKey, RoomKey, Row, Snapshot, StateNo, UserKey, params};

/// A stored event. `body` is the PDU as servers exchange it; clients see it through the `view` crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub key: EventKey,
    pub room: RoomKey,
    pub event_id: String,
    pub event_type: String,
    pub sender: UserKey,
    /// The number of its state key in the room; none for message events.
    pub state_no: Option<StateNo>,
    /// `origin_server_ts`, in milliseconds.
    pub ts: i64,
    pub depth: i64,
    pub standing: EventStanding,
    pub position: i64,
    /// Where clients see it; none where they do not.
    pub place: Option<Place>,
    /// The room's state before it.
    pub state_before: Option<i64>,
    /// The root of its thread.
    pub thread: Option<EventKey>,
    /// The event that it edits.
    pub replaces: Option<EventKey>,
    /// The redaction that took effect on it.
    pub redacted_by: Option<EventKey>,
    /// Notifying events of its timeline up to and with it.
    pub tally: i64,
    pub body: Vec<u8>,
}

/// An event's place in the order of its room: `(place, seq)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub place: i64,
    pub seq: i64,
}

impl Place {
    /// Before every event of a room.
    pub const START: Place = Place {
        place: i64::MIN,
        seq: i64::MIN,
    };
    /// After every event of a room.
    pub const END: Place = Place {
        place: i64::MAX,
        seq: i64::MAX,
    };

    /// After every event whose position is at most this, and before all later ones.
    pub fn after_position(position: i64) -> Place {
        Place {
            place: position,
            seq: i64::MAX,
        }
    }
}

const COLUMNS: &str = "id, room, event_id, type, sender, state_no, ts, depth, standing, position, place, seq, \
     state_before, thread, replaces, redacted_by, tally, body";

fn read(mut row: Row) -> EventRow {
    EventRow {
        key: EventKey(row.int(0)),
        room: RoomKey(row.int(1)),
        event_id: decode_event_id(&row.bytes(2)),
        event_type: String::from_utf8_lossy(&row.bytes(3)).into_owned(),
        sender: UserKey(row.int(4)),
        state_no: row.opt_int(5).map(StateNo),
        ts: row.int(6),
        depth: row.int(7),
        standing: EventStanding::from_int(row.int(8)),
        position: row.int(9),
        place: row
            .opt_int(10)
            .zip(row.opt_int(11))
            .map(|(place, seq)| Place { place, seq }),
        state_before: row.opt_int(12),
        thread: row.opt_int(13).map(EventKey),
        replaces: row.opt_int(14).map(EventKey),
        redacted_by: row.opt_int(15).map(EventKey),
        tally: row.int(16),
        body: row.take_bytes(17),
    }
}

/// Events by their keys; unknown ones are left out.
pub fn by_key(
    snap: &mut Snapshot<'_>,
    keys: &[EventKey],
) -> Result<HashMap<EventKey, EventRow>, Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
    let rows = snap.query(
        &format!("SELECT {COLUMNS} FROM events WHERE id IN ($1[])"),
        params![keys],
    )?;
    Ok(rows
        .into_iter()
        .map(read)
        .map(|event| (event.key, event))
        .collect())
}

/// Events by their ids; unknown ones are left out.
pub fn by_id(
    snap: &mut Snapshot<'_>,
    event_ids: &[&str],
) -> Result<HashMap<String, EventRow>, Error> {
    if event_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Vec<u8>> = event_ids.iter().map(|id| encode_event_id(id)).collect();
    let rows = snap.query(
        &format!("SELECT {COLUMNS} FROM events WHERE event_id IN ($1[])"),
        params![ids],
    )?;
    Ok(rows
        .into_iter()
        .map(read)
        .map(|event| (event.event_id.clone(), event))
        .collect())
}

/// Up to `limit` events of a room's timeline after `from` and up to `to`, oldest first.
pub fn forwards(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    from: Place,
    to: Place,
    limit: usize,
) -> Result<Vec<EventRow>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM events WHERE room = $1 AND place IS NOT NULL
               AND (place, seq) > ($2, $3) AND (place, seq) <= ($4, $5) ORDER BY place, seq LIMIT $6"
        ),
        params![room, from.place, from.seq, to.place, to.seq, limit],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// Up to `limit` events of a room's timeline up to `from` (with it) and after `to`, newest first.
pub fn backwards(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    from: Place,
    to: Place,
    limit: usize,
) -> Result<Vec<EventRow>, Error> {
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM events WHERE room = $1 AND place IS NOT NULL
               AND (place, seq) <= ($2, $3) AND (place, seq) > ($4, $5) ORDER BY place DESC, seq DESC LIMIT $6"
        ),
        params![room, from.place, from.seq, to.place, to.seq, limit],
    )?;
    Ok(rows.into_iter().map(read).collect())
}

/// The current state of a room: (number, event), in order of number.
pub fn current_state(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
) -> Result<Vec<(StateNo, EventKey)>, Error> {
    let rows = snap.query(
        "SELECT state_no, event FROM current_state WHERE room = $1 ORDER BY state_no",
        params![room],
    )?;
    Ok(rows
        .iter()
        .map(|row| (StateNo(row.int(0)), EventKey(row.int(1))))
        .collect())
}

/// The current event of one (type, state_key) of a room.
pub fn current_state_event(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    event_type: &str,
    state_key: &str,
) -> Result<Option<EventRow>, Error> {
    let row = snap.query_one(
        "SELECT c.event FROM state_keys k JOIN current_state c ON c.room = k.room AND c.state_no = k.state_no
         WHERE k.room = $1 AND k.type = $2 AND k.state_key = $3",
        params![room, event_type.as_bytes(), state_key.as_bytes()],
    )?;
    let Some(row) = row else { return Ok(None) };
    let key = EventKey(row.int(0));
    Ok(by_key(snap, &[key])?.remove(&key))
}

/// How a room's current state changed in (after, up_to]: for each number that did, its event now (at `up_to`) or none
/// where it left the state.
pub fn state_changes(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    after: i64,
    up_to: i64,
) -> Result<Vec<(StateNo, Option<EventKey>)>, Error> {
    let rows = snap.query(
        "SELECT state_no, event FROM (
             SELECT state_no, event, ROW_NUMBER() OVER (PARTITION BY state_no ORDER BY position DESC) AS age
             FROM state_log WHERE room = $1 AND position > $2 AND position <= $3
         ) AS changes WHERE age = 1 ORDER BY state_no",
        params![room, after, up_to],
    )?;
    Ok(rows
        .iter()
        .map(|row| (StateNo(row.int(0)), row.opt_int(1).map(EventKey)))
        .collect())
}

/// The current state of a room as it was at a position: its state, or none before the room's first event.
pub fn state_at_position(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    position: i64,
) -> Result<Option<i64>, Error> {
    let row = snap.query_one(
        "SELECT state FROM state_log WHERE room = $1 AND position <= $2 ORDER BY position DESC, state DESC LIMIT 1",
        params![room, position],
    )?;
    Ok(row.map(|row| row.int(0)))
}

/// Whether events are missing just before the event at a place.
pub fn has_gap_before(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    before: Place,
) -> Result<bool, Error> {
    let row = snap.query_one(
        "SELECT 1 FROM gaps WHERE room = $1 AND place = $2 AND seq = $3 LIMIT 1",
        params![room, before.place, before.seq],
    )?;
    Ok(row.is_some())
}

/// The newest place up to `from` and after `to` before which events are missing.
pub fn newest_gap(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    from: Place,
    to: Place,
) -> Result<Option<Place>, Error> {
    gap(snap, room, to, from, "DESC")
}

/// The oldest place after `from` and up to `to` before which events are missing.
pub fn oldest_gap(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    from: Place,
    to: Place,
) -> Result<Option<Place>, Error> {
    gap(snap, room, from, to, "ASC")
}

fn gap(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    after: Place,
    up_to: Place,
    order: &str,
) -> Result<Option<Place>, Error> {
    let row = snap.query_one(
        &format!(
            "SELECT place, seq FROM gaps WHERE room = $1 AND (place, seq) > ($2, $3) AND (place, seq) <= ($4, $5)
             ORDER BY place {order}, seq {order} LIMIT 1"
        ),
        params![room, after.place, after.seq, up_to.place, up_to.seq],
    )?;
    Ok(row.map(|row| Place {
        place: row.int(0),
        seq: row.int(1),
    }))
}

/// Up to `limit` events of a room's timeline up to a place, by their `origin_server_ts`: from `ts` on, or back from it.
pub fn around_ts(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    ts: i64,
    forwards: bool,
    until: Place,
    limit: usize,
) -> Result<Vec<EventRow>, Error> {
    let (compare, order) = if forwards {
        (">=", "ASC")
    } else {
        ("<=", "DESC")
    };
    let rows = snap.query(
        &format!(
            "SELECT {COLUMNS} FROM events WHERE room = $1 AND place IS NOT NULL AND ts {compare} $2
               AND (place, seq) <= ($3, $4) ORDER BY ts {order}, place {order}, seq {order} LIMIT $5"
        ),
        params![room, ts, until.place, until.seq, limit],
    )?;
    Ok(rows.into_iter().map(read).collect())
}
