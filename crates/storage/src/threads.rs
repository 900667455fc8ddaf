//! Threads: who wrote how much in them, and their newest events.

use std::collections::HashMap;

use crate::{Error, EventKey, RoomKey, Snapshot, UserKey, params};

/// How many events each user has in these threads up to a place: (root, sender, count). Redacted ones don't count.
pub fn counts(
    snap: &mut Snapshot<'_>,
    roots: &[EventKey],
    until: i64,
) -> Result<Vec<(EventKey, UserKey, i64)>, Error> {
    let roots: Vec<i64> = roots.iter().map(|root| root.0).collect();
    let rows = snap.query(
        "SELECT thread, sender, COUNT(*) FROM events
         WHERE thread IN ($1[]) AND thread IS NOT NULL AND redacted_by IS NULL AND place IS NOT NULL AND place <= $2
         GROUP BY thread, sender",
        params![roots, until],
    )?;
    Ok(rows
        .iter()
        .map(|row| (EventKey(row.int(0)), UserKey(row.int(1)), row.int(2)))
        .collect())
}

/// The newest event of each of these threads up to a place. Redacted ones and those of `not_senders` don't count.
pub fn newest(
    snap: &mut Snapshot<'_>,
    roots: &[EventKey],
    until: i64,
    not_senders: &[UserKey],
) -> Result<HashMap<EventKey, EventKey>, Error> {
    let keys: Vec<i64> = roots.iter().map(|root| root.0).collect();
    let not: Vec<i64> = not_senders.iter().map(|user| user.0).collect();
    // Nearly always the newest live event is the answer, and one query for all.
    let rows = snap.query(
        "SELECT t.root, t.last_event FROM threads t JOIN events e ON e.id = t.last_event
         WHERE t.root IN ($1[]) AND t.last_place <= $2 AND e.redacted_by IS NULL AND NOT (e.sender IN ($3[]))",
        params![keys, until, not.clone()],
    )?;
    let mut newest: HashMap<EventKey, EventKey> = rows
        .iter()
        .map(|row| (EventKey(row.int(0)), EventKey(row.int(1))))
        .collect();
    for root in roots {
        if newest.contains_key(root) {
            continue;
        }
        let row = snap.query_one(
            "SELECT id FROM events WHERE thread = $1 AND thread IS NOT NULL AND place IS NOT NULL AND place <= $2
               AND redacted_by IS NULL AND NOT (sender IN ($3[]))
             ORDER BY place DESC, seq DESC LIMIT 1",
            params![*root, until, not.clone()],
        )?;
        if let Some(row) = row {
            newest.insert(*root, EventKey(row.int(0)));
        }
    }
    Ok(newest)
}

/// A thread in a room's list: its root, and the place of its newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedThread {
    pub root: EventKey,
    pub last_place: i64,
}

/// A room's threads by their newest events, newest first, those before `before`, at most `limit`. With `participant`,
/// only those whose root or any event is theirs.
pub fn list(
    snap: &mut Snapshot<'_>,
    room: RoomKey,
    participant: Option<UserKey>,
    before: i64,
    limit: usize,
) -> Result<Vec<ListedThread>, Error> {
    let took_part = match participant {
        Some(_) => {
            "AND (EXISTS (SELECT 1 FROM events p WHERE p.thread = t.root AND p.thread IS NOT NULL
                     AND p.redacted_by IS NULL AND p.place IS NOT NULL AND p.sender = $4)
                 OR EXISTS (SELECT 1 FROM events s WHERE s.id = t.root AND s.sender = $4))"
        }
        None => "AND $4 = 0",
    };
    let rows = snap.query(
        &format!(
            "SELECT t.root, t.last_place FROM threads t WHERE t.room = $1 AND t.last_place < $2 {took_part}
             ORDER BY t.last_place DESC LIMIT $3"
        ),
        params![room, before, limit, participant.map_or(0, |user| user.0)],
    )?;
    Ok(rows
        .iter()
        .map(|row| ListedThread {
            root: EventKey(row.int(0)),
            last_place: row.int(1),
        })
        .collect())
}
