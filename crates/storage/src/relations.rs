//! What relates to what: edits, references and everything else that names a parent event.
//!
//! A relation names its parent by id, as the child may come first.

use std::collections::HashMap;

use crate::append::encode_event_id;
use crate::events::{EventRow, Place};
use crate::{Error, EventKey, RoomKey, Snapshot, UserKey, params};

/// Events that one walk through relations of relations reads: reactions and edits to all replies of a long thread.
pub const WALKED_MAX: usize = 5_000;

/// The newest valid edit of each of these events, by `origin_server_ts` and then by id, among those up to a place.
/// Redacted edits don't count.
pub fn newest_edits(
    snap: &mut Snapshot<'_>,
    originals: &[&EventRow],
    until: i64,
) -> Result<HashMap<EventKey, EventKey>, Error> {
    let keys: Vec<i64> = originals.iter().map(|event| event.key.0).collect();
    let rows = snap.query(
        "SELECT replaces, id, event_id FROM (
             SELECT e.replaces, e.id, e.event_id, RANK() OVER (PARTITION BY e.replaces ORDER BY e.ts DESC) AS age
             FROM relations r JOIN events e ON e.id = r.child
             WHERE r.parent IN ($1[]) AND r.kind = $2 AND r.place IS NOT NULL AND r.place <= $3
               AND e.replaces IN ($4[]) AND e.redacted_by IS NULL
         ) AS edits WHERE age = 1",
        params![ids(originals), b"m.replace".as_slice(), until, keys],
    )?;
    // Ids are packed in the table, so the order of their text is made here.
    let mut newest: HashMap<EventKey, (String, EventKey)> = HashMap::new();
    for row in &rows {
        let id = crate::append::decode_event_id(&row.bytes(2));
        let edit = (id, EventKey(row.int(1)));
        let slot = newest
            .entry(EventKey(row.int(0)))
            .or_insert_with(|| edit.clone());
        if edit.0 > slot.0 {
            *slot = edit;
        }
    }
    Ok(newest
        .into_iter()
        .map(|(original, (_, edit))| (original, edit))
        .collect())
}

/// The events that refer to each of these by `m.reference`, oldest first, up to a place and at most `limit` each.
/// Redacted ones and those of `not_senders` don't count.
pub fn references(
    snap: &mut Snapshot<'_>,
    parents: &[&EventRow],
    until: i64,
    not_senders: &[UserKey],
    limit: usize,
) -> Result<HashMap<EventKey, Vec<EventKey>>, Error> {
    let not_senders: Vec<i64> = not_senders.iter().map(|user| user.0).collect();
    let rooms: HashMap<Vec<u8>, &EventRow> = parents
        .iter()
        .map(|event| (encode_event_id(&event.event_id), *event))
        .collect();
    let rows = snap.query(
        "SELECT parent, child, room FROM (
             SELECT r.parent, r.child, r.room, r.place, r.seq,
                 ROW_NUMBER() OVER (PARTITION BY r.parent ORDER BY r.place, r.seq) AS number
             FROM relations r JOIN events e ON e.id = r.child
             WHERE r.parent IN ($1[]) AND r.kind = $2 AND r.place IS NOT NULL AND r.place <= $3
               AND e.redacted_by IS NULL AND NOT (r.sender IN ($4[]))
         ) AS children WHERE number <= $5 ORDER BY place, seq",
        params![
            ids(parents),
            b"m.reference".as_slice(),
            until,
            not_senders,
            limit
        ],
    )?;
    let mut children: HashMap<EventKey, Vec<EventKey>> = HashMap::new();
    for row in &rows {
        // An event of another room relates to nothing here.
        if let Some(parent) = rooms
            .get(&row.bytes(0))
            .filter(|parent| parent.room.0 == row.int(2))
        {
            children
                .entry(parent.key)
                .or_default()
                .push(EventKey(row.int(1)));
        }
    }
    Ok(children)
}

fn ids(events: &[&EventRow]) -> Vec<Vec<u8>> {
    events
        .iter()
        .map(|event| encode_event_id(&event.event_id))
        .collect()
}

/// Which children of an event to list.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    pub room: RoomKey,
    /// The event's id.
    pub parent: &'a str,
    /// Only of this `rel_type`.
    pub rel_type: Option<&'a str>,
    /// Only of this event type.
    pub event_type: Option<&'a str>,
    /// After this place and up to `to`.
    pub from: Place,
    pub to: Place,
    pub newest_first: bool,
    pub limit: usize,
}

/// Lists an event's direct children, in order of place. Redacted ones don't count.
pub fn children(snap: &mut Snapshot<'_>, ask: &Children<'_>) -> Result<Vec<EventKey>, Error> {
    let order = if ask.newest_first { "DESC" } else { "ASC" };
    // Nothing that is stored has an empty kind or type, so "<> empty" leaves nothing out.
    let rel_type = if ask.rel_type.is_some() { "=" } else { "<>" };
    let event_type = if ask.event_type.is_some() { "=" } else { "<>" };
    let rows = snap.query(
        &format!(
            "SELECT r.child FROM relations r JOIN events e ON e.id = r.child
             WHERE r.parent = $1 AND r.room = $2 AND r.kind {rel_type} $3 AND r.type {event_type} $4
               AND r.place IS NOT NULL AND (r.place, r.seq) > ($5, $6) AND (r.place, r.seq) <= ($7, $8)
               AND e.redacted_by IS NULL
             ORDER BY r.place {order}, r.seq {order} LIMIT $9"
        ),
        params![
            encode_event_id(ask.parent),
            ask.room,
            ask.rel_type.unwrap_or_default().as_bytes(),
            ask.event_type.unwrap_or_default().as_bytes(),
            ask.from.place,
            ask.from.seq,
            ask.to.place,
            ask.to.seq,
            ask.limit
        ],
    )?;
    Ok(rows.iter().map(|row| EventKey(row.int(0))).collect())
}

/// As [`children`], with the children of children and so on, down to `depth` relations; and the depth reached.
///
/// What narrows the list does not narrow the walk. At most [`WALKED_MAX`] events are walked through, nearest first.
pub fn descendants(
    snap: &mut Snapshot<'_>,
    ask: &Children<'_>,
    depth: usize,
) -> Result<(Vec<EventKey>, usize), Error> {
    let mut seen: HashMap<EventKey, Option<Place>> = HashMap::new();
    let mut level = vec![encode_event_id(ask.parent)];
    let mut reached = 0;
    while !level.is_empty() && reached < depth && seen.len() < WALKED_MAX {
        let rows = snap.query(
            "SELECT r.child, e.event_id, r.place, r.seq, r.kind, r.type
             FROM relations r JOIN events e ON e.id = r.child
             WHERE r.parent IN ($1[]) AND r.room = $2 AND r.place IS NOT NULL AND e.redacted_by IS NULL
             ORDER BY r.place DESC, r.seq DESC LIMIT $3",
            params![level, ask.room, WALKED_MAX - seen.len()],
        )?;
        level = Vec::new();
        for row in &rows {
            let place = Place {
                place: row.int(2),
                seq: row.int(3),
            };
            let is = |asked: Option<&str>, column| {
                asked.is_none_or(|asked| asked.as_bytes() == row.bytes(column))
            };
            let listed =
                is(ask.rel_type, 4) && is(ask.event_type, 5) && place > ask.from && place <= ask.to;
            // Events that choose their ids may relate to each other in a circle: each is walked through once.
            if seen
                .insert(EventKey(row.int(0)), listed.then_some(place))
                .is_none()
            {
                level.push(row.bytes(1));
            }
        }
        reached += usize::from(!rows.is_empty());
    }
    let mut listed: Vec<(Place, EventKey)> = seen
        .into_iter()
        .filter_map(|(event, place)| Some((place?, event)))
        .collect();
    listed.sort_unstable();
    if ask.newest_first {
        listed.reverse();
    }
    let keys = listed
        .into_iter()
        .map(|(_, event)| event)
        .take(ask.limit)
        .collect();
    Ok((keys, reached))
}
